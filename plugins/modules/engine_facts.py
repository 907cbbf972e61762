#!/usr/bin/python
"""Ask the engine on a host how it is, by the verbs that its role left there; changes nothing."""

from __future__ import annotations

DOCUMENTATION = """
module: engine_facts
short_description: How the engine on a host is
description: Reads the host's digest and engine.json, its unit's state, its status, and a block if asked.
options:
  height: {description: The height of a block to return., type: int, default: 0}
author: provchain
"""
EXAMPLES = """
- name: Ask
  engine_facts: {height: 12}
"""
RETURN = """
engine:
  description: What was found.
  returned: always
  type: dict
"""

import json  # noqa: E402 - Ansible wants its documentation first
import subprocess  # noqa: E402
from pathlib import Path  # noqa: E402

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


def main() -> None:
    """Run as an Ansible module."""
    options = {"height": {"type": "int", "default": 0}}
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    try:
        engine = json.loads((_FOLDER / "engine.json").read_text())
        found = {"digest": (_FOLDER / "digest").read_text().strip(), "node": engine["unit"] is not None}
        if found["node"]:
            state = subprocess.run(
                ["systemctl", "is-active", engine["unit"]], capture_output=True, text=True, check=False
            )
            found |= {"unit": state.stdout.strip(), "status": _json(engine["verbs"]["status"])}
            if module.params["height"]:
                argv = [word.format(height=module.params["height"]) for word in engine["verbs"]["block"]]
                found["block"] = _json(argv)
    except (OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
        module.fail_json(msg=f"the engine can't be asked: {error!r}")
    module.exit_json(changed=False, engine=found)


if __name__ == "__main__":
    main()
