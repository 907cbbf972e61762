"""A throwaway SSH server on loopback with an auditor's account and sudo list of its own.

It runs in a mount namespace in which it alone sees other accounts and other sudo rights; the machine's own
files stay as they are. Needs root, as the suite does.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from provchain.audit.ssh import Reach

ACCOUNT = "auditor"
_ENTER = """\
set -e
cd "$1"
mount -t tmpfs none /run && mkdir -m 0755 /run/sshd
for one in passwd shadow group sudoers; do mount --bind "$1/etc/$one" "/etc/$one"; done
mount -t tmpfs none /etc/sudoers.d
exec /usr/sbin/sshd -D -e -f "$1/sshd_config"
"""


@dataclass(frozen=True)
class Server:
    """A running server."""

    folder: Path
    port: int
    host_key: str

    def reach(self, name: str = "h1", *more: str) -> Reach:
        """The server under a name, by an ssh configuration made for it."""
        config = self.folder / f"config-{name}"
        known = self.folder / f"known-{name}"
        known.write_text(f"{name} {self.host_key}\n")
        lines = [
            f"Host {name}",
            "HostName 127.0.0.1",
            f"Port {self.port}",
            f"User {ACCOUNT}",
            f"HostKeyAlias {name}",
            f"IdentityFile {self.folder}/id",
            "IdentitiesOnly yes",
            f"UserKnownHostsFile {known}",
            "GlobalKnownHostsFile none",
            *more,
        ]
        config.write_text("\n  ".join(lines) + "\n")
        return Reach(name, config)


@contextlib.contextmanager
def server(sudoers: str = "", login: str = "/bin/sh", extra: str = "") -> Iterator[Server]:
    """Run a server until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="pc-sshd-"))
    folder.chmod(0o755)
    try:
        for key in ("host", "id"):
            run = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / key)]
            subprocess.run(run, check=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        _write(folder, port, sudoers, login, extra)
        with (folder / "log").open("wb") as log:
            argv = [
                "unshare",
                "--mount",
                "--propagation",
                "private",
                "/bin/sh",
                "-c",
                _ENTER,
                "sh",
                str(folder),
            ]
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _wait(process, port, folder / "log")
            yield Server(folder, port, (folder / "host.pub").read_text().strip())
        finally:
            process.terminate()
            process.wait()
    finally:
        shutil.rmtree(folder)


def _write(folder: Path, port: int, sudoers: str, login: str, extra: str) -> None:
    etc = folder / "etc"
    etc.mkdir(mode=0o755)
    texts = {
        "passwd": f"{ACCOUNT}:x:1500:1500::/:{login}\n",
        "shadow": f"{ACCOUNT}:*:19000:0:99999:7:::\n",
        "group": f"{ACCOUNT}:x:1500:\n",
        "sudoers": "",
    }
    modes = {"shadow": 0o640, "sudoers": 0o440}
    for name, text in texts.items():
        ours = sudoers if name == "sudoers" else text
        before = "" if name == "sudoers" else (Path("/etc") / name).read_text()
        (etc / name).write_text(before + ours)
        (etc / name).chmod(modes.get(name, 0o644))
    (folder / "id.pub").chmod(0o644)
    config = (
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
        f"StrictModes no\nAuthorizedKeysFile {folder}/id.pub\nPasswordAuthentication no\n"
        f"KbdInteractiveAuthentication no\nMaxStartups 100\n{extra}\n"
    )
    (folder / "sshd_config").write_text(config)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.01)
    raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')}")
