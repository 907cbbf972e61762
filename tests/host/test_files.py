"""Keys, certificates and configuration belong to whom they should; nobody else reads a private key."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from provchain.spec import digest
from tests.host.conftest import LOG_KEY
from tests.host.engine import Engine
from tests.host.network import Network

PRIVATE = b"PRIVATE KEY-----"


def test_the_engines_files_are_as_they_must_be(
    name: str, facts: dict[str, Any], engine: Engine, network: Network
) -> None:
    wanted = {
        kept.path: {"kind": kept.kind, "mode": kept.mode, "owner": kept.owner, "group": kept.group}
        for kept in engine.kept(network.described(name))
    }
    assert wanted
    found = {path: facts["paths"][path] for path in wanted}
    assert found == wanted


def test_no_private_key_can_be_read_by_others(name: str, facts: dict[str, Any]) -> None:
    assert "/etc/ssh/ssh_host_ed25519_key" in facts["private_keys"], "the search finds no key at all"
    open_keys = {
        path: found for path, found in facts["private_keys"].items() if int(found["mode"], 8) & 0o077
    }
    assert open_keys == {}, name


def test_the_engines_private_keys_are_sealed(
    name: str, facts: dict[str, Any], engine: Engine, network: Network
) -> None:
    """No key lies in the clear but those of sshd and rsyslog, and the engine's own lie there sealed."""
    system = ("/etc/ssh/ssh_host_", LOG_KEY)
    strays = [path for path in facts["private_keys"] if not path.startswith(system)]
    assert strays == [], name
    sealed = engine.sealed(network.described(name))
    assert sealed
    assert {path: facts["heads"][path] for path in sealed} == sealed, name


def test_what_opens_sealed_keys_is_systemds_alone(
    name: str, facts: dict[str, Any], engine: Engine, network: Network
) -> None:
    """The credential is of this host, opens here only, and reaches the service by its unit."""
    credential, file = engine.credential
    assert facts["credential"]["size"] > 0
    assert facts["paths"][file] == {"kind": "file", "mode": "0600", "owner": "root", "group": "root"}
    if network.described(name).is_node:
        assert f"LoadCredentialEncrypted={credential}:{file}" in facts["unit_text"].splitlines(), name


def test_no_two_hosts_share_what_opens_their_keys(all_facts: dict[str, dict[str, Any]]) -> None:
    digests = {facts["credential"]["sha256"] for facts in all_facts.values()}
    assert len(digests) == len(all_facts)


def test_nothing_can_be_written_by_everybody(name: str, facts: dict[str, Any]) -> None:
    assert facts["world_writable"] == [], name


def test_the_host_carries_the_descriptions_digest(name: str, facts: dict[str, Any], network: Network) -> None:
    assert (facts["digest"] or "").strip() == digest(network.spec), name


def test_the_controller_keeps_no_key_but_the_authorities_and_its_own(network: Network) -> None:
    """Keys of hosts are born on the hosts; here are only the CAs' and the one for SSH, all 0600."""
    allowed = {network.state / "ssh" / "id_ed25519"}
    for kind in ("pki", "pki-logs"):
        allowed |= {network.state / kind / o.name / "ca.key" for o in network.spec.organisations}
    found = {path for path in _files(network.state) if PRIVATE in path.read_bytes()}
    assert found == allowed
    modes = {str(path): oct(stat.S_IMODE(path.stat().st_mode)) for path in found}
    assert set(modes.values()) == {"0o600"}, modes


def test_the_controllers_state_is_private(network: Network) -> None:
    assert stat.S_IMODE(network.state.stat().st_mode) == 0o700
    passphrase = network.state / "passphrase"
    assert stat.S_IMODE(passphrase.stat().st_mode) == 0o600
    secret = passphrase.read_text(encoding="utf-8").strip()
    assert secret
    readable = [path for path in (network.state / "pulumi").rglob("*.json") if secret in _text(path)]
    assert readable == []


def _files(state: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(state):
        if Path(folder) == state:
            # the disks of a lab's hosts: what lies there, lies on the hosts
            folders[:] = [name for name in folders if name != "lab"]
        yield from (path for name in files if (path := Path(folder, name)).is_file())


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
