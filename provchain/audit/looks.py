"""What is asked of a host: its probes put together into few commands, and those into one shell script. Pure.

A host needs nothing but a POSIX shell, coreutils, GNU find, grep and, for an auditor who is not root, sudo.
What costs a host is processes, a millisecond each, and sudo, six: so there are two commands without root and
two with it, whatever is asked. One ``find`` hands all paths to ``stat``, and files to ``grep`` as well, which
prints each line under its file's name and opens no FIFO, device or socket; one runs all other commands, one
after the other. Where it runs as root, a pattern follows no link.
The commands that need root are, word for word, the auditor's sudo list; they come from a whole profile, so
that it is the same for every host and every question.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from provchain.baseline.facts import EXTERNAL, Probe

SECONDS = 60
"""Time limit of one command of the script."""
HOST_SECONDS = 180
"""Time limit of the whole script on the host."""
MOST_BYTES = 2 << 20
"""Size limit of one command's output."""
MOST_LINES = 20_000
"""Lines taken of one file."""
FORMAT = "%F|%a|%U|%G|%s|%Y|%N"
"""As ``facts.attributes`` tells them, but the name quoted, so that no name can pass for two lines."""
READ = "="
"""What stands before this where a file is to be read; it is then told of what a link leads to."""
SUCCEEDED, FAILED = b"y", b"n"
"""What stands between two NULs after the output of each command that was run: its exit code was 0, or not.

No text of a program has a NUL in it, and no name of a file: nothing that lies on a host can pass for this.
"""

_PATH = re.compile(r"/[A-Za-z0-9_.@+:,=~/*-]{0,250}")
_WORD = re.compile(r"[\x20-\x7e]+")


class Kind(StrEnum):
    """How the answer to a command is read."""

    PATHS = "paths"
    """Attributes of paths, links not followed; and of files to be read, links followed, with their lines."""
    RUN = "run"
    """What commands print, and how each ended."""


@dataclass(frozen=True, slots=True)
class Look:
    """One command of the script, and the probes that its output answers, in the order in which they run."""

    kind: Kind
    argv: tuple[str, ...]
    root: bool
    probes: tuple[Probe, ...]

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
            before = wanted.get(probe.id, probe)
            # with root comes last
            wanted[probe.id] = replace(probe, over=tuple(sorted({*before.over, *probe.over})))
    looks: list[Look] = []
    for root in (False, True):
        some = [probe for probe in wanted.values() if probe.root == root]
        looks += _finds([probe for probe in some if probe.path], root)
        # what grows with what people leave on a host comes last: it is what may be cut, or take too long
        commands = sorted((one for one in some if not one.path), key=lambda one: one.last)
        if commands:
            looks.append(Look(Kind.RUN, tuple(_run(commands)), root, tuple(commands)))
    return tuple(looks)


