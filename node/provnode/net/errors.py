"""What can go wrong between two nodes."""

from __future__ import annotations


class NetError(Exception):
    """`reason` is a stable word for logs and tests, the message says what was found and what is allowed."""

    def __init__(self, reason: str, message: str, remedy: str = "") -> None:
        super().__init__(f"{message} ({remedy})" if remedy else message)
        self.reason = reason
        self.remedy = remedy


class IdentityError(NetError):
    """This node's own key, certificate or trust directory can't be used."""


class TlsError(NetError):
    """The other side was refused, or it refused us."""


class StreamError(NetError):
    """An established connection failed: too slow, too large, or cut off in the middle."""
