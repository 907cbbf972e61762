#!/usr/bin/python
"""Look at what a host must have to carry a node; changes nothing."""

from __future__ import annotations

DOCUMENTATION = """
module: host_facts
short_description: What a host must have to carry a node
description: Reads system, Python, OpenSSL, disk, clock and addresses in one round trip. Changes nothing.
options:
  expect:
    description: What must hold; the module fails with every point that doesn't.
    type: dict
    default: {}
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
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402


def _output(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return done.stdout.strip()


def _problems(host: dict[str, Any], expect: dict[str, Any]) -> list[str]:
    """Return every point in which the host isn't as expected, each with what was found and what is needed."""
    off = abs(host["time"] - float(expect["time"]))
    checks = (
        (host["systemd"], "systemd does not run"),
        (host["architecture"] == "x86_64", f"architecture {host['architecture']}, needed: x86_64"),
        (host["python"] >= [3, 11], f"Python {host['python']}, needed: 3.11 or newer"),
        (
            host["openssl"] >= [3, 0] and host["sm3"],
            f"OpenSSL {host['openssl']}, needed: 3.0 or newer with SM3",
        ),
        (
            host["disk_free_mib"] >= int(expect["disk_free_mib"]),
            f"{host['disk_free_mib']} MiB free under /var, needed: {expect['disk_free_mib']}",
        ),
        (
            expect["address"] in host["addresses"],
            f"addresses {', '.join(host['addresses'])}, needed: {expect['address']}",
        ),
        (off <= float(expect["clock_skew_seconds"]), f"the clock is off by {off:.0f} s"),
        (host["network"] in ("", expect["network"]), f"the host belongs to network {host['network']}"),
    )
    return [text for holds, text in checks if not holds]


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={"expect": {"type": "dict", "default": {}}}, supports_check_mode=True
    )
    release = platform.freedesktop_os_release()
    links = json.loads(_output("ip", "-json", "address") or "[]")
    marker = Path("/etc/provchain/network")
    host = {
        "os": release.get("ID", ""),
        "os_like": release.get("ID_LIKE", ""),
        "os_version": release.get("VERSION_ID", ""),
        "architecture": platform.machine(),
        "python": list(sys.version_info[:2]),
        "openssl": list(ssl.OPENSSL_VERSION_INFO[:3]),
        "sm3": "sm3" in hashlib.algorithms_available,
        "systemd": Path("/run/systemd/system").is_dir(),
        "container": _output("systemd-detect-virt", "--container") not in ("", "none"),
        "disk_free_mib": shutil.disk_usage("/var").free // 2**20,
        "time": time.time(),
        "addresses": [a["local"] for link in links for a in link.get("addr_info", [])],
        "network": marker.read_text().strip() if marker.exists() else "",
    }
    problems = _problems(host, module.params["expect"]) if module.params["expect"] else []
    if problems:
        module.fail_json(msg="; ".join(problems), problems=problems)
    module.exit_json(changed=False, ansible_facts={"provchain_facts": host})


if __name__ == "__main__":
    main()