def script(looks: Sequence[Look], nonce: str) -> str:
    """Return the script that answers with every look's output between marks that hold the nonce.

    The nonce is secret until the script runs, so nothing that lies on the host can pass for a mark. Marks go
    to both outputs; the one at a look's end has the exit code, and is cut off with what is beyond the limit.
    """
    lines = [
        "main() {",
        f"n={nonce}",
        "LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin; export LC_ALL PATH",
        # who is root needs no sudo: told without a process, by whom the top folder belongs to
        's="/usr/bin/sudo -n"; [ ! -O / ] || s=',
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
    """Return the sudoers file by which an auditor, or a %group of them, may run just what needs root.

    Raises ValueError for what is no name.
    """
    if not re.fullmatch(r"%?[a-z_][a-z0-9_-]{0,31}", account):
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
    """Return a look's command as sudoers has it: every character that means something there is escaped.

    It goes on over several lines, which means a blank there: a line for each command that it runs.
    """
    lines = [""]
    for word in map(_escaped, look.limited):
        if word == "(" or len(lines[-1]) + len(word) > _WIDTH:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return " \\\n        ".join(lines)


def _escaped(word: str) -> str:
    """Escape what sudoers(5) takes for itself, and what it would match as a pattern."""
    return re.sub(r"([\\,:=*?\[\]!^# ])", lambda found: _ESCAPES.get(found[1], "\\" + found[1]), word)


_WIDTH = 100
_ESCAPES = {"\\": r"\\\\"}  # once for the file's syntax, and once more for the pattern


def _path(probe: Probe) -> str:
    path = probe.path
    if not _PATH.fullmatch(path) or "/../" in f"{path}/" or "//" in path:
        raise ValueError(f"{probe.id}: not an absolute path of plain characters")
    return path


def _run(probes: Iterable[Probe]) -> Iterator[str]:
    """Yield the ``find`` that runs commands in turn, whatever becomes of each, and marks where each ends.

    What it runs stands in its arguments, and so in the sudo list, word for word; no shell reads it.
    """
    yield from ("/usr/bin/find", "/", "-maxdepth", "0")
    ends = [rf"\0{mark.decode()}\0" for mark in (SUCCEEDED, FAILED)]
    for probe in probes:
        argv = (*probe.argv, *probe.over)
        if not argv or not argv[0].startswith("/") or not all(map(_WORD.fullmatch, argv)):
            raise ValueError(f"{argv}: not a command with an absolute path and printable words")
        if ";" in argv or any("{}" in word for word in argv):
            raise ValueError(f"{argv}: not a command that find can run")
        yield from ("(", "-exec", *argv, ";", "-printf", ends[0], "-o", "-printf", ends[1], ")")


def _finds(probes: Sequence[Probe], root: bool) -> Iterator[Look]:
    """Yield one ``find`` for all named paths and all patterns of names in a named folder.

    A pattern of folders has one of its own: those may be people's, who could spoil what else it tells.
    """
    deep = [probe for probe in probes if "*" in _path(probe).rpartition("/")[0]]
    plain = [probe for probe in probes if probe not in deep]
    for some in ([plain] if plain else []) + [[probe] for probe in deep]:
        paths = sorted({probe.path for probe in some})
        folders = walked(paths)
        # what lies in a folder that is walked is met there, and would be told twice
        starts = dict.fromkeys(start(path) for path in paths if "*" in path or not inside(path, folders))
        depth = str(max(path.count("/") - start(path).rstrip("/").count("/") for path in paths))
        argv = ("/usr/bin/find", "-H", *starts, "-maxdepth", depth, *_told(some, root))
        yield Look(Kind.PATHS, argv, root, tuple(some))


def _told(probes: Sequence[Probe], root: bool) -> Iterator[str]:
    stats = [probe.path for probe in probes if probe.id.startswith("stat:")]
    files = [probe.path for probe in probes if probe.id.startswith("file:")]
    stat = ("/usr/bin/stat", "-c", FORMAT)
    if stats:
        yield from (*_any(stats), "-exec", *stat, "{}", "+")
    if stats and files:
        yield ","
    if not files:
        return
    read = ("/usr/bin/stat", "-c", READ + FORMAT)
    # a link in a place that others write to could make root read what they chose
    followed = [path for path in files if not (root and "*" in path)]
    kept = [path for path in files if path not in followed]
    yield "("
    if followed:
        yield from (*_any(followed), "-exec", *read, "-L", "{}", "+")
    if followed and kept:
        yield "-o"
    if kept:
        yield from (*_any(kept), "-exec", *read, "{}", "+")
    yield ")"
    # a link that is named is followed (-H); what is met on the way may be one for who is not root
    yield from ("-type", "f") if root else ("(", "-type", "f", "-o", "-xtype", "f", ")")
    yield from ("-exec", *_GREP, "{}", "+")


def _any(paths: Sequence[str]) -> Iterator[str]:
    yield "("
    for number, path in enumerate(paths):
        yield from ("-o",) * (number > 0)
        yield from ("-path", path)
    yield ")"


def walked(paths: Iterable[str]) -> frozenset[str]:
    """Return the folders in which patterns are looked for."""
    return frozenset(start(path) for path in paths if "*" in path)


def inside(path: str, folders: Iterable[str]) -> bool:
    """Tell whether a path is of something in one of these folders."""
    return (path.rpartition("/")[0] or "/") in folders


def start(path: str) -> str:
    """Return where to look for a path: at itself, or in the folder below which a pattern begins."""
    return path[: path.index("*")].rpartition("/")[0] or "/" if "*" in path else path


# every line of every file, as name, NUL, line; $ matches each, and an empty word has no place in sudoers;
# /bin is where grep is also on systems that keep it apart from /usr/bin
_GREP = ("/bin/grep", "-aHZ", "-m", str(MOST_LINES), "-d", "skip", "-D", "skip", "$")
