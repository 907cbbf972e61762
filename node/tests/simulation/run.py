"""Many seeds by hand: `python -m tests.simulation.run --seeds 1000 [--first 0]`."""

from __future__ import annotations

import argparse
import time

from tests.simulation.chain import InvariantError
from tests.simulation.scenario import of_seed


def main() -> int:
    """Run the seeds; 1 when one of them finds something, which is printed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    begun, failures, heights = time.monotonic(), 0, 0
    for seed in range(given.first, given.first + given.seeds):
        try:
            heights += of_seed(seed).heights
        except InvariantError as error:
            failures += 1
            print(error)
    seconds = time.monotonic() - begun
    print(f"{given.seeds} seeds, {heights} heights, {failures} failures, {seconds:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
