"""Runs on a host as root and prints what the proofs need to know of it, as one JSON object.

Read-only; standard library only. Its argument is JSON: ``{"unit": name or null, "paths": [path, ...],
"heads": {path: bytes, ...}, "credential": [name, path]}``.
"""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

_SEARCHED = ("/etc", "/home", "/root", "/opt", "/srv", "/tmp", "/var", "/usr/local", "/run")
_SKIPPED = ("/var/lib/dpkg", "/var/cache", "/var/log/journal", "/run/log/journal", "/run/systemd")
_LARGEST_KEY = 65536
# a key itself, not a library that knows what one looks like
_PRIVATE = re.compile(rb"-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----\r?\n[A-Za-z0-9+/=:, -]{16}")


def _run(*argv: str) -> str:
    """Return a command's output, or what it complained of."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except FileNotFoundError:
        return f"error: {argv[0]} is missing"
    return done.stdout if done.returncode == 0 else f"error: {done.returncode}: {done.stderr.strip()}"


def _owner(user: int, group: int) -> dict[str, str]:
    try:
        return {"owner": pwd.getpwuid(user).pw_name, "group": grp.getgrgid(group).gr_name}
    except KeyError:
        return {"owner": str(user), "group": str(group)}


def _stat(path: str) -> dict[str, Any] | None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link", stat.S_IFSOCK: "socket"}
    return {
        "kind": kinds.get(stat.S_IFMT(found.st_mode), "other"),
        "mode": f"{stat.S_IMODE(found.st_mode):04o}",
        **_owner(found.st_uid, found.st_gid),
    }


def _holds_private_key(path: str, size: int) -> bool:
    if not 0 < size <= _LARGEST_KEY:
        return False
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a Path for each of thousands of files takes seconds
            return _PRIVATE.search(file.read()) is not None
    except OSError:
        return False


def _keys_and_open_doors() -> dict[str, Any]:
    """Find private keys by their content, and files that anybody may write."""
    keys, writable = {}, []
    for top in _SEARCHED:
        for folder, folders, files in os.walk(top):
            folders[:] = [f for f in folders if not f"{folder}/{f}".startswith(_SKIPPED)]
            for name in files:
                path = f"{folder}/{name}"
                try:
                    found = os.lstat(path)
                except OSError:
                    continue
                if not stat.S_ISREG(found.st_mode):
                    continue
                if found.st_mode & stat.S_IWOTH:
                    writable.append(path)
                if _holds_private_key(path, found.st_size):
                    keys[path] = _stat(path)
    return {"private_keys": keys, "world_writable": writable}


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _head(path: str, count: int) -> str | None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - no more than its first bytes
            return file.read(count).decode("utf-8", "replace")
    except OSError:
        return None


def _credential(name: str, path: str) -> dict[str, Any]:
    """Open an encrypted credential as systemd does; tell of what is in it only whether it differs."""
    argv = ["systemd-creds", "decrypt", f"--name={name}", path, "-"]
    done = subprocess.run(argv, capture_output=True, timeout=20, check=False)
    opened = done.returncode == 0
    return {"size": len(done.stdout) if opened else 0, "sha256": hashlib.sha256(done.stdout).hexdigest()}


def _pairs(text: str, separator: str) -> dict[str, str]:
    rows = (line.partition(separator) for line in text.splitlines() if separator in line)
    return {name.strip(): value.strip() for name, _, value in rows}


def _unit(name: str) -> dict[str, Any]:
    shown = _pairs(_run("systemctl", "show", "--all", "--no-pager", name), "=")
    pid = shown.get("MainPID", "0")
    process = _pairs(_text(f"/proc/{pid}/status") or "", ":") if pid != "0" else {}
    if process:
        process["User"] = pwd.getpwuid(int(process["Uid"].split()[0])).pw_name
    return {"show": shown, "process": process}


def main() -> None:
    """Collect and print."""
    asked = json.loads(sys.argv[1])
    trust = Path("/etc/provchain/trust")
    units = ["ssh.service", "nftables.service", "chrony.service", "dailyaidecheck.timer"]
    units += [asked["unit"]] if asked["unit"] else []
    print(
        json.dumps(
            {
                "hostname": os.uname().nodename,
                "units": {name: _unit(name) for name in units},
                "failed_units": _run("systemctl", "list-units", "--failed", "--plain", "--no-legend"),
                "unit_text": _run("systemctl", "cat", asked["unit"]) if asked["unit"] else "",
                "paths": {path: _stat(path) for path in asked["paths"]},
                "heads": {path: _head(path, count) for path, count in asked["heads"].items()},
                "credential": _credential(*asked["credential"]),
                **_keys_and_open_doors(),
                "sockets": _run("ss", "-Hltnup"),
                "rules": _run("nft", "--json", "--stateless", "list", "ruleset"),
                "sshd": _pairs(_run("sshd", "-T").lower(), " "),
                "engine": json.loads(_text("/etc/provchain/engine.json") or "null"),
                "digest": _text("/etc/provchain/digest"),
                "certificate": _text("/etc/provchain/identity/cert.pem"),
                "trust": {path.stem: _text(str(path)) for path in sorted(trust.glob("*.pem"))},
                "shadow": [line.split(":")[:2] for line in (_text("/etc/shadow") or "").splitlines()],
                "passwd": [line.split(":") for line in (_text("/etc/passwd") or "").splitlines()],
                "sudoers": _run("cvtsudoers", "-f", "json", "-e", "/etc/sudoers"),
                "visudo": _run("visudo", "-c"),
                "time_sources": _run("chronyc", "-c", "-N", "sources"),
                "now": _run("date", "+%s.%N"),
            }
        )
    )


main()
