"""The demo counts what became of each object, and says so if one did not verify."""

from __future__ import annotations

import json

import pytest

from provchain.conductor import demo, engine
from provchain.errors import ProvchainError
from provchain.paths import spec_file
from provchain.spec import ChainSpec, load


@pytest.fixture
def spec() -> ChainSpec:
    return load(spec_file("lab"))


class FakeEngine:
    """Answers the verbs submit and read; ``spoil`` changes the answer to one object."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **spoil: object) -> None:
        self.spoil = spoil
        self.asked: list[tuple[str, str, object]] = []
        monkeypatch.setattr(engine, "call", self.call)

    def call(
        self,
        network: str,
        host: str,
        verb: str,
        *,
        parameters: object = None,
        stdin: str = "",
        timeout: float,
        refusals: bool = False,
    ) -> str:
        self.asked.append((host, verb, parameters))
        good: dict[str, object] = {"ok": True, "verified": True, "height": 5, "organisation": "zjfin"}
        answers = [dict(good) for _ in stdin.splitlines()]
        answers[3].update(self.spoil)
        return "".join(json.dumps(answer) + "\n" for answer in answers)


def quiet(text: str) -> None:
    """Report to nobody."""


def test_objects_go_through_the_access_zone(spec: ChainSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeEngine(monkeypatch)
    report, _ = demo.submit(spec, quiet)
    assert fake.asked == [("a1", "submit", None)]
    assert report["submitted"] >= 200
    assert sum(kind["count"] for kind in report["kinds"]) == report["submitted"]


def test_what_is_on_the_chain_already_is_counted(spec: ChainSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeEngine(monkeypatch, ok=False, code="duplicate")
    report, summary = demo.submit(spec, quiet)
    assert report["already_on_chain"] == 1
    assert "1 were on the chain already" in summary


def test_a_refused_object_fails_the_demo(spec: ChainSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeEngine(monkeypatch, ok=False, code="schema", error="body.name: missing")
    with pytest.raises(ProvchainError, match="1 of 230 objects were refused") as caught:
        demo.submit(spec, quiet)
    assert "body.name" in caught.value.cause


def test_reading_asks_another_organisation(spec: ChainSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeEngine(monkeypatch)
    report, _ = demo.read_back(spec, quiet)
    assert fake.asked == [("a1", "read", {"node": "v2"})]
    assert spec.host("v2").organisation != spec.host("a1").organisation
    assert report["organisation"] == "zjfin"


def test_a_proof_that_does_not_hold_fails_the_demo(spec: ChainSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeEngine(monkeypatch, verified=False, error="certificate: power 2")
    with pytest.raises(ProvchainError, match="did not verify") as caught:
        demo.read_back(spec, quiet)
    assert "power 2" in caught.value.cause
