"""What a load came to, from when each transaction was sent and when its block was seen: the same for all."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

# when a block is seen is known to this many seconds
POLL_SECONDS = 0.05


@dataclass
class Watch:
    """Asks one node for its height, again and again, from a thread; `seen` is when each was first seen."""

    height: Callable[[], int]
    seen: list[tuple[int, float]] = field(default_factory=list)
    _done: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        last = self.height()
        while not self._done.wait(POLL_SECONDS):
            found = self.height()
            now = time.time()
            # of several at once each is seen now
            self.seen += [(number, now) for number in range(last + 1, found + 1)]
            last = found


@dataclass(frozen=True)
class Load:
    """What was sent: (height or None, Unix time) of each transaction; and what the client itself noticed."""

    sent: Sequence[tuple[int | None, float]]
    began: float
    ended: float
    refused: int = 0
    client_cpu_seconds: float = 0.0


def figures(seen: Sequence[tuple[int, float]], load: Load, warm_up: float) -> dict[str, object]:
    """Rate, latency and block interval between the first block after `warm_up` and the last before the end.

    Latency is from handing a transaction in until a client of one node has seen its block; in seconds, and
    in block intervals of the same run.
    """
    inside = [(height, at) for height, at in seen if load.began + warm_up <= at <= load.ended]
    if len(inside) < 2:
        raise RuntimeError(f"only {len(inside)} blocks were seen in {load.ended - load.began:.0f} s")
    (first, start), (last, end) = inside[0], inside[-1]
    times = dict(inside)
    chosen = [(height, at) for height, at in load.sent if height is not None and first < height <= last]
    waits = sorted(times[height] - at for height, at in chosen if height in times)
    interval = (end - start) / (last - first)
    per_block = sorted(Counter(height for height, _ in chosen).values())
    p50, p99 = (waits[len(waits) * share // 100] for share in (50, 99)) if waits else (0.0, 0.0)
    return {
        "tx_per_second": round(len(chosen) / (end - start), 1),
        "committed": len(chosen),
        "seconds": round(end - start, 2),
        "block_interval_seconds": round(interval, 3),
        "transactions_per_block": per_block[len(per_block) // 2] if per_block else 0,
        "latency_seconds": {"p50": round(p50, 3), "p99": round(p99, 3)},
        "latency_intervals": {"p50": round(p50 / interval, 2), "p99": round(p99 / interval, 2)},
        "refused": load.refused,
    }
