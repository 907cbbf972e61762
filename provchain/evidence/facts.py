"""What a host answered, as a file of evidence: canonical JSON, read strictly. Pure."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from provchain.audit.assessment import HostState, marks
from provchain.baseline.facts import Facts, Output, Status
from provchain.baseline.observation import one_line
from provchain.baseline.values import Record


class Told(Record):
    """What a probe told."""

    status: Status
    code: int
    text: str


class FactsFile(Record):
    """All that was seen of a host."""

    host: str
    taken: int
    unreachable: str
    external: dict[str, tuple[str, ...]]
    outputs: dict[str, Told]

    @property
    def facts(self) -> Facts:
        """Return them as rules read them."""
        told = {name: Output(one.status, one.code, one.text) for name, one in self.outputs.items()}
        return Facts(told, self.taken, self.unreachable, self.external)


def text(host: str, facts: Facts) -> str:
    """Return the file of a host."""
    data = {
        "host": host,
        "taken": facts.taken,
        "unreachable": facts.unreachable,
        "external": {name: list(words) for name, words in facts.external.items()},
        "outputs": {
            name: {"status": one.status, "code": one.code, "text": one.text}
            for name, one in facts.outputs.items()
        },
    }
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"


def read(raw: str) -> FactsFile:
    """Return a host's facts. Raises pydantic's ValidationError."""
    return FactsFile.model_validate_json(raw)


def differences(state: HostState, file: FactsFile) -> list[str]:
    """Say in what a report's host is not the one whose facts these are; nothing where it is."""
    facts, told = file.facts, marks(file.facts)
    plain = {
        "name": (state.name, file.host),
        "unreachable": (state.unreachable, one_line(facts.unreachable)),
        "taken": (state.taken, datetime.fromtimestamp(facts.taken, UTC)),
        "outside": (state.outside, dict(facts.external)),
    }
    found = [f"{state.name}: {name} is another" for name, (said, seen) in plain.items() if said != seen]
    names = sorted(name for name in {*state.facts, *told} if state.facts.get(name) != told.get(name))
    return found + [f"{state.name}: {name} is not what the report was made from" for name in names]
