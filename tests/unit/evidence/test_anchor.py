"""The digest of evidence on a chain: what is submitted, what is proven, and who is believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from typer.testing import CliRunner

from provchain.cli.main import app
from provchain.conductor import anchor, engine
from provchain.errors import ProvchainError
from provchain.evidence import keys, seal
from provchain.paths import REPOSITORY, spec_file
from provchain.spec import load
from tests.unit.evidence.evidencekit import WHEN, left, proven, schema

RECIPE = {
    "sources": [str(REPOSITORY / "node")],
    "verify": ["-m", "provnode", "verify", "{proof}", "--genesis", "{genesis}"],
}


class Bench:
    """Sealed evidence with a proof of a chain that was made for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder / "auditor.key"
        keys.make(self.key)
        self.bundle = folder / "lab.evidence"
        self.bundle.write_bytes(seal.seal(left(folder), self.key, WHEN, "t"))
        self.found = seal.verify(self.bundle.read_bytes())
        self.object = anchor.object_of(self.found)
        self.genesis, self.engines = proven(folder, self.object)
        self.proof = folder / "lab.evidence.proof.json"
        self.proof.write_bytes(self.wrapped(self.engines))

    def wrapped(self, proof: dict[str, Any], **more: Any) -> bytes:  # noqa: ANN401 - also what is no proof
        wrapper = {"format": 1, "engine": "some", "network": "lab", "proof": proof, **more}
        return json.dumps(wrapper).encode()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("anchor"))


@pytest.fixture(autouse=True)
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An engine's recipe that names how a proof is verified."""
    path = tmp_path / "roles" / "some" / "package.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(RECIPE))
    monkeypatch.setattr(anchor, "ROLES", tmp_path / "roles")
    return path


def test_what_is_submitted_fits_the_schema_and_tells_nothing_of_the_findings(bench: Bench) -> None:
    body = bench.object["body"]
    assert jsonschema_rs.validator_for(schema()).is_valid(body)
    assert bench.object["header"]["content"]["type"] == "audit_evidence"
    assert set(body) == {"network", "profile", "manifest_sm3", "report_sm3", "signer"}
    assert body["manifest_sm3"] in bench.object["header"]["content"]["object_id"]
    assert len(bench.object["header"]["content"]["object_id"]) <= 128


def test_a_proof_tells_height_and_the_chains_own_time(bench: Bench) -> None:
    found = anchor.check(bench.proof.read_bytes(), bench.genesis, bench.found.digest)
    assert found.height == 1
    assert found.time is not None
    assert int(found.time.timestamp()) == 1_770_000_001


def _touched(bench: Bench) -> dict[str, Any]:
    proof = json.loads(json.dumps(bench.engines))
    proof["snapshot"]["body"]["manifest_sm3"] = "0" * 64
    return dict(proof)


