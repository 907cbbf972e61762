#!/usr/bin/python
"""Look at what a host must have to carry a node; changes nothing."""

from __future__ import annotations

DOCUMENTATION = """
module: host_facts
short_description: What a host must have to carry a node
description: Reads system, Python, OpenSSL, disk, clock and addresses in one round trip. Changes nothing.
options:
  packages: {description: Packages whose build is asked for., type: list, elements: str, default: []}
author: provchain
"""
EXAMPLES = """
- name: Look at the host
  host_facts:
"""
RETURN = """
ansible_facts:
  description: What was found, as provchain_facts.
  returned: always
  type: dict
"""

import hashlib  # noqa: E402 - Ansible wants its documentation first
import json  # noqa: E402
import platform  # noqa: E402
import shutil  # noqa: E402
import ssl  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402


def _output(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return done.stdout.strip()


def _build(package: str) -> str:
    """Return the SHA-256 of a package's list of files and their digests, or nothing if it is not there."""
    listed = Path("/var/lib/dpkg/info", f"{package}.md5sums")
    return hashlib.sha256(listed.read_bytes()).hexdigest() if listed.is_file() else ""


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={"packages": {"type": "list", "elements": "str", "default": []}},
        supports_check_mode=True,
    )
    release = platform.freedesktop_os_release()
    links = json.loads(_output("ip", "-json", "address") or "[]")
    marker = Path("/etc/provchain/network")
    host = {
        "os": " ".join(filter(None, (release.get("ID"), release.get("VERSION_ID")))),
        "os_family": [release.get("ID", ""), *release.get("ID_LIKE", "").split()],
        "architecture": platform.machine(),
        "python": list(sys.version_info[:2]),
        "openssl": list(ssl.OPENSSL_VERSION_INFO[:3]),
        "sm3": "sm3" in hashlib.algorithms_available,
        "systemd": Path("/run/systemd/system").is_dir(),
        "container": _output("systemd-detect-virt", "--container") not in ("", "none"),
        "disk_free_mib": shutil.disk_usage("/var").free // 2**20,
        "time": time.time(),
        "mtu": {a["local"]: link["mtu"] for link in links for a in link.get("addr_info", [])},
        "packages": {name: _build(name) for name in module.params["packages"]},
        "network": marker.read_text().strip() if marker.exists() else "",
    }
    module.exit_json(changed=False, ansible_facts={"provchain_facts": host})


if __name__ == "__main__":
    main()
