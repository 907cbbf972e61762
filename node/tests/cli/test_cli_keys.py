"""Keys and certificate requests: private from their first moment, never lost by accident."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from tests.cli.clikit import lines, provnode, refusal
from tests.support.pki import VERIFY, make_key


def test_a_new_key_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    before = os.umask(0)  # the most careless of users
    try:
        done = provnode("keygen", "--out", path)
    finally:
        os.umask(before)
    assert done.returncode == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["key.pem"]
    (made,) = lines(done)
    assert made == {"path": str(path), "created": True, "public_key": made["public_key"]}
    assert len(bytes.fromhex(made["public_key"])) == 65
    assert "PRIVATE" not in done.stdout + done.stderr
    (shown,) = lines(provnode("keygen", "--show", path))
    assert shown == made | {"created": False}


def test_a_key_is_kept_unless_force_is_used(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    assert provnode("keygen", "--out", path).returncode == 0
    before = path.read_bytes()
    assert "--force replaces it" in refusal(provnode("keygen", "--out", path))
    assert lines(provnode("keygen", "--ensure", path))[0]["created"] is False
    assert path.read_bytes() == before
    assert lines(provnode("keygen", "--out", path, "--force"))[0]["created"] is True
    assert path.read_bytes() != before and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert lines(provnode("keygen", "--ensure", tmp_path / "other.pem"))[0]["created"] is True
    assert sorted(item.name for item in tmp_path.iterdir()) == ["key.pem", "other.pem"]


def test_force_belongs_to_out(tmp_path: Path) -> None:
    for verb in ("--ensure", "--show"):
        done = provnode("keygen", verb, tmp_path / "key.pem", "--force")
        assert done.returncode == 2 and "--force goes with --out" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o777])
def test_a_key_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = make_key(tmp_path / "key.pem")
    path.chmod(mode)
    text = f"mode {mode:04o}, allowed: 0600; chmod 0600 {path}"
    assert text in refusal(provnode("keygen", "--show", path))
    assert text in refusal(provnode("keygen", "--ensure", path))
    assert text in refusal(provnode("csr", "--key", path, "--name", "v1", "--organisation", "zjex"))


def test_what_is_no_sm2_key_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(provnode("keygen", "--show", tmp_path / "none"))
    assert "No such file" in refusal(provnode("keygen", "--out", tmp_path / "none" / "key.pem"))
    assert "Is a directory" in refusal(provnode("keygen", "--show", tmp_path)) or os.geteuid() != 0
    other = make_key(tmp_path / "p256.pem", "P-256")
    assert "allowed: SM2" in refusal(provnode("keygen", "--show", other))
    garbage = tmp_path / "garbage.pem"
    garbage.write_bytes(b"-----BEGIN PRIVATE KEY-----\nMAAA\n-----END PRIVATE KEY-----\n")
    garbage.chmod(0o600)
    refusal(provnode("keygen", "--show", garbage))


def test_a_request_is_signed_by_its_key_in_the_national_way(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key.pem")
    done = provnode("csr", "--key", key, "--name", "v1", "--organisation", "zjex")
    assert done.returncode == 0, done.stderr
    command = ["openssl", "req", "-noout", "-verify", *VERIFY, "-subject", "-text"]
    checked = subprocess.run(command, input=done.stdout, capture_output=True, text=True, check=False)
    assert checked.returncode == 0 and "verify OK" in checked.stderr + checked.stdout
    assert "CN = v1, O = zjex" in checked.stdout
    assert "SM2-with-SM3" in checked.stdout


@pytest.mark.parametrize("name", ["", "v1/O=other", "V1", "节点", "a" * 65, "v 1", ".v1", "v1\n"])
def test_a_name_that_could_be_read_otherwise_is_refused(tmp_path: Path, name: str) -> None:
    key = make_key(tmp_path / "key.pem")
    for given in ((name, "zjex"), ("v1", name)):
        done = provnode("csr", "--key", key, "--name", given[0], "--organisation", given[1])
        assert "allowed: [a-z0-9]" in refusal(done)


def test_without_openssl_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = make_key(tmp_path / "key.pem")
    monkeypatch.setenv("PATH", str(tmp_path))
    done = provnode("csr", "--key", key, "--name", "v1", "--organisation", "zjex")
    assert "install the package openssl" in refusal(done)


def test_a_key_is_born_sealed(tmp_path: Path, kek: str) -> None:
    path = tmp_path / "tls.key"
    (made,) = lines(provnode("keygen", "--out", path, "--kek", kek, "--purpose", "tls"))
    assert path.read_bytes().startswith(b"provnode-sealed-key-1 tls ") and b"PRIVATE" not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # to tell the public key needs no KEK
    assert lines(provnode("keygen", "--show", path)) == [made | {"created": False}]
    assert lines(provnode("keygen", "--ensure", path, "--kek", kek, "--purpose", "tls")) == [
        made | {"created": False}
    ]
    done = provnode("csr", "--key", path, "--kek", kek, "--name", "v1", "--organisation", "zjex")
    command = ["openssl", "req", "-noout", "-verify", *VERIFY, "-pubkey"]
    checked = subprocess.run(command, input=done.stdout, capture_output=True, text=True, check=True)
    assert checked.stdout == provnode("keygen", "--show", path, "--pem").stdout
    assert "the key is sealed" in refusal(provnode("keygen", "--ensure", path))
    wrong = provnode("keygen", "--ensure", path, "--kek", kek)
    assert "found tls, allowed: consensus" in refusal(wrong)


def test_a_plain_key_is_sealed_in_place(tmp_path: Path, kek: str) -> None:
    path = make_key(tmp_path / "key.pem")
    (shown,) = lines(provnode("keygen", "--show", path))
    assert "keygen --seal FILE" in refusal(provnode("keygen", "--ensure", path, "--kek", kek))
    assert provnode("keygen", "--seal", path).returncode == 2
    assert lines(provnode("keygen", "--seal", path, "--kek", kek)) == [shown]
    assert b"PRIVATE" not in path.read_bytes()
    assert lines(provnode("keygen", "--ensure", path, "--kek", kek)) == [shown]
    assert [item.name for item in tmp_path.iterdir() if item.is_file()] == ["key.pem"]


def test_a_credential_that_is_not_there_is_refused(tmp_path: Path, kek: str) -> None:
    done = provnode("keygen", "--out", tmp_path / "key", "--kek", "other")
    assert "credential 'other': No such file" in refusal(done) and not (tmp_path / "key").exists()
