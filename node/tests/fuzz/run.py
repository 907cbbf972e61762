"""Coverage-guided fuzzing by hand: `make fuzz SECONDS=600`, or `tools/fuzz --seconds 60 --target rpc --keep`.

Each target gets an equal share of the seconds, in a process of its own, and begins with its seeds and what is
kept of it. A failure is printed with its input and the call that shows it again; it ends that target's turn.
With --keep, what led to new places is added to the corpus, as little of it as reaches them all. Exit code 1
when a target failed. Needs atheris (tools/fuzz.lock), which CI does not: it replays the corpus.
"""

from __future__ import annotations

import argparse
import base64
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

import provnode
from tests.fuzz.target import Target, attempt, seeds

import tests.conftest  # noqa: F401 - makes the native library

# inputs beyond are not kept: a corpus is small
LONGEST_KEPT = 2_048
MOST_KEPT = 10_240
_SECONDS_AN_INPUT = 10
_MEGABYTES = 4_096
_ROOT = str(Path(str(provnode.__file__)).parent)


def _fuzz(name: str, libfuzzer: list[str]) -> None:
    """Become the fuzzer of one target; does not return."""
    import logging

    import atheris

    with atheris.instrument_imports(include=["provnode"]):
        from tests.fuzz.mutate import mutated
        from tests.fuzz.registry import TARGETS
    target = TARGETS[name]
    logging.getLogger().addHandler(logging.NullHandler())

    def mutate(raw: bytes, longest: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < 0.5:
            return bytes(atheris.Mutate(raw, longest))
        return mutated(target, (raw, *seeds(target)), chance.randrange)[:longest]

    atheris.Setup([sys.argv[0], *libfuzzer], lambda raw: attempt(target, raw) and None, custom_mutator=mutate)
    atheris.Fuzz()


def _show(name: str, raw: bytes) -> None:
    """Run a target on one input, as an error shows it."""
    from tests.fuzz.registry import TARGETS

    print("taken" if attempt(TARGETS[name], raw) else "refused")


def _child(name: str, *libfuzzer: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz.run", "--one", name, "--", *libfuzzer]
    return subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")


def _turn(name: str, seconds: float, *, keep: bool) -> bool:
    """Fuzz one target for so long; False when it failed."""
    from tests.fuzz import corpus
    from tests.fuzz.registry import TARGETS

    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        found = Path(folder, "found")
        found.mkdir()
        known = (*seeds(TARGETS[name]), *corpus.load(name))
        for number, raw in enumerate(known):
            (found / f"seed-{number}").write_bytes(raw)
        done = _child(
            name,
            f"-max_total_time={max(1, round(seconds))}",
            f"-timeout={_SECONDS_AN_INPUT}",
            f"-rss_limit_mb={_MEGABYTES}",
            f"-max_len={max(4_096, 2 * max(map(len, known)))}",
            f"-artifact_prefix={folder}/",
            "-print_final_stats=1",
            str(found),
        )
        stats = [line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        print(f"{name}: {stats[0] if stats else '?'} inputs", file=sys.stderr)
        if done.returncode:
            print("\n".join(done.stderr.splitlines()[-60:]))
            for path in Path(folder).glob("*-*"):
                text = base64.b64encode(path.read_bytes()).decode()
                print(f"{name} failed; again: tools/fuzz --target {name} --input {text}")
            return False
        if keep:
            _keep(name, found)
    return True


def _keep(name: str, found: Path) -> None:
    """Add the shortest inputs that reach a line of the node which no seed and no kept input reaches."""
    from tests.fuzz import corpus
    from tests.fuzz.registry import TARGETS

    target, kept = TARGETS[name], corpus.load(name)
    reached: set[tuple[str, int]] = set()
    for raw in (*seeds(target), *kept):
        reached |= _lines(target, raw)
    size = sum(map(len, kept))
    for path in sorted(found.iterdir(), key=lambda path: path.stat().st_size):
        raw = path.read_bytes()
        if len(raw) > LONGEST_KEPT or size + len(raw) > MOST_KEPT:
            continue
        new = _lines(target, raw) - reached
        if new:
            kept.append(raw)
            size += len(raw)
            reached |= new
    if kept:
        corpus.save(name, kept)


def _lines(target: Target, raw: bytes) -> set[tuple[str, int]]:
    """The lines of the node that an input leads to."""
    lines: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, _: object) -> Any:  # noqa: ANN401 - as sys.settrace wants it
        if not frame.f_code.co_filename.startswith(_ROOT):
            return None
        if event == "line":
            lines.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    sys.settrace(trace)
    try:
        attempt(target, raw)
    finally:
        sys.settrace(None)
    return lines


def main() -> int:
    """Give every target its turn; 1 when one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=600, help="for all of them together")
    parser.add_argument("--target", action="append", help="only this one; may be given several times")
    parser.add_argument("--keep", action="store_true", help="add what led to new places to the corpus")
    parser.add_argument("--input", help="run the target on this input, in base64, and nothing else")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        _fuzz(given.one, given.rest)
    from tests.fuzz.registry import TARGETS

    names = given.target or list(TARGETS)
    if given.input is not None:
        _show(names[0], base64.b64decode(given.input))
        return 0
    begun = time.monotonic()
    failed = [name for name in names if not _turn(name, given.seconds / len(names), keep=given.keep)]
    print(f"{len(names)} targets, {time.monotonic() - begun:.0f} s, failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
