"""The one error of this room."""


class WireError(ValueError):
    """Bytes that are not what they should be; the message names field, what was found and what is allowed."""
