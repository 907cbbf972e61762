"""Many seeds by hand: `python -m tests.simulation.run --seeds 1000 [--first 0] [--jobs 2] [--into FILE]`.

Progress goes to standard error. Exit code 1 when a seed finds something: what, and of the faults of its
schedule those that it takes, in plain words, with the call that shows it again (`--only` says which faults of
the seed's schedule are kept). With `--into`, what the seeds showed is added to a JSON file, and an
interrupted run is continued by the same call: it begins after the last seed that the file counts.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tests.simulation.invariants import InvariantError
from tests.simulation.scenario import simulate
from tests.simulation.schedule import Schedule, of_seed
from tests.simulation.shrink import shrink

BATCH = 20


@dataclass
class Found:
    """What some seeds showed together: in all, and in how many of the runs."""

    seeds: int = 0
    heights: int = 0
    later_rounds: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    runs_with: Counter[str] = field(default_factory=Counter)
    failures: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, known: dict[str, Any]) -> Found:
        """What a file of results counts."""
        values = {one.name: known[one.name] for one in fields(cls)}
        return cls(**values | {name: Counter(known[name]) for name in ("counts", "runs_with")})

    def add(self, other: Found) -> None:
        """Count another run in."""
        self.seeds += other.seeds
        self.heights += other.heights
        self.later_rounds += other.later_rounds
        self.counts.update(other.counts)
        self.runs_with.update(other.runs_with)
        self.failures += other.failures


def batch(first: int, seeds: int) -> Found:
    """Run some seeds one after another."""
    found = Found(seeds)
    for seed in range(first, first + seeds):
        try:
            report = simulate(of_seed(seed))
        except InvariantError:
            found.failures.append(seed)
        else:
            found.heights += report.heights
            found.later_rounds += report.rounds > 0
            found.counts.update(report.counts)
            found.runs_with.update(what for what, count in report.counts.items() if count)
    return found


def failure(schedule: Schedule) -> str | None:
    """What a run finds."""
    try:
        simulate(schedule)
    except InvariantError as error:
        return str(error)
    return None


def explain(seed: int, only: Iterable[int] | None = None) -> str:
    """What a failing seed finds, with the least of its faults that it takes, and how to see it again."""
    schedule = of_seed(seed)
    every = sorted(only) if only is not None else range(len(schedule.faults))
    found = failure(schedule.only(every))
    if found is None:
        return f"seed {seed}: nothing is found"

    def fails(places: Sequence[int]) -> bool:
        return failure(schedule.only(places)) is not None

    places = shrink(every, fails)
    least = schedule.only(places)
    lines = [
        f"seed {seed}: {found}",
        f"{len(places)} of the {len(schedule.faults)} faults are enough, "
        f"with {len(schedule.powers)} validators of power {', '.join(map(str, schedule.powers))}:",
        *(f"  {place}: {fault}" for place, fault in zip(places, least.faults, strict=True)),
        f"which gives: {failure(least)}",
        f"again: python -m tests.simulation.run --first {seed} --only {','.join(map(str, places)) or 'none'}",
    ]
    return "\n".join(lines)


def sweep(first: int, seeds: int, jobs: int) -> Found:
    """Run seeds in several processes; says on standard error how far it is."""
    begun, total, said = time.monotonic(), Found(), 0.0
    end = first + seeds
    parts = [(at, min(BATCH, end - at)) for at in range(first, end, BATCH)]
    # an interrupt is for this process: the others end with what they are at
    with ProcessPoolExecutor(
        jobs, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
    ) as pool:
        try:
            for found in pool.map(batch, *zip(*parts, strict=True)):
                total.add(found)
                for seed in found.failures:
                    print(explain(seed), file=sys.stderr, flush=True)
                seconds = time.monotonic() - begun
                if seconds - said > 5 or total.seeds == seeds:
                    said = seconds
                    left = seconds / total.seeds * (seeds - total.seeds)
                    print(f"{total.seeds} of {seeds} seeds, {left:.0f} s to go", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # `timeout` sends two
            pool.shutdown(cancel_futures=True)
            print(f"interrupted; go on with --first {first + total.seeds}", file=sys.stderr)
    return total


def _places(text: str) -> tuple[int, ...]:
    return () if text == "none" else tuple(int(word) for word in text.split(","))


def main() -> int:
    """Run the seeds; 1 when one of them finds something."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument(
        "--only", type=_places, help="that one, with these faults of its schedule: 0,3,4 or none"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the work")
    parser.add_argument("--into", type=Path, help="a JSON file of results that is continued up to --seeds")
    given = parser.parse_args()
    if given.only is not None:
        told = explain(given.first, given.only)
        print(told)
        return 1 if "\n" in told else 0
    before, pieces = Found(), []
    if given.into is not None and given.into.exists():
        known = json.loads(given.into.read_bytes())
        before = Found.of(known)
        pieces = known["pieces"]
    first, seeds = given.first + before.seeds, given.seeds - before.seeds
    begun = time.monotonic()
    total = sweep(first, seeds, given.jobs) if seeds > 0 else Found()
    seconds = round(time.monotonic() - begun, 1)
    print(f"{total.seeds} seeds, {total.heights} heights, {len(total.failures)} failures, {seconds} s")
    before.add(total)
    if given.into is not None and total.seeds:
        pieces.append({"first": first, "seeds": total.seeds, "seconds": seconds})
        given.into.write_text(_results(before, pieces), encoding="utf-8")
    return 1 if before.failures or before.seeds < given.seeds else 0


def _results(found: Found, pieces: list[dict[str, Any]]) -> str:
    """What is kept of many runs, and how they were made."""
    about = {
        "bench": "simulation",
        "command": shlex.join(["python", "-m", "tests.simulation.run", *sys.argv[1:]]),
        "python": platform.python_version(),
        "seconds": round(sum(piece["seconds"] for piece in pieces), 1),
        "pieces": pieces,
    }
    return json.dumps({**about, **vars(found)}, indent=1) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
