"""How large this node's next block may be. Pure.

A proposer takes what waits. Where that is more than the slowest of a quorum can check in a round, the round
passes, the next block is larger still, and in the end nothing is decided any more. So a block that was there
and missed its round halves the next one, and each height that went well lets it grow by a quarter
(the additive-increase rule of RFC 5681 would take hours to come back to megabytes).
"""

from __future__ import annotations

from collections.abc import Iterable

LEAST = 64 * 1024
"""Bytes that a block may always have: a few hundred transactions."""


class BlockRoom:
    """The bytes of transactions for the next block, between LEAST and `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.bytes = most

    def settle(self, missed: Iterable[int]) -> None:
        """A height is decided, after blocks of these sizes had been proposed in rounds that passed."""
        least = min(missed, default=0)
        if least:
            self.bytes = max(min(self.bytes, least) // 2, min(LEAST, self._most))
        else:
            self.bytes = min(self.bytes + self.bytes // 4, self._most)
