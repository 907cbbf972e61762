#!/usr/bin/python
"""Take back what the baseline changed on a host."""

from __future__ import annotations

DOCUMENTATION = """
module: unharden
short_description: Take back what the baseline changed
description:
  - Puts back files, rights, parameters and units as they were before a rule first changed them.
  - What serves other rules as well stays.
options:
  rules:
    description: Only what these rules changed; everything if not given.
    type: list
    elements: str
author: provchain
"""
EXAMPLES = """
- name: Take everything back
  unharden:
"""
RETURN = """
undone: {description: The settings that were taken back., returned: always, type: list}
lost: {description: What can't be taken back and is left to a person., returned: always, type: list}
"""

from ansible.module_utils.basic import AnsibleModule  # noqa: E402 - Ansible wants its documentation first
from ansible.module_utils.settings import JOURNAL, SettingError, unharden  # noqa: E402


def main() -> None:
    """Run as an Ansible module."""
    options = {"rules": {"type": "list", "elements": "str"}}
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    try:
        undone, lost = unharden(JOURNAL, module.params["rules"], module.check_mode)
    except (SettingError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(undone), undone=undone, lost=lost)


if __name__ == "__main__":
    main()
