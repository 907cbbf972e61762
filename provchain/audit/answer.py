"""What a host answered to the script of ``looks``: read strictly, whatever it says. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from provchain.audit.looks import MOST_LINES, Kind, Look
from provchain.baseline.facts import Output, Status

MOST_REASON = 200
_TIMED_OUT = (124, 137)
_NO_SUDO = re.compile(
    r"^(sudo: |Sorry, user |.{1,64} is not (in the sudoers file|allowed to run sudo)|.*: /usr/bin/sudo: )",
    re.M,
)
_QUOTED = re.compile(r"'([^'\\]*)'( -> .*)?")
_COMPLAINT = re.compile(r"(?:(?:/usr)?/bin/)?(?:grep: |stat: cannot statx? ')(.+?)'?: ([^:]*)")


class AnswerError(Exception):
    """The answer is none to what was asked; nothing of it is believed."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What one look printed; ``code`` is None where the end was cut off."""

    out: bytes
    err: str
    code: int | None


def parse(looks: Sequence[Look], nonce: str, out: bytes, err: bytes) -> dict[str, Output]:
    """Return the output of every probe that was answered, by its name. Raises AnswerError.

    Files and paths that a pattern matched come under their own names as well. Probes that the host said
    nothing of are left out, and so are unknown.
    """
    frames = _frames(looks, nonce, out, err)
    outputs: dict[str, Output] = {}
    for number, frame in frames.items():
        look = looks[number]
        if look.kind == Kind.RUN:
            outputs[look.probes[0]] = _ran(look, frame)
        elif look.kind == Kind.STAT:
            outputs |= _told(look, frame)
        elif look.kind == Kind.FIND_STAT:
            outputs |= _found(look, frame)
        elif look.kind in (Kind.READ, Kind.FIND_READ) and number - 1 in frames:
            outputs |= _read(look, frames[number - 1], frame)
    return outputs


def _frames(looks: Sequence[Look], nonce: str, out: bytes, err: bytes) -> dict[int, Frame]:
    errors = dict(_errors(nonce, err))
    marks = list(re.finditer(rb"\n%s (?:([be]) ([0-9]{1,5})|z)\n" % nonce.encode("ascii"), out))
    frames: dict[int, Frame] = {}
    open_: int | None = None
    last = -1
    for place, mark in enumerate(marks):
        if mark[1] is None and place != len(marks) - 1:
            raise AnswerError("it goes on after its end")
        if mark[1] == b"b":
            last, before = int(mark[2]), last
            if not before < last < len(looks):
                raise AnswerError(f"it tells of number {last}, which was not asked for there")
            open_ = last
            # until its end is seen, it counts as cut off
            until = marks[place + 1].start() if place + 1 < len(marks) else len(out)
            frames[last] = Frame(out[mark.end() : until], errors.get(last, ""), None)
        elif mark[1] == b"e":
            if open_ is None:
                raise AnswerError("it ends what did not begin")
            frames[open_] = Frame(frames[open_].out, frames[open_].err, int(mark[2]))
            open_ = None
    if not marks:
        raise AnswerError(_last_words(err) or _last_words(out) or "it said nothing")
    return frames


def _errors(nonce: str, err: bytes) -> Iterator[tuple[int, str]]:
    parts = re.split(rb"\n%s b ([0-9]{1,5})\n" % nonce.encode("ascii"), err)
    for number, text in zip(parts[1::2], parts[2::2], strict=True):
        yield int(number), text.decode("utf-8", "replace")


def _first_words(raw: bytes) -> str:
    text = raw[: 4 * MOST_REASON].decode("utf-8", "replace").strip()
    return "".join(letter if letter.isprintable() else " " for letter in text)[:MOST_REASON]


def _last_words(raw: bytes) -> str:
    """Return the last line, where programs say what stopped them."""
    return _first_words((raw.strip().splitlines() or [b""])[-1])


def _ended(look: Look, frame: Frame) -> Output | None:
    """Return how a command failed to be looked at, or None if its output is whole."""
    if frame.code is None:
        return Output(Status.TRUNCATED)
    if frame.code in _TIMED_OUT:
        return Output(Status.TIMEOUT, frame.code)
    if look.root and frame.code in (1, 127) and not frame.out and (no := _NO_SUDO.search(frame.err)):
        return Output(Status.DENIED, frame.code, _first_words(frame.err[no.start() :].encode()))
    if "timeout: failed to run command" in frame.err:
        gone = frame.code == 127 and "No such file or directory" in frame.err
        # a tool of ours that is missing says nothing of the files that it was to look at
        missing = gone and look.kind == Kind.RUN
        return Output(Status.MISSING if missing else Status.DENIED, frame.code, f"no {look.argv[0]}" * gone)
    return None


def _ran(look: Look, frame: Frame) -> Output:
    failed = _ended(look, frame)
    return failed or Output(Status.SEEN, frame.code or 0, frame.out.decode("utf-8", "replace"))


def _told(look: Look, frame: Frame) -> dict[str, Output]:
    """Attributes of named paths: a line of output or a word of complaint for each."""
    failed = _ended(look, frame)
    rows, _ = _rows(frame)
    said = _complaints(frame)
    paths = [probe.partition(":")[2] for probe in look.probes]
    return {
        f"stat:{path}": Output(Status.SEEN, 0, rows[path] + "\n")
        if path in rows
        else failed or _missing(said.get(path))
        for path in paths
    }


