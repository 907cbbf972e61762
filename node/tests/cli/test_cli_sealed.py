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


def test_a_sealed_backup_is_restored_where_there_is_another_kek(chain: Chain, tmp_path: Path) -> None:
    recovery, public, copy = tmp_path / "recovery.pem", tmp_path / "recovery.pub", tmp_path / "backup"
    public.write_text(provnode("keygen", "--out", recovery, "--pem").stdout)
    with chain.running():
        objects = record("register-of-hangzhou", name="杭州某公司") + "\n"
        assert provnode("submit", "--config", chain.config("m1"), stdin=objects).returncode == 0
        own = provnode("backup", tmp_path / "own", "--config", chain.config("v1"))
        assert own.returncode == 0, own.stderr
        done = provnode("backup", copy, "--seal-for", public, "--config", chain.config("v1"))
        assert done.returncode == 0, done.stderr
    assert b"register-of" in (tmp_path / "own").read_bytes()  # objects are sealed in it, their ids are not
    assert b"register-of" not in copy.read_bytes() and b"SQLite" not in copy.read_bytes()
    (tmp_path / "credentials" / "other").write_bytes(bytes(range(16)))
    config = chain.config("v1", data_dir=str(tmp_path / "new"), kek_credential="other")
    for backup, options, text in (
        (tmp_path / "own", (), "sealed under KEK"),
        (tmp_path / "own", ("--open-with", recovery), "it is plain, --open-with is of no use"),
        (copy, (), "it is sealed, --open-with is needed"),
        (copy, ("--open-with", public), "mode 0644, allowed: 0600"),
        (copy, ("--open-with", chain.keys["v1"]), "allowed is one unencrypted PKCS#8 PEM"),
    ):
        assert text in refusal(provnode("restore", backup, *options, "--config", config))
    stranger = tmp_path / "stranger.pem"
    provnode("keygen", "--out", stranger)
    told = refusal(provnode("restore", copy, "--open-with", stranger, "--config", config))
    assert "it does not open with this key" in told
    bare = chain.config("v1", data_dir=str(tmp_path / "new"), kek_credential=None)
    told = refusal(provnode("restore", copy, "--open-with", recovery, "--config", bare))
    assert "the ledger is sealed (set kek_credential)" in told
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"lock"}
    config = chain.config("v1", data_dir=str(tmp_path / "new"), kek_credential="other")
    done = provnode("restore", copy, "--open-with", recovery, "--config", config)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "new" / "keyring").read_text().split()[1] != (
        chain.root / "data" / "keyring"
    ).read_text().split()[1]
    found = lines(provnode("fsck", "--json", "--config", config))[0]
    assert (found["damage"], found["oldest_height"]) == ([], 1)
