"""Many seeds by hand: `python -m tests.simulation.run --seeds 1000 [--first 0] [--jobs 2] [--json]`.

Progress goes to standard error. Exit code 1 when a seed finds something, which is printed with the call that
shows it again; an interrupted run says how far it came.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.simulation.chain import InvariantError
from tests.simulation.scenario import of_seed

BATCH = 200


@dataclass
class Found:
    """What some seeds showed together."""

    seeds: int = 0
    heights: int = 0
    crashes: int = 0
    partitions: int = 0
    evidence: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Found) -> None:
        """Count another run in."""
        self.seeds += other.seeds
        self.heights += other.heights
        self.crashes += other.crashes
        self.partitions += other.partitions
        self.evidence += other.evidence
        self.failures += other.failures


def batch(first: int, seeds: int) -> Found:
    """Run some seeds one after another."""
    found = Found(seeds)
    for seed in range(first, first + seeds):
        try:
            report = of_seed(seed)
        except InvariantError as error:
            found.failures.append(f"{error}; again: python -m tests.simulation.run --first {seed} --seeds 1")
        else:
            found.heights += report.heights
            found.crashes += report.crashes
            found.partitions += report.partitions
            found.evidence += report.evidence
    return found


def main() -> int:
    """Run the seeds; 1 when one of them finds something."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the work")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    given = parser.parse_args()
    begun, total, said = time.monotonic(), Found(), 0.0
    end = given.first + given.seeds
    parts = [(at, min(BATCH, end - at)) for at in range(given.first, end, BATCH)]
    with ProcessPoolExecutor(given.jobs) as pool:
        try:
            for found in pool.map(batch, *zip(*parts, strict=True)):
                total.add(found)
                for failure in found.failures:
                    print(failure, file=sys.stderr)
                seconds = time.monotonic() - begun
                if seconds - said > 5 or total.seeds == given.seeds:
                    said = seconds
                    left = seconds / total.seeds * (given.seeds - total.seeds)
                    print(f"{total.seeds} of {given.seeds} seeds, {left:.0f} s to go", file=sys.stderr)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            print(f"interrupted; go on with --first {given.first + total.seeds}", file=sys.stderr)
    seconds = round(time.monotonic() - begun, 1)
    if given.json:
        about = {"command": " ".join(sys.orig_argv), "python": platform.python_version(), "seconds": seconds}
        print(json.dumps({"bench": "simulation", **about, "first": given.first, **vars(total)}))
    else:
        print(f"{total.seeds} seeds, {total.heights} heights, {len(total.failures)} failures, {seconds} s")
    return 1 if total.failures or total.seeds < given.seeds else 0


if __name__ == "__main__":
    raise SystemExit(main())
