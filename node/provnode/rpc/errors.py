"""What a request can be answered with instead of a result (JSON-RPC 2.0 section 5.1)."""

from __future__ import annotations

PARSE = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL = -32603
# this chain's own, from the range that the specification leaves to servers
NOT_FOUND = -32001
REFUSED = -32002
TIMED_OUT = -32003
FORBIDDEN = -32004


# an answer is not as long as the asker likes
_LONGEST_MESSAGE = 1_000


class RpcError(Exception):
    """An error answer: a code, a message, and where there is one the chain's own code (``data.code``).

    `more` is told beside that code.
    """

    def __init__(self, code: int, message: str, reason: str = "", **more: int) -> None:
        super().__init__(message)
        self.code = code
        self.message = message[:_LONGEST_MESSAGE]
        self.reason = reason
        self._more = more

    def as_json(self) -> dict[str, object]:
        """Return the error object."""
        found: dict[str, object] = {"code": self.code, "message": self.message}
        return found | {"data": {"code": self.reason, **self._more}} if self.reason else found
