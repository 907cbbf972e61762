"""What is asked of a host: its probes put together into few commands, and those into one shell script. Pure.

A host needs nothing but a POSIX shell, coreutils, findutils, grep and, for an auditor who is not root, sudo.
Paths are grouped, so that hundreds of them cost a handful of processes: ``stat`` tells of all, ``grep`` reads
all, with each line under its file's name, and opens no FIFO, device or socket. A path with ``*`` goes through
``find``, which follows no link where it runs as root. The commands that need root are, word for word, the
auditor's sudo list; they come from a whole profile, so that it is the same for every host and every question.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from provchain.baseline.facts import EXTERNAL, Probe

SECONDS = 30
"""Time limit of one command on the host."""
HOST_SECONDS = 180
"""Time limit of the whole script on the host."""
MOST_BYTES = 2 << 20
"""Size limit of one command's output."""
MOST_LINES = 20_000
"""Lines taken of one file."""
FORMAT = "%F|%a|%U|%G|%s|%Y|%N"
"""As ``facts.attributes`` tells them, but the name quoted, so that no name can pass for two lines."""

_PATH = re.compile(r"/[A-Za-z0-9_.@+:,=~/*-]{0,250}")
_WORD = re.compile(r"[\x20-\x7e]+")


class Kind(StrEnum):
    """How the answer to a command is read."""

    RUN = "run"
    """A probe of its own."""
    STAT = "stat"
    """Attributes of named paths, links not followed."""
    SORT = "sort"
    """What the paths to be read are, links followed."""
    READ = "read"
    """The lines of named files."""
    FIND_STAT = "find-stat"
    FIND_SORT = "find-sort"
    FIND_READ = "find-read"
    """The same for the paths that a pattern matches."""


@dataclass(frozen=True, slots=True)
class Look:
    """One command, and the probes that its output answers: paths in the order of ``probes``, or a pattern."""

    kind: Kind
    argv: tuple[str, ...]
    root: bool
    probes: tuple[str, ...]

    @property
    def limited(self) -> tuple[str, ...]:
        """Return the command under its time limit; where it needs root, the limit runs as root as well."""
        return ("/usr/bin/timeout", "-k", "1", str(SECONDS), *self.argv)


def plan(probes: Iterable[Probe]) -> tuple[Look, ...]:
    """Return the commands that answer all probes, those that need no root first.

    A probe that is asked both with root and without is asked with root. Raises ValueError for a path or a
    command that has no place in a script: relative, or with unusual characters.
    """
    wanted: dict[str, Probe] = {}
    for probe in sorted(set(probes)):
        if not probe.id.startswith(EXTERNAL):
            wanted[probe.id] = probe  # with root comes last
    looks: list[Look] = []
    for root in (False, True):
        some = [probe for probe in wanted.values() if probe.root == root]
        stats = [_path(probe) for probe in some if probe.id.startswith("stat:")]
        files = [_path(probe) for probe in some if probe.id.startswith("file:")]
        looks += _named(stats, files, root)
        looks += _matching(stats, files, root)
        looks += [
            Look(Kind.RUN, _checked(probe.argv), root, (probe.id,))
            for probe in some
            if probe.id.startswith("run:")
        ]
    return tuple(looks)


def script(looks: Sequence[Look], nonce: str) -> str:
    """Return the script that answers with every look's output between marks that hold the nonce.

    The nonce is secret until the script runs, so nothing that lies on the host can pass for a mark. Marks go
    to both outputs; the one at a look's end has the exit code, and is cut off with what is beyond the limit.
    """
    lines = [
        "main() {",
        f"n={nonce}",
        "LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin; export LC_ALL PATH; umask 077",
        's="/usr/bin/sudo -n"; [ "$(/usr/bin/id -u)" != 0 ] || s=',
        """b() { printf '\\n%s b %s\\n' "$n" "$1"; printf '\\n%s b %s\\n' "$n" "$1" >&2; }""",
        """e() { printf '\\n%s e %s\\n' "$n" "$1"; }""",
    ]
    for number, look in enumerate(looks):
        run = ("$s " if look.root else "") + shlex.join(look.limited)
        lines.append(f"b {number}; {{ {run} </dev/null; e $?; }} | /usr/bin/head -c {MOST_BYTES}")
    return "\n".join([*lines, "printf '\\n%s z\\n' \"$n\"", "}", "main </dev/null", ""])


