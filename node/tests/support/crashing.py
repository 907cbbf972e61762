"""A process that is killed before each of its effects on the disk, one run after another."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

_EFFECTS = ("open", "write", "fsync", "fchown", "replace", "rename", "link", "unlink", "chmod")


def killed_at_each_step(work: Callable[[], object]) -> Iterator[int]:
    """Run `work` in a child that is killed (SIGKILL) before its first effect, then before its second, …

    Each time the number of the step is given, so that what is left can be looked at; the last run, which
    nobody interrupts, ends it. A write is killed in the middle of its bytes. Raises AssertionError when
    `work` fails by itself.
    """
    for step in count():
        child = os.fork()
        if child == 0:
            _work(work, step)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0, f"step {step}: it failed by itself"
            return
        assert os.WTERMSIG(status) == signal.SIGKILL
        yield step


def _work(work: Callable[[], object], step: int) -> None:
    """In the child, which never returns."""
    left = iter(range(step, -1, -1))

    def counted(effect: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - as the call that it stands for
            if next(left) == 0:
                if effect.__name__ == "write":
                    effect(given[0], given[1][: len(given[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return effect(*given, **named)

        return call

    code = 1
    try:
        for name in _EFFECTS:
            setattr(os, name, counted(getattr(os, name)))
        work()
        code = 0
    finally:
        os._exit(code)
