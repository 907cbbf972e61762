"""The shape of provnode's installation; the only file of the suite that knows it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from provnode.crypto import get_provider
from provnode.light import Trust, follow, verify_proof
from provnode.light.trust import check_header

from provchain.spec import Host
from tests.host.engine import Ask, Kept, Proven
from tests.host.tls import RefusedError, Session

_PROVIDER = get_provider("openssl")
_EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "objects.ndjson"


class Provnode:
    """provnode: one Python service, SM2 keys in sealed files, data in SQLite."""

    unit = "provnode.service"
    user = "provnode"
    data = "/var/lib/provnode/data"
    services = ("p2p", "rpc")
    families = frozenset({"AF_INET", "AF_INET6", "AF_UNIX"})
    sandbox: Mapping[str, str] = {
        "AmbientCapabilities": "",
        "CapabilityBoundingSet": "",
        "InaccessiblePaths": "/etc/provchain/client",
        "LimitCORE": "0",
        "LockPersonality": "yes",
        "MemoryDenyWriteExecute": "yes",
        "NoNewPrivileges": "yes",
        "PrivateDevices": "yes",
        "PrivateTmp": "yes",
        "ProtectClock": "yes",
        "ProtectControlGroups": "yes",
        "ProtectHome": "yes",
        "ProtectHostname": "yes",
        "ProtectKernelLogs": "yes",
        "ProtectKernelModules": "yes",
        "ProtectKernelTunables": "yes",
        "ProcSubset": "pid",
        "ProtectProc": "invisible",
        "ProtectSystem": "strict",
        "RemoveIPC": "yes",
        "RestrictNamespaces": "yes",
        "RestrictRealtime": "yes",
        "RestrictSUIDSGID": "yes",
        "UMask": "0077",
    }

    credential = ("provnode-kek", "/etc/provnode/kek.cred")
    backups = "/var/backups/provnode"
    backup_unit = "provnode-backup.service"

    def opens(self, backup: str, folder: str) -> str:
        """Return a shell script for root that restores a backup into a folder, on the host it is of.

        As the engine's own account, which makes folder and store.
        """
        name, file = self.credential
        return (
            f"sed 's|^data_dir = .*|data_dir = \"{folder}\"|' /etc/provnode/config.toml >{folder}.toml && "
            f"install -d -m 0700 -o {self.user} {folder} && systemd-run --quiet --collect --pipe --wait "
            f"-p User={self.user} -p LoadCredentialEncrypted={name}:{file} "
            f"/opt/provnode/current/bin/provnode restore {backup} --config {folder}.toml"
        )

    def sealed(self, host: Host) -> Mapping[str, str]:
        """Return the files of its private keys, each with what a sealed one begins with."""
        sealed = {"/etc/provchain/identity/tls.key": "provnode-sealed-key-1 tls "}
        if "validator" in host.roles:
            sealed["/var/lib/provnode/keys/consensus.key"] = "provnode-sealed-key-1 consensus "
        if "signer" in host.roles:
            sealed["/etc/provchain/client/client.key"] = "provnode-sealed-key-1 client "
        return sealed

    def kept(self, host: Host) -> Sequence[Kept]:
        """Return its files on a host: keys, configuration, data."""
        own = self.user  # clients have its account too: their identity and key are its
        kept = [
            Kept("/etc/provchain/identity", own, own, "0750", "directory"),
            Kept("/etc/provchain/identity/tls.key", own, own, "0600"),
            Kept("/etc/provchain/identity/cert.pem", own, own, "0644"),
            Kept("/etc/provchain/trust", "root", "root", "0755", "directory"),
            Kept("/etc/provchain/engine.json", "root", "root", "0644"),
            Kept("/etc/provchain/digest", "root", "root", "0644"),
            Kept("/etc/provnode", "root", "root", "0755", "directory"),
            Kept("/etc/provnode/genesis.json", "root", "root", "0644"),
            Kept("/etc/provnode/config.toml", "root", "root", "0644"),
            Kept(self.credential[1], "root", "root", "0600"),
            Kept("/var/lib/provnode", own, own, "0700", "directory"),
            Kept("/opt/provnode", "root", "root", "0755", "directory"),
        ]
        if "validator" in host.roles:
            kept.append(Kept("/var/lib/provnode/keys/consensus.key", own, own, "0600"))
        if "signer" in host.roles:
            kept.append(Kept("/etc/provchain/client", own, own, "0700", "directory"))
            kept.append(Kept("/etc/provchain/client/client.key", own, own, "0600"))
        if host.is_node:
            kept.append(Kept("/var/lib/provnode/data/keyring", own, own, "0600"))
            kept.append(Kept("/run/provnode", own, own, "0750", "directory"))
            kept.append(Kept("/etc/systemd/system/provnode.service", "root", "root", "0644"))
        return kept

    def serves(self, session: Session) -> bool:
        """Say whether the service rpc answers a request in a session that was negotiated."""
        try:
            return session.exchange(b"GET /health HTTP/1.1\r\nHost: any\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        except RefusedError:
            return False

    floor = "/var/lib/provnode/data/signing-floor.json"

    def silent_below(self, text: str) -> int | None:
        """Return the least height that a restored validator may sign, None while it is not known."""
        height = json.loads(text)["height"]
        return None if height is None else int(height)

    def begin(self, genesis: Path) -> Proven:
        """Return where a light client begins: at the genesis."""
        trust = Trust.of_genesis(json.loads(genesis.read_text(encoding="utf-8")), _PROVIDER)
        return Proven(0, trust.block_id.hex(), (), trust)

    def asking(self, session: Session) -> Ask:
        """Return how to ask a node in a session that was negotiated: JSON-RPC 2.0 over HTTP/1.1."""

        def ask(method: str, **parameters: object) -> Any:  # noqa: ANN401 - each has its own result
            asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
            body = json.dumps(asked).encode()
            head = f"POST / HTTP/1.1\r\nHost: any\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            raw = session.exchange(head + body)
            while (whole := _body(raw)) is None:
                raw += session.exchange(b"")
            answer = json.loads(whole)
            assert "result" in answer, f"{method}: {answer.get('error')}"
            return answer["result"]

        return ask

    def proven(self, ask: Ask, last: Proven, height: int) -> Proven:
        """Return the node's block at a height, proven from the last one on; raises ProofError."""
        trust = last.trust
        if height > trust.height + 1:
            page = ask("handovers", from_height=trust.height + 1, to_height=height - 1)
            trust = follow(trust, page["handovers"], _PROVIDER)
        header, state = ask("block", height=height)["header"], ask("consensus_state", height=height)
        found = check_header(trust, header, state["certificate"], _PROVIDER)
        return Proven(found.height, found.block_id.hex(), found.signed, found.trust)

    def object_height(self, ask: Ask, last: Proven, object_id: str, version: int) -> int | None:
        """Return at which height an object's proof holds, None if the node has no such object."""
        try:
            wanted = {"object_id": object_id, "version": version, "trusted_height": last.trust.height}
            bundle = ask("object", proof=True, **wanted)
        except AssertionError:
            return None
        found = verify_proof(bundle, last.trust, _PROVIDER)
        assert (found.object_id, found.version) == (object_id, version)
        return found.height

    def accused(self, ask: Ask) -> list[str]:
        """Return the validators of whom the node has recorded that they misbehaved."""
        return [one["validator"] for one in ask("evidence")["evidence"]]

    def samples(self, count: int, label: str) -> list[dict[str, Any]]:
        """Return that many new objects to submit, unlike those of any other label."""
        first = json.loads(_EXAMPLES.read_text(encoding="utf-8").splitlines()[0])
        made = []
        for number in range(count):
            content = {
                **first["header"]["content"],
                "object_id": f"{label}-{number}",
                "timestamp": int(time.time()),
            }
            made.append({**first, "header": {**first["header"], "content": content}})
        return made


def _body(raw: bytes) -> bytes | None:
    """Return the body of an HTTP answer once it is whole."""
    head, found, body = raw.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.splitlines()
            if line.lower().startswith(b"content-length:")
        ),
        0,
    )
    return body if found and len(body) >= length else None


ENGINE = Provnode()
