"""A node and a client whose keys are all sealed: they work as others do, and no plain key is taken."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.clikit import Chain, lines, provnode, record, refusal

NAMES = ("v1", "m1")


@pytest.fixture
def chain(tmp_path: Path, kek: str) -> Chain:
    chain = Chain(tmp_path / "chain", {"kek_credential": kek})
    for name, purpose in (("v1", "consensus"), ("m1", "client")):
        for path, use in ((chain.keys[name], purpose), (chain.root / name / "key.pem", "tls")):
            assert provnode("keygen", "--seal", path, "--kek", kek, "--purpose", use).returncode == 0
    return chain


def test_a_chain_of_sealed_keys_runs(chain: Chain) -> None:
    with chain.running():
        done = provnode("submit", "--config", chain.config("m1"), stdin=record("o1") + "\n")
        assert done.returncode == 0, done.stderr
        read = provnode("read", "--config", chain.config("m1"), "--node", "v1", stdin='{"object_id": "o1"}\n')
        assert lines(read)[0]["verified"], read.stderr
        (changed,) = lines(provnode("rekey", "--socket", chain.socket))
        assert set(changed) == {"data_key"}
    own = [path for name in NAMES for path in (chain.root / name).rglob("*") if path.is_file()]
    assert len(own) >= 6
    assert [path for path in own if b"PRIVATE KEY" in path.read_bytes()] == []


@pytest.mark.parametrize("which", ["consensus", "tls", "client"])
def test_a_plain_key_is_refused(chain: Chain, tmp_path: Path, which: str) -> None:
    name = "m1" if which == "client" else "v1"
    path = chain.root / name / "key.pem" if which == "tls" else chain.keys[name]
    path.unlink()
    assert provnode("keygen", "--out", path).returncode == 0
    config = chain.config(name)
    done = provnode(*(("submit",) if which == "client" else ("run",)), "--config", config, stdin=record("o1"))
    text = refusal(done)
    assert str(path) in text and f"keygen --seal FILE --purpose {which}" in text
    assert not (chain.root / "data").exists()


@pytest.mark.parametrize("problem", ["no credential", "not configured", "another kek", "another purpose"])
def test_keys_that_do_not_open_are_refused(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    config = chain.config("v1", **({"kek_credential": None} if problem == "not configured" else {}))
    wanted = {
        "no credential": "systemd gave this process no credential 'kek'",
        "not configured": "the key is sealed (name the credential",
        "another kek": "this host has",
        "another purpose": "found tls, allowed: consensus",
    }
    if problem == "no credential":
        monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    elif problem == "another kek":
        (tmp_path / "credentials" / "kek").write_bytes(bytes(16))
    elif problem == "another purpose":
        config = chain.config("v1", consensus_key=str(chain.root / "v1" / "key.pem"))
    assert wanted[problem] in refusal(provnode("run", "--config", config))


@pytest.mark.parametrize("name", ["../kek", "a/b", ".kek", "k" * 65])
def test_a_credentials_name_is_no_path(chain: Chain, name: str) -> None:
    assert "kek_credential" in refusal(provnode("run", "--config", chain.config("v1", kek_credential=name)))