REMOTE = shlex.join(("/usr/bin/timeout", "-k", "2", str(HOST_SECONDS), "/bin/sh", "-s"))
"""What ssh runs; the script comes on its standard input. Plain enough for any login shell."""


def sudoers(looks: Iterable[Look], account: str) -> str:
    """Return the sudoers file by which an auditor may run just what needs root. Raises ValueError."""
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", account):
        raise ValueError(f"{account!r} is no name of an account")
    commands = [sudoers_command(look) for look in looks if look.root]
    lines = [
        "# The auditor's rights: these commands with these arguments, read-only, and nothing else.",
        "# Made from the baseline; install it with: visudo -cf FILE && install -m 0440 FILE /etc/sudoers.d/",
    ]
    if commands:
        joined = ", \\\n    ".join(commands)
        lines += [
            f"Cmnd_Alias PROVCHAIN_AUDIT = \\\n    {joined}",
            f"{account} ALL = (root) NOPASSWD: PROVCHAIN_AUDIT",
        ]
    return "\n".join(lines) + "\n"


def sudoers_command(look: Look) -> str:
    """Return a look's command as sudoers has it: every character that means something there is escaped."""
    return " ".join(_escaped(word) for word in look.limited)


def _escaped(word: str) -> str:
    """Escape what sudoers(5) takes for itself, and what it would match as a pattern."""
    return re.sub(r"([\\,:=*?\[\]!^# ])", lambda found: _ESCAPES.get(found[1], "\\" + found[1]), word)


_ESCAPES = {"\\": r"\\\\"}  # once for the file's syntax, and once more for the pattern


def _path(probe: Probe) -> str:
    path = probe.id.partition(":")[2]
    if not _PATH.fullmatch(path) or "/../" in f"{path}/" or "//" in path:
        raise ValueError(f"{probe.id}: not an absolute path of plain characters")
    return path


def _checked(argv: tuple[str, ...]) -> tuple[str, ...]:
    if not argv or not argv[0].startswith("/") or not all(_WORD.fullmatch(word) for word in argv):
        raise ValueError(f"{argv}: not a command with an absolute path and printable words")
    return argv


def _named(stats: Sequence[str], files: Sequence[str], root: bool) -> Iterator[Look]:
    """The groups of the paths without ``*``."""
    stats, files = ([path for path in paths if "*" not in path] for paths in (stats, files))
    if stats:
        yield Look(Kind.STAT, ("/usr/bin/stat", "-c", FORMAT, *stats), root, _ids("stat", stats))
    if files:
        ids = _ids("file", files)
        yield Look(Kind.SORT, ("/usr/bin/stat", "-L", "-c", FORMAT, *files), root, ids)
        yield Look(Kind.READ, (*_GREP, *files), root, ids)


def _matching(stats: Sequence[str], files: Sequence[str], root: bool) -> Iterator[Look]:
    """The patterns: one command each, so that a host's users can't spoil more than what is theirs."""
    # a link in a place that others write to could make root read what they chose
    follow = () if root else ("-L",)
    stat = ("/usr/bin/stat", *follow, "-c", FORMAT)
    for path in stats:
        if "*" in path:
            command = (*_find((), path), "-exec", "/usr/bin/stat", "-c", FORMAT, "{}", "+")
            yield Look(Kind.FIND_STAT, command, root, (f"stat:{path}",))
    for path in files:
        if "*" in path:
            find = _find(follow, path)
            yield Look(Kind.FIND_SORT, (*find, "-exec", *stat, "{}", "+"), root, (f"file:{path}",))
            read = (*find, "-type", "f", "-exec", *_GREP, "{}", "+")
            yield Look(Kind.FIND_READ, read, root, (f"file:{path}",))


# every line of every file, as name, NUL, line; $ matches each, and an empty word has no place in sudoers;
# /bin is where grep is also on systems that keep it apart from /usr/bin
_GREP = ("/bin/grep", "-aHZ", "-m", str(MOST_LINES), "-d", "skip", "-D", "skip", "$")


def _find(follow: tuple[str, ...], pattern: str) -> tuple[str, ...]:
    base = pattern[: pattern.index("*")].rpartition("/")[0] or "/"
    depth = str(pattern.count("/") - (0 if base == "/" else base.count("/")))
    return ("/usr/bin/find", *follow, base, "-mindepth", depth, "-maxdepth", depth, "-path", pattern)


def _ids(kind: str, paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{kind}:{path}" for path in paths)
