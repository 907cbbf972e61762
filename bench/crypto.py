"""The crypto providers side by side, in turns, in one process. Prints one JSON object of operations a second.

    python bench/crypto.py [--seconds S] [--rounds N] [--bytes B]

A batch call uses all processors, signing one. The ratio is native to openssl, of the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable

from bench.machine import ROOT, environment
from provchain.provision.go import ensure_library

sys.path.insert(0, str(ROOT / "node"))

from provnode.crypto import Provider, get_provider

_BATCH = 256
_SEALED = 4096
Call = tuple[Callable[[], object], int]


def calls(provider: Provider, size: int) -> dict[str, Call]:
    """Return what is measured: a call, and how many operations it does."""
    key, message, seal_key = provider.generate(), bytes(size), bytes(16)
    item = (key.public, message, provider.sign(key, message))
    sealed = provider.seal(seal_key, bytes(_SEALED), b"")
    return {
        "sign": (lambda: provider.sign(key, message), 1),
        "verify": (lambda: provider.verify(*item), 1),
        "verify_batch": (lambda: provider.verify_batch([item] * _BATCH), _BATCH),
        "hash": (lambda: provider.hash(message), 1),
        "hash_batch": (lambda: provider.hash_batch([message] * _BATCH), _BATCH),
        f"seal_{_SEALED}_bytes": (lambda: provider.seal(seal_key, bytes(_SEALED), b""), 1),
        f"open_{_SEALED}_bytes": (lambda: provider.open(seal_key, sealed, b""), 1),
    }


def rate(call: Callable[[], object], operations: int, seconds: float) -> float:
    """Return operations a second over about ``seconds``."""
    call()
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        call()
        done += operations
    return done / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each provider")
    parser.add_argument("--bytes", type=int, default=256, help="length of a message")
    options = parser.parse_args()
    ran_on = environment()
    os.environ["PROVNODE_LIBPROVSM"] = str(ensure_library(ROOT / "node" / "packaging" / "provsm.py"))
    measured = {name: calls(get_provider(name), options.bytes) for name in ("native", "openssl")}
    found: dict[str, dict[str, float]] = {}
    for what in measured["native"]:
        rates: dict[str, list[float]] = {name: [] for name in measured}
        for _ in range(options.rounds):
            for name, found_rates in rates.items():
                found_rates.append(rate(*measured[name][what], options.seconds))
        native, openssl = (round(statistics.median(rates[name])) for name in ("native", "openssl"))
        found[what] = {"native": native, "openssl": openssl, "ratio": round(native / openssl, 2)}
    print(json.dumps({"bench": "crypto", "bytes": options.bytes, "per_second": found, "environment": ran_on}))


if __name__ == "__main__":
    main()
