"""Waiting for something to come true, with an end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Return when `condition` holds; fail saying `what` did not happen."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.01)  # polling keeps the code under test free of hooks for tests
