#!/usr/bin/python
"""Ask the engine on a host how it is, by the verbs that its role left there; changes nothing."""

from __future__ import annotations

DOCUMENTATION = """
module: engine_facts
short_description: How the engine on a host is
description:
  - Reads the host's digest and engine.json, its unit's state, its status, and a block if asked.
  - A host without an engine.json is told as C(installed=false).
options:
  height:
    description: The height of a block to return instead of the status.
    type: int
    default: 0
  wait_seconds:
    description: How long a node may take until it is well, which is that it has committed and keeps up.
    type: int
    default: 0
  peers:
    description: To how many peers a node must be connected to be well.
    type: int
    default: 0
author: provchain
"""
EXAMPLES = """
- name: Ask
  engine_facts: {wait_seconds: 30, peers: 2}
"""
RETURN = """
engine:
  description: What was found.
  returned: always
  type: dict
"""

import json  # noqa: E402 - Ansible wants its documentation first
import subprocess  # noqa: E402
import time  # noqa: E402
from datetime import datetime  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402

_FOLDER = Path("/etc/provchain")


def _json(argv: list[str]) -> dict[str, object]:
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=30
    )
    if done.returncode != 0:
        return {"error": done.stderr.strip()[-400:]}
    found: dict[str, object] = json.loads(done.stdout)
    return found


def _node(engine: dict[str, Any], wanted: dict[str, int]) -> dict[str, object]:
    """Return what a node says of itself, once it is well or the time is over."""
    if wanted["height"]:
        return {"block": _json([word.format(height=wanted["height"]) for word in engine["verbs"]["block"]])}
    end = time.monotonic() + wanted["wait_seconds"]
    while not (found := _ask(engine, wanted["peers"]))["well"] and time.monotonic() < end:
        time.sleep(0.5)
    return found


def _ask(engine: dict[str, Any], peers: int) -> dict[str, object]:
    """Return a node's answer, and whether it uses the certificate that lies there."""
    argv = ["systemctl", "is-active", engine["unit"]]
    unit = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()
    status = _json(engine["verbs"]["status"])
    if "error" in status:
        return {"unit": unit, "status": status, "well": False}
    used = datetime.fromisoformat(str(status["certificate_expires"]))
    connected = status["peers"]
    well = bool(status["height"]) and not status["syncing"]
    return {
        "unit": unit,
        "status": status,
        "certificate_current": used == _expires(_FOLDER / "identity" / "cert.pem"),
        "well": well and isinstance(connected, list) and len(connected) >= peers,
    }


def _expires(certificate: Path) -> datetime:
    argv = ["openssl", "x509", "-in", str(certificate), "-noout", "-enddate", "-dateopt", "iso_8601"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return datetime.fromisoformat(done.stdout.strip().removeprefix("notAfter="))


def main() -> None:
    """Run as an Ansible module."""
    options = {name: {"type": "int", "default": 0} for name in ("height", "wait_seconds", "peers")}
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    described = _FOLDER / "engine.json"
    if not described.exists():
        module.exit_json(changed=False, engine={"installed": False, "node": False, "digest": ""})
    try:
        engine = json.loads(described.read_text())
        found = {
            "installed": True,
            "digest": (_FOLDER / "digest").read_text().strip(),
            "node": engine["unit"] is not None,
        }
        if found["node"]:
            found |= _node(engine, module.params)
    except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        module.fail_json(msg=f"the engine can't be asked: {error!r}")
    module.exit_json(changed=False, engine=found)


if __name__ == "__main__":
    main()
