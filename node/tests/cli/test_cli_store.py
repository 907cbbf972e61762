"""Backup of a running node, restore onto an empty folder, fsck, and everything that they refuse."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tarfile
from pathlib import Path

import pytest
from provnode.light import Trust
from provnode.storage.prune import prune
from provnode.storage.store import Store
from tests.cli.clikit import Chain, lines, provnode, record, refusal


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """A chain with objects, stopped, and `root/backup` of it, made while it ran."""
    made = Chain(tmp_path_factory.mktemp("chain"))
    with made.running():
        objects = "\n".join(record(f"o-{n}", name="甲") for n in range(20))
        assert provnode("submit", "--config", made.config("m1"), stdin=objects).returncode == 0
        (told,) = lines(provnode("backup", made.root / "backup", "--config", made.config("v1")))
        assert told["height"] > 0
        assert provnode("wait", "--socket", made.socket).returncode == 0
        assert refusal(provnode("backup", made.root / "backup", "--config", made.config("v1"))) == (
            f"provnode: {made.root / 'backup'} is there already (name another file)\n"
        )
        busy = provnode("fsck", "--config", made.config("v1"))
        assert "in use by a running provnode" in refusal(busy)
    return made


def restored(chain: Chain, backup: Path, folder: Path, *more: str) -> list[object]:
    config = chain.config("v1", data_dir=str(folder))
    done = provnode("restore", backup, *more, "--config", config)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_backup_is_restored_whole(chain: Chain, tmp_path: Path) -> None:
    restored(chain, chain.root / "backup", tmp_path / "new")
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"chain.sqlite", "signing-floor.json", "lock"}
    done = provnode("fsck", "--json", "--config", chain.config("v1", data_dir=str(tmp_path / "new")))
    told = json.loads(done.stdout)
    assert (done.returncode, told["damage"], told["oldest_height"]) == (0, [], 1)
    assert told["newest_height"] > 1
    assert "state tree" in done.stderr


def test_neither_keys_nor_signing_records_are_in_a_backup(chain: Chain) -> None:
    with tarfile.open(chain.root / "backup") as archive:
        assert archive.getnames() == ["manifest.json", "chain.sqlite"]
    assert (chain.root / "backup").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_is_not_empty_is_left_alone(chain: Chain) -> None:
    before = {path: path.read_bytes() for path in (chain.root / "data").iterdir() if path.is_file()}
    text = refusal(provnode("restore", chain.root / "backup", "--config", chain.config("v1")))
    assert "restore into an empty folder" in text
    assert before == {path: path.read_bytes() for path in (chain.root / "data").iterdir() if path.is_file()}


def test_an_interrupted_restore_is_begun_again(chain: Chain, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    (folder / "restoring").mkdir(parents=True)
    (folder / "restoring" / "chain.sqlite").write_bytes(b"half")
    (folder / "signing-floor.json").write_text('{"height":null}')
    restored(chain, chain.root / "backup", folder, "--last-signed-height", "900")
    assert json.loads((folder / "signing-floor.json").read_text()) == {"height": 901}
    assert not (folder / "restoring").exists()


@pytest.mark.parametrize("place", [200, 1024 + 700, 0, -1])
def test_a_damaged_backup_changes_nothing(chain: Chain, tmp_path: Path, place: int) -> None:
    raw = bytearray((chain.root / "backup").read_bytes())
    raw[place or len(raw) // 2] ^= 1  # else: cut off in the middle
    (tmp_path / "bad").write_bytes(raw if place >= 0 else raw[: len(raw) // 2])
    done = provnode(
        "restore", tmp_path / "bad", "--config", chain.config("v1", data_dir=str(tmp_path / "new"))
    )
    assert str(tmp_path / "bad") in refusal(done)
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"lock"}


def test_a_backup_that_hashes_well_is_verified_all_the_same(chain: Chain, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    restored(chain, chain.root / "backup", folder)
    db = sqlite3.connect(folder / "chain.sqlite")
    with db:
        db.execute(
            "UPDATE objects SET snapshot = CAST(replace(CAST(snapshot AS TEXT), '甲', '乙') AS BLOB)"
            " WHERE object_id = 'o-3'"
        )
    db.close()
    config = chain.config("v1", data_dir=str(folder))
    assert provnode("backup", tmp_path / "forged", "--config", config).returncode == 0
    found = provnode("fsck", "--config", config)
    assert found.returncode == 1 and "objects o-3 version 0: is not what the state tree has" in found.stdout
    config = chain.config("v1", data_dir=str(tmp_path / "n"))
    done = provnode("restore", tmp_path / "forged", "--config", config)
    assert done.returncode == 1 and "2 damages, the first: state root" in done.stderr
    assert {path.name for path in (tmp_path / "n").iterdir()} == {"lock"}


def test_without_a_store_there_is_nothing_to_do(chain: Chain, tmp_path: Path) -> None:
    config = chain.config("v1", data_dir=str(tmp_path / "none"))
    for command in (("backup", tmp_path / "b"), ("fsck",)):
        assert "is not there" in refusal(provnode(*command, "--config", config))
    shutil.rmtree(tmp_path / "none", ignore_errors=True)


def test_a_restored_validator_is_silent_until_it_may_sign(chain: Chain, tmp_path: Path) -> None:
    restored(chain, chain.root / "backup", tmp_path / "new", "--last-signed-height", "1000000")
    config = chain.config("v1", data_dir=str(tmp_path / "new"))
    (told,) = lines(provnode("init", "--config", config))
    assert told["validator"] is False
    (tmp_path / "new" / "signing-floor.json").write_text('{"height":1}')
    (told,) = lines(provnode("init", "--config", config))
    assert told["validator"] is True


def test_a_store_that_contradicts_the_trusted_point_is_refused(chain: Chain, tmp_path: Path) -> None:
    restored(chain, chain.root / "backup", tmp_path / "new", "--last-signed-height", "1")
    trust = tmp_path / "trust.json"
    config = chain.config("v1", data_dir=str(tmp_path / "new"), trust=str(trust))
    assert "trust.json: No such file" in refusal(provnode("init", "--config", config))
    point = Trust.of_genesis(json.loads(chain.genesis.read_text()), chain.provider).as_json()
    member = point["validators"][0]
    for changes, text in (
        ({"genesis_hash": "00" * 32}, "trust.json: a point of 'test' 0000"),
        ({"height": 1}, "another chain than that of the trusted point at height 1: found block"),
        ({"validators": [member | {"power": 2}]}, "trusted point at height 0: found validators"),
        (
            {"validators": [member | {"power": 0}]},
            "trust.json: validators: a validator's power is at least 1",
        ),
        ({"height": "1"}, "trust.height"),
    ):
        trust.write_text(json.dumps(point | changes))
        for verb in ("init", "run"):
            assert text in refusal(provnode(verb, "--config", config))
    for changes in ({}, {"height": 10**6}):
        trust.write_text(json.dumps(point | changes))
        assert provnode("init", "--config", config).returncode == 0


def test_a_pruned_store_is_verified_backed_up_and_restored(chain: Chain, tmp_path: Path) -> None:
    restored(chain, chain.root / "backup", tmp_path / "old")
    store = Store(tmp_path / "old" / "chain.sqlite")
    newest = store.height()
    prune(store, newest)
    store.close()
    config = chain.config("v1", data_dir=str(tmp_path / "old"))
    done = provnode("fsck", "--config", config)
    assert done.returncode == 0
    assert f"not verified, as they are not kept here: blocks 1 to {newest - 1}" in done.stdout
    assert provnode("backup", tmp_path / "pruned", "--config", config).returncode == 0
    restored(chain, tmp_path / "pruned", tmp_path / "new")
    config = chain.config("v1", data_dir=str(tmp_path / "new"))
    told = json.loads(provnode("fsck", "--json", "--config", config).stdout)
    assert told == {"damage": [], "oldest_height": newest, "newest_height": newest}
