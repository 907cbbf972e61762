"""The shape of provnode's installation; the only file of the suite that knows it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from provchain.spec import Host
from tests.host.engine import Kept
from tests.host.tls import RefusedError, Session

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


ENGINE = Provnode()
