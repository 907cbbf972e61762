"""What fuzzing has found worth keeping: a file a target, an input a line, packed by zlib and in base64.

Inputs are there because they led to a place in the code that no other did, or because they once showed a
fault. Lines are in order, so that two people's finds merge.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).with_name("corpus")


def load(name: str, folder: Path = FOLDER) -> list[bytes]:
    """The inputs that are kept for a target."""
    path = folder / f"{name}.txt"
    if not path.exists():
        return []
    return [zlib.decompress(base64.b64decode(line)) for line in path.read_text("ascii").split()]


def save(name: str, inputs: Iterable[bytes], folder: Path = FOLDER) -> None:
    """Keep these inputs for a target, instead of those before."""
    lines = sorted({base64.b64encode(zlib.compress(raw, 9)).decode("ascii") for raw in inputs})
    (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), "ascii")
