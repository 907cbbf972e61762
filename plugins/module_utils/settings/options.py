"""One option in a configuration file that knows no drop-ins, changed in place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .base import MissingError, Result, Setting, SettingError, Undo
from .files import rewrite


@dataclass(frozen=True)
class Option(Setting):
    """``option``: a key of a file has this value; ``separator`` stands between them, a blank, ``=``, or ``=``
    between blanks.

    The last line that sets the key is changed, earlier ones go; without one, a line is added. Comments stay.
    """

    path: str
    key: str
    value: str
    separator: str = "="

    @property
    def label(self) -> str:
        return f"{self.path} {self.key}"

    def check(self) -> None:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", self.key) or re.search(r"[\n#]", self.value):
            raise SettingError(f"{self.path}: {self.key!r} = {self.value!r} is no option")
        if self.separator not in (" ", "=", " = "):
            raise SettingError(f"{self.path}: separator {self.separator!r}, allowed: a blank, =, ' = '")

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        path = Path(self.path)
        if not path.is_file() or path.is_symlink():
            raise MissingError(f"{path}: no such file")
        before = path.read_text(errors="surrogateescape")
        after = self._changed(before.splitlines(keepends=True))
        result = Result()
        if before != after:
            result.note("set")
            result.before, result.after = self._lines(before), self._lines(after)
            if not dry:
                rewrite(path, after.encode(errors="surrogateescape"))
        return result

    def _changed(self, lines: list[str]) -> str:
        mine = [number for number, line in enumerate(lines) if self._sets(line)]
        text = f"{self.key}{self.separator}{self.value}\n"
        if len(mine) == 1 and self._is_right(lines[mine[0]]):
            return "".join(lines)
        if not mine:
            if lines and not lines[-1].endswith("\n"):
                lines[-1] += "\n"
            return "".join([*lines, text])
        lines[mine[-1]] = text
        return "".join(line for number, line in enumerate(lines) if number not in mine[:-1])

    def _sets(self, line: str) -> bool:
        between = r"\s+" if self.separator == " " else r"\s*="
        return re.match(rf"\s*{re.escape(self.key)}{between}", line) is not None

    def _is_right(self, line: str) -> bool:
        # whoever wants blanks around the sign may refuse a line that has none (auditd)
        return self._value(line) == self.value and (self.separator != " = " or line.split()[1:2] == ["="])

    def _value(self, line: str) -> str:
        return line.strip()[len(self.key) :].strip().removeprefix("=").partition("#")[0].strip()

    def _lines(self, text: str) -> str:
        return "".join(line for line in text.splitlines(keepends=True) if self._sets(line))

    def undo(self) -> Undo:
        """Put the key's own lines back and leave the rest of the file as it will be then."""
        rows = self._lines(Path(self.path).read_text(errors="surrogateescape")).splitlines()
        between = r"[[:space:]]+" if self.separator == " " else r"[[:space:]]*="
        key = self.key.replace(".", r"\.")
        remove = ["/bin/sed", "-i", "-E", rf"/^[[:space:]]*{key}{between}/d", self.path]
        add = [["/bin/sh", "-c", 'printf "%s\\n" "$1" >>"$2"', "sh", row, self.path] for row in rows]
        return Undo(commands=[remove, *add])