def _found(look: Look, frame: Frame) -> dict[str, Output]:
    """Attributes of what a pattern matched, all together and each."""
    (probe,) = look.probes
    pattern = probe.partition(":")[2]
    failed = _ended(look, frame) or _walled(frame)
    if failed:
        return {probe: failed}
    rows = {path: line for path, line in _rows(frame)[0].items() if matches(path, pattern)}
    outputs = {f"stat:{path}": Output(Status.SEEN, 0, line + "\n") for path, line in rows.items()}
    whole = Output(Status.SEEN, 0, "".join(f"{rows[path]}\n" for path in sorted(rows)))
    return {**outputs, probe: whole if rows else Output(Status.MISSING)}


def _read(look: Look, sorted_: Frame, frame: Frame) -> dict[str, Output]:
    """The lines of files, which the frame before told to be there."""
    failed = _ended(look, sorted_)
    rows, _ = _rows(sorted_)
    texts = _Texts(look, frame)
    if look.kind == Kind.READ:
        said = _complaints(sorted_)
        paths = [probe.partition(":")[2] for probe in look.probes]
        return {
            f"file:{path}": texts.of(path, rows[path]) if path in rows else failed or _missing(said.get(path))
            for path in paths
        }
    (probe,) = look.probes
    failed = failed or _walled(sorted_)
    if failed:
        return {probe: failed}
    found = {path: line for path, line in sorted(rows.items()) if matches(path, probe.partition(":")[2])}
    listed = Output(Status.SEEN, 0, "".join(f"{path}\n" for path in found))
    outputs = {f"file:{path}": texts.of(path, line) for path, line in found.items()}
    return {**outputs, probe: listed if found else Output(Status.MISSING)}


class _Texts:
    """What grep printed: the file's name and a NUL before each line, so no content passes for another's."""

    def __init__(self, look: Look, frame: Frame) -> None:
        self._failed = _ended(look, frame)
        self._said = _complaints(frame)
        self._lines: dict[str, list[bytes]] = {}
        for line in frame.out.split(b"\n"):
            path, nul, text = line.partition(b"\0")
            if nul:
                self._lines.setdefault(path.decode("utf-8", "replace"), []).append(text)
        self._last = next(reversed(self._lines), None)

    def of(self, path: str, row: str) -> Output:
        """Return a file's text, given its attributes."""
        kind, *_, size, _, _ = row.split("|", 6)
        if kind not in ("regular file", "regular empty file"):
            return Output(Status.DENIED, 0, f"it is no file but a {kind}"[:MOST_REASON])
        lines = self._lines.get(path)
        if lines is None:
            if path in self._said:
                return Output(Status.DENIED, 0, self._said[path][:MOST_REASON])
            if self._failed or kind == "regular file":
                return self._failed or Output(Status.TRUNCATED)
            return Output(Status.SEEN)
        raw = b"".join(line + b"\n" for line in lines)
        # the last file of an answer that was cut is half read, and so is one with more lines than are taken
        if self._failed and path == self._last:
            return self._failed
        if len(lines) >= MOST_LINES or len(raw) < int(size):
            return Output(Status.TRUNCATED)
        return Output(Status.SEEN, 0, raw.decode("utf-8", "replace"))


def _rows(frame: Frame) -> tuple[dict[str, str], bool]:
    """Return the lines of stat by path, the name as it is, and whether there were others than such lines."""
    rows: dict[str, str] = {}
    strange = False
    for line in frame.out.decode("utf-8", "replace").split("\n"):
        parts = line.split("|", 6)
        quoted = _QUOTED.fullmatch(parts[6]) if len(parts) == 7 else None
        if quoted and parts[4].isdecimal() and len(parts[4]) < 20:
            rows[quoted[1]] = "|".join([*parts[:6], quoted[1]])
        else:
            strange = strange or bool(line)
    return rows, strange


def _walled(frame: Frame) -> Output | None:
    """Return DENIED where a pattern was not wholly followed: a wall, or a name that can't be told safely."""
    denied = re.search(r"^.*: (Permission denied|Input/output error)$", frame.err, re.M)
    if denied:
        return Output(Status.DENIED, 0, _first_words(denied[0].encode()))
    return Output(Status.DENIED, 0, "a name has unusual characters") if _rows(frame)[1] else None


def _complaints(frame: Frame) -> dict[str, str]:
    """Return what grep or stat said of paths that they could not look at."""
    found = (_COMPLAINT.fullmatch(line) for line in frame.err.split("\n"))
    return {one[1]: one[2] for one in found if one}


def _missing(said: str | None) -> Output:
    if said in ("No such file or directory", "Not a directory"):
        return Output(Status.MISSING)
    return Output(Status.DENIED, 0, (said or "nothing was told of it")[:MOST_REASON])


def matches(path: str, pattern: str) -> bool:
    """Tell whether a shell would expand the pattern to this path: ``*`` stays within a name."""
    names, wanted = path.split("/"), pattern.split("/")
    return len(names) == len(wanted) and all(
        fnmatchcase(name, want) and (not name.startswith(".") or want.startswith("."))
        for name, want in zip(names, wanted, strict=True)
    )
