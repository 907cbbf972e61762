"""The equivocation guard: may this signer sign that, given what it signed last? A pure decision."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signer signed last: its place (height, round, step), the bytes, and the signature.

    The step is 0 for a proposal, 1 for a prevote, 2 for a precommit.
    """

    height: int
    round: int
    step: int
    sign_bytes: bytes
    signature: bytes

    @property
    def place(self) -> tuple[int, int, int]:
        """Return where in the chain this was signed; places are in the order of time."""
        return self.height, self.round, self.step


class GuardError(Exception):
    """Signing is refused: it would contradict, or go behind, what was signed already."""


def decide(last: Signed | None, place: tuple[int, int, int], sign_bytes: bytes) -> bytes | None:
    """Return the signature to reuse, or None if a new one may be made for this place.

    Raises GuardError for an older place, or for other bytes at the same place.
    """
    if last is None or place > last.place:
        return None
    if place == last.place and sign_bytes == last.sign_bytes:
        return last.signature
    if place == last.place:
        raise GuardError(f"other bytes were signed at height {place[0]}, round {place[1]}, step {place[2]}")
    raise GuardError(f"height {last.height}, round {last.round}, step {last.step} was signed already")
