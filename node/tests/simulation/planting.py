"""Plants a fault in the running code of the node: functions change their bodies while it lasts."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault: in `provnode.<module>`, `old`, which is there once, becomes `new`.

    Seeds are tried from `first` on: one that found it before saves time.
    """

    name: str
    module: str
    old: str
    new: str
    first: int = 0


@contextlib.contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """The node with that one fault. No other class or object takes the place of a shipped one."""
    module = importlib.import_module(f"provnode.{mutant.module}")
    path = str(module.__file__)
    source = Path(path).read_text(encoding="utf-8")
    assert source.count(mutant.old) == 1, f"{mutant.name}: the place to change is not there once"
    before = _functions(compile(source, path, "exec"))
    after = _functions(compile(source.replace(mutant.old, mutant.new), path, "exec"))
    assert before.keys() == after.keys(), f"{mutant.name}: it may change functions, not their names"
    changed = {name: code for name, code in after.items() if _shape(code) != _shape(before[name])}
    assert changed, f"{mutant.name}: nothing that runs is changed"
    kept: list[tuple[FunctionType, CodeType]] = []
    try:
        for name, code in changed.items():
            function = _find(module, name)
            kept.append((function, function.__code__))
            function.__code__ = code
        yield
    finally:
        for function, code in kept:
            function.__code__ = code


def _functions(code: CodeType) -> dict[str, CodeType]:
    """The functions of a module and of its classes; what is inside of functions comes with them."""
    found: dict[str, CodeType] = {}
    for inner in code.co_consts:
        if not isinstance(inner, CodeType):
            continue
        if inner.co_flags & _NEW_LOCALS:
            if not inner.co_name.startswith("<"):
                found[inner.co_qualname] = inner
        else:
            found.update(_functions(inner))
    return found


_NEW_LOCALS = 0x02  # inspect.CO_NEWLOCALS: a function's body, not a class's


def _shape(code: CodeType) -> tuple[Any, ...]:
    """What a function does, wherever in the file it stands."""
    consts = tuple(_shape(one) if isinstance(one, CodeType) else (type(one), one) for one in code.co_consts)
    return code.co_code, code.co_names, code.co_varnames, code.co_freevars, consts


def _find(module: ModuleType, qualname: str) -> FunctionType:
    found: Any = module
    for part in qualname.split("."):
        found = vars(found)[part]
    if isinstance(found, property):
        found = found.fget
    elif isinstance(found, cached_property):
        found = found.func
    elif isinstance(found, classmethod | staticmethod):
        found = found.__func__
    assert isinstance(found, FunctionType), f"{qualname} is no function"
    return found
