"""With each validator as the Byzantine one, by hand: `make explore`, or `python -m tests.model.run`.

Two rounds (0 and 1) take some seconds; a third has some hundred times the states, and was not seen to end.

Exit code 1 when something that must never happen can, with the way to it.
"""

from __future__ import annotations

import argparse
import time

from provnode.core.machine import Machine
from tests.core.story import FOUR
from tests.model.explore import explore
from tests.model.local import Setting, ViolationError


def main() -> int:
    """Explore with each validator as the Byzantine one, or with one of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=1, help="the last round; the first is 0")
    parser.add_argument("--byzantine", action="append", choices=[one.name for one in FOUR])
    given = parser.parse_args()
    for name in given.byzantine or [one.name for one in FOUR]:
        begun = time.process_time()
        try:
            found = explore(Setting(Machine, FOUR, name, given.rounds, unsound=True))
        except ViolationError as error:
            print(f"{name} is Byzantine: {error}")
            return 1
        seconds = time.process_time() - begun
        print(
            f"{name} is Byzantine, rounds 0 to {given.rounds}: {found.states} states by {found.runs} runs of "
            f"the machine, {found.pairs} pairs that decided apart, none together; {seconds:.1f} s of CPU",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
