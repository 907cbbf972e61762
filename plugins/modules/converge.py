#!/usr/bin/python
"""Apply a list of typed settings to a host in one round trip."""

from __future__ import annotations

DOCUMENTATION = """
module: converge
short_description: Apply a list of typed settings in one round trip
description:
  - Looks at every setting, changes what differs, and reports each. A dry run makes the same comparison.
  - A unit is restarted if a file that it names in C(restart_on) has changed since it started.
options:
  settings:
    description: The settings, in order; C(kind) says which, the other keys belong to the kind.
    type: list
    elements: dict
    required: true
author: provchain
"""
EXAMPLES = """
- name: Say hello
  converge:
    settings:
      - {kind: file, path: /etc/motd, content: "hello\\n"}
"""
RETURN = """
settings:
  description: What changed, by setting.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule  # noqa: E402 - Ansible wants its documentation first
from ansible.module_utils.settings import SettingError, converge, label  # noqa: E402


def main() -> None:
    """Run as an Ansible module."""
    options = {"settings": {"type": "list", "elements": "dict", "required": True}}
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    try:
        done = converge(module.params["settings"], module.check_mode)
    except (SettingError, OSError, KeyError) as error:
        module.fail_json(msg=str(error))
    changes = [(item, result) for item, result in done if result.changed]
    diff = [
        {
            "before_header": label(item),
            "after_header": label(item),
            "before": result.before,
            "after": result.after,
        }
        for item, result in changes
        if result.before or result.after
    ]
    names = {f"{item['kind']} {label(item)}": result.actions for item, result in changes}
    module.exit_json(changed=bool(changes), settings=names, diff=diff)


if __name__ == "__main__":
    main()