WRONG: dict[str, tuple[Callable[[Bench], bytes], str]] = {
    "altered": (lambda bench: bench.wrapped(_touched(bench)), "does not hold"),
    "empty": (lambda bench: bench.wrapped({}), "does not hold"),
    "no wrapper": (lambda bench: json.dumps(bench.engines).encode(), "can't be read"),
    "no JSON": (lambda bench: b"\xff", "can't be read"),
    "format": (lambda bench: bench.wrapped(bench.engines, format=2), "can't be read"),
    "another engine": (
        lambda bench: bench.wrapped(bench.engines, engine="../some/../other"),
        "can't be read",
    ),
    "an unknown engine": (lambda bench: bench.wrapped(bench.engines, engine="other"), "has no command here"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_proof_that_is_none_is_refused(bench: Bench, name: str) -> None:
    make, words = WRONG[name]
    with pytest.raises(ProvchainError) as caught:
        anchor.check(make(bench), bench.genesis, bench.found.digest)
    assert words in " ".join(caught.value.lines())


def test_a_proof_of_another_bundle_or_of_another_chain_is_refused(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ProvchainError, match="of something else"):
        anchor.check(bench.proof.read_bytes(), bench.genesis, "0" * 64)
    other, _ = proven(tmp_path, bench.object)
    with pytest.raises(ProvchainError, match="does not hold"):
        anchor.check(bench.proof.read_bytes(), other, bench.found.digest)
    other.write_text("no genesis")
    with pytest.raises(ProvchainError, match="can't be verified here"):
        anchor.check(bench.proof.read_bytes(), other, bench.found.digest)


class FakeEngine:
    """Answers the verbs submit and prove."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, sent: object, proof: object) -> None:
        self.sent, self.proof = sent, proof
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
        assert refusals == (verb == "submit"), "a refusal is an answer, which says why"
        self.asked.append((host, verb, json.loads(stdin) if stdin else parameters))
        if verb == "prove" and self.proof is None:
            raise ProvchainError("a1: prove failed")
        return json.dumps(self.sent if verb == "submit" else self.proof)


def test_it_goes_through_the_access_zone_and_the_proof_is_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = load(spec_file("lab"))
    for sent, words in (
        ({"ok": True}, "committed"),
        ({"ok": False, "code": "duplicate"}, "was on the chain already"),
    ):
        fake = FakeEngine(monkeypatch, sent, bench.engines)
        text, summary = anchor.anchor(spec, bench.found, lambda _: None)
        assert words in summary
        wanted = {"object_id": f"audit-evidence-{bench.found.digest}", "version": "0"}
        assert fake.asked == [("a1", "submit", bench.object), ("a1", "prove", wanted)]
        assert json.loads(text)["proof"] == bench.engines
        assert json.loads(text)["engine"] == spec.engine.name
    refused: list[tuple[object, object, str]] = [
        ({"ok": False, "code": "schema", "error": "unknown type"}, None, "refused the digest"),
        ({"ok": True}, None, "prove failed"),
        (["ok"], bench.engines, "did not answer with a JSON object"),
    ]
    for answer, proof, words in refused:
        FakeEngine(monkeypatch, answer, proof)
        with pytest.raises(ProvchainError, match=words):
            anchor.anchor(spec, bench.found, lambda _: None)


def provchain(*argv: str | Path) -> tuple[int, str]:
    """Run ``provchain audit``; an expected failure is 1, as the command's main makes it."""
    done = CliRunner().invoke(app, ["audit", *map(str, argv)])
    if isinstance(done.exception, ProvchainError):
        return 1, " ".join(done.exception.lines())
    return done.exit_code, done.output


def test_an_officer_seals_and_a_regulator_verifies(bench: Bench, tmp_path: Path) -> None:
    key, out = tmp_path / "a.key", tmp_path / "x.evidence"
    assert provchain("key", "--out", key)[0] == 0
    sealing = ("seal", bench.folder / "audit.json", "--key", key, "--out", out)
    code, said = provchain(*sealing)
    assert code == 0, said
    assert out.stat().st_mode & 0o777 == 0o600, "facts are not for everybody"
    assert provchain(*sealing)[0] == 1, "what is sealed is not overwritten"
    code, said = provchain("verify", out, "--signer", f"{key}.pub")
    assert code == 0, said
    assert "陈静" in said
    assert "nothing proves" in said
    assert "not looked for" in said
    code, said = provchain("verify", out)
    assert code == 3
    assert "NOBODY" in said
    assert provchain("verify", out, "--signer", bench.folder / "auditor.key.pub")[0] == 1


def test_the_anchor_is_verified_beside_the_bundle(bench: Bench, tmp_path: Path) -> None:
    known = ("verify", bench.bundle, "--signer", f"{bench.key}.pub")
    code, said = provchain(*known, "--genesis", bench.genesis)
    assert code == 0, said
    assert "proven at height 1, block of 2026-02-02" in said
    code, said = provchain(*known, "--genesis", bench.genesis, "--proof", tmp_path / "none.json")
    assert (code, "can't be read" in said) == (1, True)
    assert provchain(*known, "--proof", bench.proof)[0] == 2, "without a genesis nothing is proven"
    assert provchain(*known, "--ca", bench.genesis)[0] == 2
