"""What an object holds: every container that can be reached from it, and how much is in each."""

from __future__ import annotations

import gc
import logging
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import CodeType, FrameType, FunctionType, ModuleType

from msgspec import Struct

_COLLECTIONS = (list, tuple, set, frozenset, deque)
_BYTES = (bytes, bytearray, str)
# what is everybody's, and nothing that a node keeps
_OTHERS = (type, ModuleType, CodeType, logging.Logger)
_DEEPEST = 24


def holdings(root: object, name: str) -> Counter[str]:
    """By the way that leads there: the items of all containers, and the bytes of all texts, below `root`.

    What lies in a container is named by it, not by its key or place. An object counts once, on the shortest
    way. Functions and coroutines are looked into for what they closed over and have at hand.
    """
    found: Counter[str] = Counter()
    seen: dict[int, object] = {id(root): root}
    waiting: deque[tuple[object, str, int]] = deque([(root, name, 0)])
    while waiting:
        at, path, depth = waiting.popleft()
        if isinstance(at, _BYTES):
            found[path + " bytes"] += len(at)
        elif isinstance(at, (Mapping, *_COLLECTIONS)):
            found[path] += len(at)
        for part, below in _parts(at):
            if id(below) not in seen and depth < _DEEPEST and not isinstance(below, _OTHERS):
                # kept, so that no other object gets its number meanwhile
                seen[id(below)] = below
                waiting.append((below, path + part, depth + 1))
    return found


def _parts(at: object) -> Iterator[tuple[str, object]]:
    if isinstance(at, Mapping):
        for key, value in list(at.items()):
            yield "[]", key
            yield "[]", value
    elif isinstance(at, _COLLECTIONS):
        for item in list(at):
            yield "[]", item
    elif isinstance(at, FunctionType):
        for cell in at.__closure__ or ():
            yield "()", cell
    elif isinstance(at, FrameType):
        # of an exception that is kept; not what every function of its module shares
        for name, value in at.f_locals.items():
            yield f"<frame>.{name}", value
    elif isinstance(at, Struct):
        for field in at.__struct_fields__:
            yield f".{field}", getattr(at, field)
    elif isinstance(at, (int, float, *_BYTES)) or at is None:
        return
    else:
        yield from _attributes(at)


def _attributes(at: object) -> Iterator[tuple[str, object]]:
    named: dict[int, str] = {}
    for owner in type(at).__mro__:
        slots = owner.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            value = getattr(at, slot, None)
            if value is not None and slot != "__weakref__":
                named[id(value)] = slot
                yield f".{slot}", value
    own = getattr(at, "__dict__", {})
    for field, value in list(own.items()):
        named[id(value)] = field
        yield f".{field}", value
    for value in gc.get_referents(at):
        if id(value) not in named and value is not own:
            yield f"<{type(at).__name__}>", value


class Growth:
    """The most that each container held, in one stretch of work after another."""

    def __init__(self) -> None:
        self.most: list[Counter[str]] = []

    def begin(self) -> None:
        """Another stretch."""
        self.most.append(Counter())

    def look(self, root: object, name: str) -> None:
        """Look at what is held now."""
        self.most[-1] |= holdings(root, name)

    def growing(self) -> dict[str, list[int]]:
        """What held half as much again, and more than a few, in each stretch as in the one before."""
        paths = self.most[-1].keys()
        held = {path: [one[path] for one in self.most] for path in paths}
        return {
            path: most
            for path, most in held.items()
            if all(later > earlier * 1.25 + 8 for earlier, later in pairwise(most))
        }
