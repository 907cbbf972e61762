"""Log lines for machines: one JSON object a line on standard output, where the journal takes them.

    {"time": "…", "level": "warning", "event": "tls.refused", "fields": {"reason": "organisation", …}}

`event` is a stable name and `fields` are its values, as `provnode.net.events` writes them. What libraries say
in words of their own has the event `log` and a `text`; a `traceback` stands beside either.
"""

from __future__ import annotations

import ast
import json
import logging
import re
import sys
from datetime import UTC, datetime

LEVELS = ("debug", "info", "warning", "error")
_EVENT = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
# a plain value, or a quoted one as Python's repr spells it
_VALUE = r"""[^\s'"]+|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_FIELD = re.compile(rf" (\w+)=({_VALUE})")


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {"time": time, "level": record.levelname.lower()}
        text = record.getMessage()
        line |= _parse(text) or {"event": "log", "logger": record.name, "text": text}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _parse(text: str) -> dict[str, object] | None:
    name = _EVENT.match(text)
    if name is None:
        return None
    fields: dict[str, str] = {}
    at = name.end()
    while at < len(text):
        found = _FIELD.match(text, at)
        if found is None:
            return None
        value = found[2]
        fields[found[1]] = str(ast.literal_eval(value)) if value[0] in "'\"" else value
        at = found.end()
    return {"event": name[0], "fields": fields}


def set_level(level: str) -> None:
    """Log from ``level`` on, from now until the next start. Raises ValueError for a name that is none."""
    if level not in LEVELS:
        raise ValueError(f"level: found {level[:32]!r}, allowed: {', '.join(LEVELS)}")
    logging.getLogger().setLevel(level.upper())


def level() -> str:
    """The level from which on is logged."""
    return logging.getLevelName(logging.getLogger().getEffectiveLevel()).lower()


def set_up(level: str) -> None:
    """Send all log lines of ``level`` and above to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
