"""Log lines: JSON whatever is logged, with names that alerts can rely on."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from provnode.net.events import log_event
from provnode.ops.logs import JsonLines


class Kept(logging.Handler):
    """Keeps the lines as they would be written."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonLines())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def logged(act: Callable[[logging.Logger], None]) -> dict[str, Any]:
    logger, kept = logging.getLogger("test.logs"), Kept()
    logger.propagate = False
    logger.addHandler(kept)
    try:
        act(logger)
    finally:
        logger.removeHandler(kept)
    (line,) = kept.lines
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    assert set(found) <= {"time", "level", "event", "fields", "logger", "text", "traceback"}
    return found


def test_an_event_has_its_name_and_fields() -> None:
    found = logged(
        lambda log: log_event(
            log,
            logging.WARNING,
            "tls.refused",
            reason="organisation",
            peer="10.0.0.1",
            error=OSError('it\'s "so"'),
            n=3,
        )
    )
    assert (found["level"], found["event"]) == ("warning", "tls.refused")
    assert found["fields"] == {"reason": "organisation", "peer": "10.0.0.1", "error": 'it\'s "so"', "n": "3"}
    assert "text" not in found


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.text(max_size=60), max_size=4))
def test_a_value_from_outside_comes_back_as_it_was_and_forges_nothing(fields: dict[str, str]) -> None:
    fields = {f"x_{key}": value for key, value in fields.items()}
    found = logged(lambda log: log_event(log, logging.WARNING, "peer.lost", **fields))
    assert found["event"] == "peer.lost" and found["fields"] == fields


def test_other_peoples_words_are_text() -> None:
    for text in ("Task was destroyed", "a.b c=d e", "node.started but=then words", ""):

        def act(logger: logging.Logger, text: str = text) -> None:
            logger.warning("%s", text)

        found = logged(act)
        assert (found["event"], found["text"], found["logger"]) == ("log", text, "test.logs")


def test_a_traceback_stands_beside_its_event() -> None:
    def act(logger: logging.Logger) -> None:
        try:
            raise ZeroDivisionError("inside")
        except ZeroDivisionError:
            logger.exception("rpc.failed method=%s", "block")

    found = logged(act)
    assert (found["event"], found["fields"]) == ("rpc.failed", {"method": "block"})
    assert "ZeroDivisionError: inside" in found["traceback"]
