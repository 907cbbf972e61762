"""The one error of this room."""

from __future__ import annotations


class WireError(ValueError):
    """Bytes that are not what they should be; the message says what was found and what is allowed."""
