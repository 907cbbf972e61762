"""Another key-encryption key for a host: all opens at any moment, and in the end without the old one."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from pathlib import Path

import pytest
from provnode.cli.keys import load_key
from provnode.cli.rewrap import rewrap
from provnode.crypto import get_provider
from provnode.crypto.sealed import PURPOSES, Kek, Purpose, load_kek, seal_key
from provnode.storage.sealing import Keyring, kek_of
from tests.cli.clikit import Chain, lines, provnode, record, refusal
from tests.support.crashing import killed_at_each_step

OLD, NEW = "kek", "kek-2"
BOTH = {"kek_credential": NEW, "old_kek_credential": OLD}
PROVIDER = get_provider("openssl")


@pytest.fixture
def chain(tmp_path: Path, kek: str) -> Chain:
    """A node and a client whose keys and ledger are sealed under the old KEK; the new one is there too."""
    chain = Chain(tmp_path / "chain", {"kek_credential": kek})
    under = load_kek(kek, PROVIDER)
    assert under is not None
    for path, purpose in keys(chain):
        public, pem = PROVIDER.public_key(load_key(path, PROVIDER, purpose, None)), path.read_bytes()
        path.write_bytes(seal_key(under, purpose, public, pem))
    credential(tmp_path, NEW).write_bytes(os.urandom(16))
    return chain


def credential(tmp_path: Path, name: str) -> Path:
    return tmp_path / "credentials" / name


def keys(chain: Chain) -> list[tuple[Path, Purpose]]:
    tls = [(chain.root / name / "key.pem", PURPOSES[2]) for name in ("v1", "m1")]
    return [(chain.keys["v1"], PURPOSES[0]), (chain.keys["m1"], PURPOSES[1]), *tls]


def keyring(chain: Chain) -> Path:
    return chain.root / "data" / "keyring"


def new_kek() -> Kek:
    found = load_kek(NEW, PROVIDER)
    assert found is not None
    return found


def commit_and_read(chain: Chain, name: str) -> None:
    done = provnode("submit", "--config", chain.config("m1"), stdin=record(name) + "\n")
    assert done.returncode == 0, done.stderr
    asked = f'{{"object_id": "{name}"}}\n'
    read = provnode("read", "--config", chain.config("m1"), "--node", "v1", stdin=asked)
    assert lines(read)[0]["verified"], read.stderr


def test_a_chain_goes_over_to_another_kek(chain: Chain, tmp_path: Path) -> None:
    with chain.running():
        commit_and_read(chain, "o1")
        # a node that has the old one only: nothing is changed under its feet
        chain.common |= BOTH
        before = [path.read_bytes() for path, _ in keys(chain)]
        text = refusal(provnode("rewrap", "--config", chain.config("v1")))
        assert "restart the node with both credentials" in text
        assert [path.read_bytes() for path, _ in keys(chain)] == before
    with chain.running():
        # the node has brought its keyring over by itself; its other files are brought over while it runs
        assert kek_of(keyring(chain)) == new_kek().id
        for name in ("v1", "m1"):
            (done,) = lines(provnode("rewrap", "--config", chain.config(name)))
            mine = {str(path) for path, _ in keys(chain) if path.is_relative_to(chain.root / name)}
            assert set(done["sealed_anew"]) == mine and done["kek"] == new_kek().id
            (again,) = lines(provnode("rewrap", "--config", chain.config(name)))
            assert again["sealed_anew"] == [] and set(again["as_before"]) >= mine
        commit_and_read(chain, "o2")
        (changed,) = lines(provnode("rekey", "--socket", chain.socket))
        assert set(changed) == {"data_key"}
    reloads = [json.loads(line)["event"] for line in chain.log.read_text().splitlines()]
    assert "identity.reloaded" in reloads and "identity.reload_failed" not in reloads
    # the old one may go
    credential(tmp_path, OLD).unlink()
    chain.common = {"kek_credential": NEW}
    with chain.running():
        commit_and_read(chain, "o3")
        read = provnode("read", "--config", chain.config("m1"), "--node", "v1", stdin='{"object_id": "o1"}\n')
        assert lines(read)[0]["verified"]


def test_without_the_old_credential_what_helps_is_told(chain: Chain) -> None:
    chain.common = {"kek_credential": NEW}
    for argv in (("run",), ("rewrap",)):
        text = refusal(provnode(*argv, "--config", chain.config("v1")))
        assert "this host has" in text and "name it as old_kek_credential" in text


def test_one_kek_under_two_names_is_none_more(chain: Chain, tmp_path: Path) -> None:
    credential(tmp_path, NEW).write_bytes(credential(tmp_path, OLD).read_bytes())
    chain.common |= BOTH
    for argv in (("run",), ("rewrap",)):
        assert "the new one is the old one" in refusal(provnode(*argv, "--config", chain.config("v1")))


def test_a_damaged_key_stops_it_and_is_left_as_it_is(chain: Chain) -> None:
    chain.common |= BOTH
    path = chain.root / "v1" / "key.pem"
    raw = path.read_bytes()
    path.write_bytes(raw[:-9] + b"AAAAAAA=\n")
    text = refusal(provnode("rewrap", "--config", chain.config("v1")))
    assert str(path) in text and "damaged" in text
    path.write_bytes(raw)
    (done,) = lines(provnode("rewrap", "--config", chain.config("v1")))
    assert done["sealed_anew"] == [str(path)]


def test_files_stay_their_owners(chain: Chain) -> None:
    chain.common |= BOTH
    path, _ = keys(chain)[0]
    os.chown(path, 65534, 65534)
    assert provnode("rewrap", "--config", chain.config("v1")).returncode == 0
    found = path.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (65534, 65534, 0o600)


def test_kill_9_at_any_step_loses_no_key(chain: Chain) -> None:
    assert provnode("init", "--config", chain.config("v1")).returncode == 0
    before = Keyring(keyring(chain), load_kek(OLD, PROVIDER) or new_kek())
    chain.common |= BOTH
    config, both = chain.config("v1"), load_kek(NEW, PROVIDER, OLD)
    sealed = [(path, purpose) for path, purpose in keys(chain) if "v1" in path.parts]
    public = [PROVIDER.public_key(load_key(path, PROVIDER, purpose, both)) for path, purpose in sealed]
    originals = {path: path.read_bytes() for path in (keyring(chain), *(path for path, _ in sealed))}

    def open_all(kek: Kek | None) -> None:
        assert kek is not None
        found = [PROVIDER.public_key(load_key(path, PROVIDER, purpose, kek)) for path, purpose in sealed]
        assert found == public

    steps = 0
    for _ in killed_at_each_step(lambda: rewrap(Namespace(config=config))):
        steps += 1
        open_all(both)
        # the keyring, read without being brought over here
        assert kek_of(keyring(chain)) in {before._kek.id, new_kek().id}
        # the same command goes on where it ended
        assert rewrap(Namespace(config=config)) == 0
        open_all(new_kek())
        assert kek_of(keyring(chain)) == new_kek().id
        for path, raw in originals.items():
            path.write_bytes(raw)
    # three files, each opened, written, synced, renamed, and its folder synced
    assert steps >= 3 * 5
    open_all(new_kek())
    assert Keyring(keyring(chain), new_kek())._keys == before._keys
