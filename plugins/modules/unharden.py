#!/usr/bin/python
"""Take back what the baseline changed on a host."""

from __future__ import annotations

DOCUMENTATION = """
module: unharden
short_description: Take back what the baseline changed
description:
  - C(look) tells what is recorded. C(back) puts back files, rights, parameters, units and packages as they
    were before a rule first changed them, but for what goes by M(trial).
  - What serves other rules as well stays. What can't be taken back is told, and the rest is taken back.
options:
  state: {description: Which of both., type: str, choices: [look, back], required: true}
  rules:
    description: Only what these rules changed; everything if empty.
    type: list
    elements: str
    default: []
author: provchain
"""
EXAMPLES = """
- name: Take everything back
  unharden:
    state: back
"""
RETURN = """
undone: {description: The settings that were taken back., returned: back, type: list}
recorded: {description: The rules that have changed something here., returned: look, type: list}
remaining: {description: Those of them that stay, for the time being., returned: look, type: list}
"""

from ansible.module_utils.basic import AnsibleModule  # noqa: E402 - Ansible wants its documentation first
from ansible.module_utils.settings import JOURNAL, SettingError, trial, undo  # noqa: E402


def _back(module: AnsibleModule) -> None:
    rules = module.params["rules"]
    differences = undo.differences(one for one in undo.chosen(JOURNAL, rules) if not one.access)
    undone, failed = undo.unharden(JOURNAL, rules, module.check_mode)
    told = {"changed": bool(undone), "undone": undone, "diff": differences}
    if failed:
        module.fail_json(msg="\n".join(failed), **told)
    module.exit_json(**told)


def main() -> None:
    """Run as an Ansible module."""
    options = {
        "state": {"type": "str", "choices": ["look", "back"], "required": True},
        "rules": {"type": "list", "elements": "str", "default": []},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    try:
        if not module.check_mode:
            trial.settle()
        if module.params["state"] == "back":
            _back(module)
        recorded = sorted({rule for one in undo.records(JOURNAL) for rule in one.rules})
        remaining = undo.remaining(JOURNAL, module.params["rules"])
        module.exit_json(changed=False, recorded=recorded, remaining=remaining)
    except (SettingError, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
