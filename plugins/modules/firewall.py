#!/usr/bin/python
"""Try firewall rules, and keep them once it is sure that the host can still be reached."""

from __future__ import annotations

DOCUMENTATION = """
module: firewall
short_description: Try nftables rules, and keep them once confirmed
description:
  - C(trial) compares the rules in force, the file and the service with what is wanted. If something
    differs, it puts the rules in force in one step and arms a timer that takes them back.
  - C(confirmed) calls the timer off, writes the file that the next boot loads, and enables the service.
options:
  state: {description: Which of both., type: str, choices: [trial, confirmed], required: true}
  content: {description: The whole rule file., type: str, required: true}
  path: {description: Where the service reads it., type: path, required: true}
  unit: {description: The service., type: str, required: true}
  revert_seconds: {description: How long a trial lasts., type: int, required: true}
author: provchain
"""
EXAMPLES = """
- name: Try
  firewall:
    state: trial
    content: "{{ rules }}"
    path: /etc/nftables.conf
    unit: nftables.service
    revert_seconds: 60
"""
RETURN = """
pending:
  description: Whether rules are on trial now.
  returned: always
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule  # noqa: E402 - Ansible wants its documentation first
from ansible.module_utils.settings import SettingError, converge, firewall  # noqa: E402


def _trial(module: AnsibleModule, settings: list[dict[str, object]]) -> None:
    content = module.params["content"]
    meant, in_force = firewall.meant(content), firewall.in_force()
    parts = {name: result for name, result in converge(settings, dry=True) if result.changed}
    changed = bool(parts) or meant != in_force or firewall.pending()
    diff = [
        {"before_header": name, "after_header": name, "before": before, "after": after}
        for name, before, after in (
            ("rules in force", in_force, meant),
            *((name, result.before, result.after) for name, result in parts.items()),
        )
        if before != after
    ]
    if changed and not module.check_mode:
        firewall.begin(content, in_force, module.params["revert_seconds"])
    module.exit_json(changed=changed, pending=changed and not module.check_mode, diff=diff)


def _confirmed(module: AnsibleModule, settings: list[dict[str, object]]) -> None:
    if not module.check_mode:
        firewall.confirm(module.params["content"])
        converge(settings, dry=False)
        firewall.end()
    module.exit_json(changed=True, pending=False)


def main() -> None:
    """Run as an Ansible module."""
    text = {"type": "str", "required": True}
    options = {
        "state": text | {"choices": ["trial", "confirmed"]},
        "content": text,
        "path": {"type": "path", "required": True},
        "unit": text,
        "revert_seconds": {"type": "int", "required": True},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    settings: list[dict[str, object]] = [
        {
            "kind": "file",
            "path": module.params["path"],
            "mode": "0600",
            "content": module.params["content"],
        },
        {"kind": "unit", "name": module.params["unit"]},
    ]
    try:
        (_trial if module.params["state"] == "trial" else _confirmed)(module, settings)
    except (SettingError, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
