"""Read YAML into plain data and remember the line of every key.

The accepted language is the part of YAML 1.2 that a description needs: mappings with text keys, lists,
text, decimal whole numbers, true, false and null. Anchors, aliases, tags, directives, duplicate keys and
other numbers are refused, so a file can't expand in memory and no value means something unexpected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from yaml import MarkedYAMLError, YAMLError, events
from yaml.reader import ReaderError

from provchain.document.problems import DocumentError, KeyPath, Problem, key_text

MAX_BYTES = 1 << 20
"""A description of a hundred hosts takes some 40 kB; more than 1 MiB is a mistake or an attack."""
MAX_DEPTH = 16
MAX_KEY = 64

_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_OTHER_NUMBER = re.compile(
    r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|0[xob][0-9a-fA-F_]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_HALF = re.compile("[\ud800-\udfff]")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


Value = str | int | bool | None | list["Value"] | dict[str, "Value"]


@dataclass
class Document:
    """The data of a YAML file, the line (from 1) of every key path in it, and the problems found so far."""

    file: str
    data: Value = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    broken: set[str | int] = field(default_factory=set)
    """The top-level keys under which something is wrong."""

    def line(self, path: KeyPath) -> int:
        """Return the line of a path, or of the nearest key above it that is in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def refuse(self, path: KeyPath, found: str, allowed: str, line: int | None = None) -> None:
        """Note a problem at a path."""
        self.problems.append(Problem(self.file, line or self.line(path), key_text(path), found, allowed))
        self.broken.update(path[:1])


def read(path: Path, what: str) -> str:
    """Return a file's text. Raises DocumentError if it can't be read, is too large or is not UTF-8.

    ``what`` is what the file should be, in refusals: ``chain.yml``.
    """
    file = str(path)
    try:
        if not path.is_file():
            raise _refusal(file, 1, "no such file", f"a readable {what}")
        with path.open("rb") as source:
            raw = source.read(MAX_BYTES + 1)
    except OSError as error:
        raise _refusal(file, 1, error.strerror or str(error), f"a readable {what}") from None
    if len(raw) > MAX_BYTES:
        raise _refusal(file, 1, "a larger file", f"at most {MAX_BYTES} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _refusal(file, line, f"the byte 0x{raw[error.start]:02x}", "UTF-8 text") from None


def parse(text: str, file: str) -> Document:
    """Read YAML text, by libyaml. Raises DocumentError where reading can't go on.

    Other problems are in the document.
    """
    document = Document(file)
    stream: Iterator[events.Event] = yaml.parse(text, Loader=yaml.CSafeLoader)
    try:
        _Builder(document, stream).build()
        return document
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        document.refuse((), f"a syntax error ({error.problem or error.context})", "valid YAML", line)
    except ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        document.refuse((), "a control character", "printable UTF-8 text", line)
    except (YAMLError, ValueError, OverflowError) as error:
        # the last two: escapes such as "\UFFFFFFFF" that no character has
        document.refuse((), f"a syntax error ({' '.join(str(error).split())})", "valid YAML", 1)
    raise DocumentError(tuple(document.problems))


class _Builder:
    """Turns the parser's events into data; recursion is bounded by MAX_DEPTH."""

    def __init__(self, document: Document, stream: Iterator[events.Event]) -> None:
        self._document = document
        self._stream = stream

    def build(self) -> None:
        for event in self._stream:
            if isinstance(event, events.DocumentStartEvent):
                if event.version or event.tags:
                    raise self._stop(event, (), "a % directive", "none")
                if self._document.lines:
                    raise self._stop(event, (), "a second document", "one document in a file")
                first = next(self._stream)
                self._document.lines[()] = _line(first)
                self._document.data = self._value(first, (), 0)

    def _value(self, event: events.Event, path: KeyPath, depth: int) -> Value:
        if isinstance(event, events.AliasEvent):
            raise self._stop(event, path, f"the alias *{event.anchor}", "values written out")
        if not isinstance(event, events.ScalarEvent | events.CollectionStartEvent):
            raise self._stop(event, path, "no value", "a value")
        if event.anchor is not None:
            raise self._stop(event, path, f"the anchor &{event.anchor}", "values written out")
        if event.tag is not None:
            raise self._stop(event, path, f"the tag {event.tag}", "values without a tag")
        if isinstance(event, events.ScalarEvent):
            return self._scalar(event, path)
        if depth == MAX_DEPTH:
            raise self._stop(event, path, "a deeper level", f"at most {MAX_DEPTH} levels")
        if isinstance(event, events.MappingStartEvent):
            return self._mapping(path, depth)
        return self._list(path, depth)

    def _mapping(self, path: KeyPath, depth: int) -> dict[str, Value]:
        out: dict[str, Value] = {}
        while not isinstance(event := next(self._stream), events.MappingEndEvent):
            if not isinstance(event, events.ScalarEvent) or event.anchor or event.tag:
                raise self._stop(event, path, "a key that is not plain text", "text as key")
            key = self._text(event, path)
            if len(key) > MAX_KEY:
                found = f"a key of {len(key)} characters"
                raise self._stop(event, path, found, f"keys of at most {MAX_KEY} characters")
            here = (*path, key)
            if key in out:
                first = self._document.line(here)
                self._document.refuse(
                    here, f"the key again (first in line {first})", "each key once", _line(event)
                )
                self._value(next(self._stream), here, depth + 1)
                continue
            self._document.lines.setdefault(here, _line(event))
            out[key] = self._value(next(self._stream), here, depth + 1)
        return out

    def _list(self, path: KeyPath, depth: int) -> list[Value]:
        out: list[Value] = []
        while not isinstance(event := next(self._stream), events.SequenceEndEvent):
            here = (*path, len(out))
            self._document.lines.setdefault(here, _line(event))
            out.append(self._value(event, here, depth + 1))
        return out

    def _scalar(self, event: events.ScalarEvent, path: KeyPath) -> str | int | bool | None:
        text = self._text(event, path)
        if not event.implicit[0]:
            return text  # quoted, or a block of text
        if text in _WORDS:
            return _WORDS[text]
        if _WHOLE.fullmatch(text):
            return int(text)
        if _OTHER_NUMBER.fullmatch(text):
            found = f"the number {text[:40]}"
            self._document.refuse(path, found, "a decimal whole number, or text in quotes", _line(event))
        return text

    def _text(self, event: events.ScalarEvent, path: KeyPath) -> str:
        """Return a scalar's text; an escape can spell half a surrogate pair, which no encoding holds."""
        text: str = event.value
        if _HALF.search(text):
            raise self._stop(event, path, "an escape that is no character", "Unicode text")
        return text

    def _stop(self, event: events.Event, path: KeyPath, found: str, allowed: str) -> DocumentError:
        self._document.refuse(path, found, allowed, _line(event))
        return DocumentError(tuple(self._document.problems))


def _line(event: events.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _refusal(file: str, line: int, found: str, allowed: str) -> DocumentError:
    return DocumentError((Problem(file, line, "", found, allowed),))
