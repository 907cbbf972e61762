"""What a host answered to the script of ``looks``: read strictly, whatever it says. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from provchain.audit.looks import FAILED, MOST_LINES, READ, SUCCEEDED, Kind, Look, inside, start, walked
from provchain.baseline.facts import Output, Probe, Status

MOST_REASON = 200
_TIMED_OUT = (124, 137)
_NO_SUDO = re.compile(
    r"^(sudo: |Sorry, user |.{1,64} is not (in the sudoers file|allowed to run sudo)|.*: /usr/bin/sudo: )",
    re.M,
)
_QUOTED = re.compile(r"'([^'\\]*)'( -> .*)?")
_COMPLAINT = re.compile(r"(?:(?:/usr)?/bin/)?(?:grep: |find: '|stat: cannot statx? ')(.+?)'?: ([^:]*)")
_NOT_THERE = ("No such file or directory", "Not a directory")


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
    read = {Kind.RUN: _ran, Kind.PATHS: _paths}
    outputs: dict[str, Output] = {}
    for number, frame in _frames(looks, nonce, out, err).items():
        outputs |= read[looks[number].kind](looks[number], frame)
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
        # a tool of ours that is missing says nothing of what it was to look at
        missing = frame.code == 127 and "No such file or directory" in frame.err
        return Output(Status.DENIED, frame.code, f"no {look.argv[0]}" * missing)
    said = _complaints(frame)
    tools = {look.argv[n + 1] for n, word in enumerate(look.argv) if word == "-exec"}
    if look.kind != Kind.RUN and (gone := min(tools & set(said), default="")):
        return Output(Status.DENIED, frame.code, f"{gone}: {said[gone]}")
    return None


def _ran(look: Look, frame: Frame) -> dict[str, Output]:
    """What each command printed, and whether it ended well."""
    failed = _ended(look, frame)
    said = _complaints(frame)
    # text, mark, text, mark … and what comes after the last
    parts = frame.out.split(b"\0")
    ends = dict(zip(look.probes, zip(parts[::2], parts[1:-1:2], strict=False), strict=False))
    outputs: dict[str, Output] = {}
    for probe in look.probes:
        text, mark = ends.get(probe, (b"", b""))
        if mark not in (SUCCEEDED, FAILED):
            # it did not come to its end, or printed what no text is; of what follows, nothing can be told
            lost = failed or Output(Status.DENIED, 0, "what it printed is no text")
            return outputs | {one.id: lost for one in look.probes if one.id not in outputs}
        outputs[probe.id] = _one(probe, text, mark, said)
    if len(parts) > 2 * len(look.probes) + 1:
        return dict.fromkeys(outputs, Output(Status.DENIED, 0, "more was printed than was asked"))
    return outputs


def _one(probe: Probe, text: bytes, mark: bytes, said: Mapping[str, str]) -> Output:
    reason = said.get(probe.argv[0])
    if mark == FAILED and not text and reason:
        return _missing(reason)  # the command itself could not be run
    return Output(Status.SEEN, int(mark == FAILED), text.decode("utf-8", "replace"))


def _paths(look: Look, frame: Frame) -> dict[str, Output]:
    """Attributes of paths, and the lines of files: of named ones, and of what patterns match."""
    failed = _ended(look, frame)
    said = _complaints(frame)
    texts = _Texts(frame, failed, said)
    outputs: dict[str, Output] = {}
    for kind, mark in (("stat", ""), ("file", READ)):
        rows = _Rows(look, frame, said, mark)
        for probe in look.probes:
            if probe.id.startswith(f"{kind}:"):
                outputs |= _of_one(probe, rows, texts if kind == "file" else None, failed)
    return outputs


def _of_one(probe: Probe, rows: _Rows, texts: _Texts | None, failed: Output | None) -> dict[str, Output]:
    """What was told of a path, or of each that a pattern matched and of all of them together."""
    found = rows.matching(probe.path)
    if "*" not in probe.path and not found:
        return {probe.id: failed or rows.absent(probe.path)}
    walled = (failed or rows.walled(probe.path)) if "*" in probe.path else None
    outputs: dict[str, Output] = {}
    if texts is None:
        outputs = {f"stat:{path}": Output(Status.SEEN, 0, f"{row}\n") for path, row in found.items()}
    elif walled is None:
        outputs = {f"file:{path}": texts.of(path, row) for path, row in found.items()}
    if "*" in probe.path:
        listed = "".join(f"{row if texts is None else path}\n" for path, row in found.items())
        outputs[probe.id] = walled or (Output(Status.SEEN, 0, listed) if found else Output(Status.MISSING))
    return outputs


class _Texts:
    """What grep printed: the file's name and a NUL before each line, so no content passes for another's."""

    def __init__(self, frame: Frame, failed: Output | None, said: Mapping[str, str]) -> None:
        self._failed = failed
        self._said = said
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


class _Rows:
    """What stat printed, a line for each path, in one of its two forms; and what could not be seen."""

    def __init__(self, look: Look, frame: Frame, said: Mapping[str, str], mark: str) -> None:
        self.said = said
        self._walked = walked(probe.path for probe in look.probes)
        self._rows: dict[str, str] = {}
        self._strange: list[str] = []
        for raw in frame.out.split(b"\n"):
            # a line with a NUL is one of a file's, whatever else it looks like
            if not raw or b"\0" in raw:
                continue
            line = raw.decode("utf-8", "replace")
            parts = line.removeprefix(READ).split("|", 6)
            quoted = _QUOTED.fullmatch(parts[6]) if len(parts) == 7 else None
            if not (quoted and parts[4].isdecimal() and len(parts[4]) < 20):
                self._strange.append(parts[6][1:] if len(parts) == 7 else "")
            elif line.startswith(READ) == bool(mark):
                self._rows[quoted[1]] = "|".join([*parts[:6], quoted[1]])

    def matching(self, wanted: str) -> dict[str, str]:
        """Return the line of a path, or, of a pattern, those of all paths that it matches, in their order."""
        if "*" not in wanted:
            return {wanted: self._rows[wanted]} if wanted in self._rows else {}
        return {path: row for path, row in sorted(self._rows.items()) if matches(path, wanted)}

    def absent(self, path: str) -> Output:
        """Return what it means that nothing was told of a named path."""
        if path not in self.said and inside(path, self._walked):
            return self.walled(path) or Output(Status.MISSING)
        return _missing(self.said.get(path))

    def walled(self, pattern: str) -> Output | None:
        """Return DENIED where a pattern was not wholly followed: a wall, or a name that can't be told safely.

        A line that is none, or a complaint of nothing in particular, could be of any pattern.
        """
        base = start(pattern) if "*" in pattern else pattern.rpartition("/")[0]
        for path, words in self.said.items():
            there = not path or path == base or path.startswith(f"{base.rstrip('/')}/")
            if there and words not in _NOT_THERE:
                return Output(Status.DENIED, 0, _first_words(f"{path}: {words}".encode()))
        for name in self._strange:
            if not name.startswith("/") or name.startswith(f"{base.rstrip('/')}/"):
                return Output(Status.DENIED, 0, "a name has unusual characters")
        return None


def _complaints(frame: Frame) -> dict[str, str]:
    """Return what find, stat and grep could not look at, by path; without one where they name none."""
    said: dict[str, str] = {}
    for line in frame.err.split("\n"):
        found = _COMPLAINT.fullmatch(line)
        if found:
            said[found[1]] = found[2]
        elif re.match(r"[^ ]*(find|stat|grep): ", line):
            said[""] = line
    return said


def _missing(said: str | None) -> Output:
    if said in _NOT_THERE:
        return Output(Status.MISSING)
    return Output(Status.DENIED, 0, (said or "nothing was told of it")[:MOST_REASON])


def matches(path: str, pattern: str) -> bool:
    """Tell whether a shell would expand the pattern to this path: ``*`` stays within a name."""
    return _expression(pattern).fullmatch(path) is not None


@lru_cache(maxsize=256)
def _expression(pattern: str) -> re.Pattern[str]:
    """Return a pattern as an expression; a dot that a name begins with has to be in the pattern."""
    names = (re.escape(name).replace(r"\*", "[^/]*") for name in pattern.split("/"))
    return re.compile("/".join(f"(?!\\.){name}" if name.startswith("[^/]*") else name for name in names))
