"""The one error of this room."""


class WireError(ValueError):
    """Bytes that are not what they should be; the message names the field, what was found, what is allowed."""
