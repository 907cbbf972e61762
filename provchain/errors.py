"""The errors that an operator sees: what happened, why, and what to do about it."""

from __future__ import annotations


class ProvchainError(Exception):
    """A refusal or failure with a message, a cause and a remedy.

    ``message`` says what did not happen; ``cause`` why (may be empty); ``remedy`` what to try next.
    The command line prints all three and exits 1.
    """

    def __init__(self, message: str, *, cause: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.remedy = remedy

    def lines(self) -> list[str]:
        """Return the error as lines for a terminal or log."""
        out = [self.message]
        if self.cause:
            out.append(f"  cause:  {self.cause}")
        if self.remedy:
            out.append(f"  remedy: {self.remedy}")
        return out
