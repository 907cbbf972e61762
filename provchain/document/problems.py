"""What is wrong with a document: where it stands, what was found, what is allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from provchain.errors import ProvchainError

KeyPath = tuple[str | int, ...]


class Finding(NamedTuple):
    """A broken rule before its line is known: the key's path, what was found there, what is allowed."""

    path: KeyPath
    found: str
    allowed: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal: file, line (from 1), key such as ``hosts[2].address``, what was found, what is allowed.

    ``key`` is empty where the problem is the whole document's.
    """

    file: str
    line: int
    key: str
    found: str
    allowed: str

    def __str__(self) -> str:
        """Return the refusal as one line that is safe to print, whatever the file holds."""
        where = f"{self.file}:{self.line}: {self.key}: " if self.key else f"{self.file}:{self.line}: "
        line = f"{where}found {self.found}; allowed: {self.allowed}"
        return "".join(letter if letter.isprintable() else "\ufffd" for letter in line)


class DocumentError(ProvchainError):
    """A document that was refused, with all its problems in the order of their lines."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        count = len(problems)
        file = problems[0].file
        super().__init__(f"{file} is refused: {count} problem{'s' if count > 1 else ''}")
        self.problems = problems

    def lines(self) -> list[str]:
        """Return the message, then one line a problem."""
        return [self.message, *(f"  {problem}" for problem in self.problems)]


def key_text(path: KeyPath) -> str:
    """Return a path as an operator reads it: ``("hosts", 2, "address")`` is ``hosts[2].address``."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            out += f".{part}" if out else part
    return out
