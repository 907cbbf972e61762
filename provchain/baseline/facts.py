"""What was seen of a host: the output of named probes, and whether each could be looked at at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Status(StrEnum):
    """How a probe ended."""

    SEEN = "seen"
    MISSING = "missing"
    """The file or the command is not there, which is a fact as well."""
    DENIED = "denied"
    TIMEOUT = "timeout"
    TRUNCATED = "truncated"
    """It told more than is taken; half of an answer proves nothing."""
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, order=True)
class Probe:
    """One look at a host, read-only. ``id`` is its name; ``argv`` the command with absolute path.

    With ``root`` it is run by sudo where the auditor is not root, so that exactly this command line is in
    the auditor's sudo list. ``over`` are further words, such as names to list: those of all probes with this
    name are put together into one command. With ``last`` it comes after all others, as what it prints, or how
    long it takes, is up to whoever has an account. Build them with the functions below, so that equal looks
    have equal names.
    """

    id: str
    argv: tuple[str, ...]
    root: bool = False
    over: tuple[str, ...] = ()
    last: bool = False

    @property
    def path(self) -> str:
        """Return the path, with ``*`` the pattern, that it is about; empty for a command."""
        kind, _, path = self.id.partition(":")
        return path if kind in ("file", "stat") else ""


EXTERNAL = "external:"
"""How the names of probes begin that look from outside, and run nothing on the host."""
SSH_OFFERS = Probe(f"{EXTERNAL}ssh", ())
"""What the SSH server offers before a login. In ``Facts.external``: ``ssh.kex``, ``ssh.host_key``,
``ssh.cipher``, ``ssh.mac`` (algorithms that it takes, in its order), ``ssh.auth`` (methods by which the
auditor's account could log in), ``ssh.version`` (its own words, one)."""


def command(*argv: str, root: bool = False, over: tuple[str, ...] = (), last: bool = False) -> Probe:
    """Return the probe that runs a command, named by its command line, but for the words ``over``."""
    return Probe("run:" + " ".join(argv), argv, root, over, last)


def file(path: str, *, root: bool = False) -> Probe:
    """Return the probe that reads a file, or, where the path has a ``*``, all files that match.

    The output of the latter is the list of matching paths, a line each; what each holds is the output of
    ``file(that path)``.
    """
    return Probe(f"file:{path}", ("/usr/bin/cat", path), root)


def attributes(path: str, *, root: bool = False) -> Probe:
    """Return the probe of what a path is: kind, mode, owner, group, size, time of change, name."""
    return Probe(f"stat:{path}", ("/usr/bin/stat", "-c", "%F|%a|%U|%G|%s|%Y|%n", path), root)


class UnknownError(Exception):
    """It could not be looked at; the message says why. Never a verdict."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a probe told: exit code and text (standard output, decoded with replacement)."""

    status: Status
    code: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was seen of one host, by the names of the probes. ``taken`` is Unix time in seconds."""

    outputs: Mapping[str, Output]
    taken: int = 0
    unreachable: str = ""
    """Why the host could not be reached; empty when it was."""
    external: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What was seen from outside, by name: what an SSH server offers, for instance."""

    def output(self, probe: Probe) -> Output:
        """Return a probe's end. Raises UnknownError if it was not looked at, or not wholly."""
        if self.unreachable:
            raise UnknownError(f"host not reached: {self.unreachable}")
        found = self.outputs.get(probe.id)
        if found is None:
            raise UnknownError(f"not looked at: {probe.id}")
        if found.status not in (Status.SEEN, Status.MISSING):
            raise UnknownError(f"{probe.id}: {found.status}" + (f": {found.text}" if found.text else ""))
        return found

    def text(self, probe: Probe) -> str | None:
        """Return what a probe printed, or None where file or command is missing. Raises UnknownError."""
        found = self.output(probe)
        return None if found.status == Status.MISSING else found.text

    def files(self, probe: Probe) -> dict[str, str]:
        """Return path and text of every file that a probe with ``*`` matched. Raises UnknownError."""
        paths = (self.text(probe) or "").splitlines()
        return {path: self.text(file(path)) or "" for path in sorted(paths)}

    def offered(self, name: str) -> tuple[str, ...]:
        """Return what was seen from outside under a name. Raises UnknownError if nobody looked."""
        if SSH_OFFERS.id in self.outputs:
            self.output(SSH_OFFERS)  # which says why nobody could look
        if self.unreachable or name not in self.external:
            raise UnknownError(f"not looked at from outside: {name}")
        return self.external[name]

    def succeeded(self, probe: Probe) -> str:
        """Return what a command printed that had to end with 0. Raises UnknownError where it did not."""
        found = self.output(probe)
        if found.status == Status.MISSING or found.code != 0:
            failed = "missing" if found.status == Status.MISSING else f"failed with exit code {found.code}"
            raise UnknownError(f"{probe.id}: {failed}")
        return found.text
