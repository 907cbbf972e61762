"""One line a happening, with a stable name that alerts and tests can rely on.

    tls.refused reason=organisation peer=10.77.10.12 found='zjfin'

Values that came from outside are quoted, so that a peer can't forge a line.
"""

from __future__ import annotations

import logging

_LONGEST = 200


def log_event(logger: logging.Logger, level: int, name: str, **fields: object) -> None:
    """Log `name` with its fields at `level` (a `logging` level). None fields are left out."""
    if logger.isEnabledFor(level):
        shown = (f"{key}={_show(value)}" for key, value in fields.items() if value is not None)
        logger.log(level, "%s", " ".join([name, *shown]))


def _show(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    text = text[:_LONGEST]
    plain = text.isascii() and text.isprintable() and text and not set(text) & set(" ='\"\\")
    return text if plain else repr(text)
