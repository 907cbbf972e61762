"""From the engine's event stream to lines for people and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pulumi.automation import EngineEvent, StepEventMetadata

_DYNAMIC = "pulumi-python:dynamic/"
# the engine's steps within a replacement, which it counts once more as "replace"
_PARTS = ("refresh", "create-replacement", "delete-replaced", "discard", "discard-replaced")


@dataclass(frozen=True)
class Changes:
    """What an operation changed, or a preview would: counts by action, and one line each."""

    summary: dict[str, int] = field(default_factory=dict)
    details: tuple[str, ...] = ()

    @property
    def creates(self) -> int:
        """Return how many things would be new."""
        return self.summary.get("create", 0) + self.summary.get("replace", 0)

    @property
    def any(self) -> bool:
        """Return whether anything differs."""
        return any(count for action, count in self.summary.items() if action != "same")


class Recorder:
    """Takes the engine's events: tells ``progress`` of each thing begun and done, and counts.

    Only things that a backend makes count, not the components that group them.
    """

    def __init__(self, progress: Callable[[str], None]) -> None:
        self._progress = progress
        self._actions: dict[str, str] = {}
        self._details: dict[str, str] = {}

    def __call__(self, event: EngineEvent) -> None:
        """Take one event."""
        if event.resource_pre_event:
            self._take(event.resource_pre_event.metadata, "…")
        elif event.res_outputs_event:
            self._take(event.res_outputs_event.metadata, "done")
        elif event.res_op_failed_event:
            self._take(event.res_op_failed_event.metadata, "failed")

    def changes(self) -> Changes:
        """Return the counts and lines so far."""
        return Changes(dict(sorted(Counter(self._actions.values()).items())), tuple(self._details.values()))

    def _take(self, step: StepEventMetadata, state: str) -> None:
        if not step.type.startswith(_DYNAMIC) or step.op.value in _PARTS:
            return
        name = step.urn.rpartition("::")[2].removeprefix("lab-")
        action = step.op.value
        self._actions[step.urn] = action
        if action == "same":
            return
        thing = f"{step.type.rpartition(':')[2].lower()} {name}"
        problems = [
            text
            for side in (step.new, step.old)
            if side
            for text in (side.outputs or {}).get("problems") or []
        ]
        self._details[step.urn] = f"{action} {thing}" + (f" ({problems[0]})" if problems else "")
        self._progress(f"{action} {thing} {state}")
