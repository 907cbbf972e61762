"""What a fuzz target is, and what must hold for any bytes that it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

Form = Literal["bytes", "msgpack", "json"]


@dataclass(frozen=True, slots=True)
class Target:
    """A way in from outside.

    `run` takes the bytes, and asserts what must hold of what it made of them. It raises one of `errors`, or
    nothing. `seeds` are good bytes, or nearly so, for changing; `form` is what they are made of.
    """

    name: str
    run: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    seeds: Callable[[], Sequence[bytes]]
    form: Form = "bytes"


@cache
def seeds(target: Target) -> tuple[bytes, ...]:
    """The target's seeds, the same all along: some hold what chance made."""
    return tuple(target.seeds())


def attempt(target: Target, raw: bytes) -> bool:
    """Whether the target takes these bytes. Raises what a target must not raise."""
    try:
        target.run(raw)
    except target.errors as error:
        assert str(error), f"{type(error).__name__} says nothing"
        return False
    return True
