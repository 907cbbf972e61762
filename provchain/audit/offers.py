"""What an SSH server offers to anybody, before a login: algorithms, and ways to authenticate. By paramiko.

The server's own offer is read, not what two sides agree on; then the method ``none`` is asked for, to which a
server answers with the methods that it would take (RFC 4252, 5.2).
"""

from __future__ import annotations

import shlex
import socket
from collections.abc import Iterable, Mapping
from typing import Any

import paramiko

from provchain.audit.ssh import CONNECT_SECONDS, Reach, Through

MOST_WORDS = 64
MOST_LETTERS = 120
_LISTS = {
    "ssh.kex": "kex_algo_list",
    "ssh.host_key": "server_key_algo_list",
    "ssh.cipher": "server_encrypt_algo_list",
    "ssh.mac": "server_mac_algo_list",
}


class _Asking(paramiko.Transport):  # type: ignore[misc] # the library has no types
    """A transport that remembers what the other side proposed."""

    proposed: Mapping[str, Any] = {}

    def _parse_kex_init(self, m: paramiko.Message) -> None:
        # the library keeps only what was agreed; this hook is tried against a real server by the tests
        copy = paramiko.Message(m.get_remainder())
        self.proposed = self._really_parse_kex_init(copy)
        super()._parse_kex_init(m)


def offers(reach: Reach, through: Through | None = None) -> dict[str, tuple[str, ...]]:
    """Return what a server offers, under the names that ``facts.SSH_OFFERS`` lists; nothing if none answers.

    A server whose host key is not the known one has told nothing.
    """
    config = paramiko.SSHConfig.from_path(str(reach.config)).lookup(reach.name)
    target = f"[{config['hostname']}]:{config.get('port', '22')}"
    proxy = through.command(target) if through else config.get("proxycommand", "")
    stream: Any = None
    transport: _Asking | None = None
    try:
        if proxy:
            stream = paramiko.ProxyCommand(proxy)
            stream.settimeout(CONNECT_SECONDS)
        else:
            address = (config["hostname"], int(config.get("port", 22)))
            stream = socket.create_connection(address, CONNECT_SECONDS)
        transport = _Asking(stream)
        transport.banner_timeout = transport.handshake_timeout = CONNECT_SECONDS
        transport.auth_timeout = CONNECT_SECONDS
        transport.start_client(timeout=CONNECT_SECONDS)
        user = reach.user or str(config.get("user", ""))
        return _told(transport, user) if _is_known(transport, config, reach.name) else {}
    except (paramiko.SSHException, OSError, EOFError):
        return {}
    finally:
        if transport is not None:
            transport.close()
        if stream is not None:
            stream.close()


def _told(transport: _Asking, user: str) -> dict[str, tuple[str, ...]]:
    found = {name: _plain(transport.proposed.get(key, ())) for name, key in _LISTS.items()}
    found["ssh.version"] = _plain((transport.remote_version,))
    try:
        transport.auth_none(user)
    except paramiko.BadAuthenticationType as refused:
        found["ssh.auth"] = _plain(refused.allowed_types)
    else:
        found["ssh.auth"] = ("none",)  # it let us in
    return found


def _is_known(transport: paramiko.Transport, config: Mapping[str, Any], name: str) -> bool:
    known = paramiko.HostKeys()
    for path in shlex.split(config.get("userknownhostsfile", "")):
        known.load(path)
    return bool(known.check(config.get("hostkeyalias", name), transport.get_remote_server_key()))


def _plain(words: Iterable[object]) -> tuple[str, ...]:
    """Return a server's words bounded in number and length, and printable."""
    return tuple(
        "".join(letter if letter.isprintable() else "\ufffd" for letter in str(word)[:MOST_LETTERS])
        for word in list(words)[:MOST_WORDS]
    )
