#!/usr/bin/python
"""Apply a list of typed settings to a host in one round trip."""

from __future__ import annotations

DOCUMENTATION = """
module: converge
short_description: Apply a list of typed settings in one round trip
description:
  - Looks at every setting, changes what differs, and reports each. A dry run makes the same comparison.
  - The whole list is checked first. Files are replaced in one step, after their own validation, and what
    they replace is kept under C(/var/backups/provchain).
  - A unit is restarted if a file that it names in C(restart_on) has changed since it started.
options:
  settings:
    description:
      - The settings, in order. C(kind) is one of
        C(file) (path, content or b64, mode, owner, group, validate),
        C(directory) (path, mode, owner, group, only), C(folder) (path), C(link) (path, target),
        C(absent) (path), C(made) (path, command), C(group) (name), C(user) (name, home, shell, groups),
        C(attributes) (path, most, owners, groups), C(option) (path, key, value, separator),
        C(knob) (name, value, fits), C(integrity_database) (path, config, folders),
        C(package) (name, file, content), C(packages_absent) (names),
        C(pam_profile) (name, arguments), C(password_age) (name, days), C(people) (name, groups, members),
        C(shells_removed) (names),
        C(unit) (name, restart_on, ready), C(units_off) (names), C(audit_loaded), C(units_reloaded) (paths).
        An item may say which C(rules) of the baseline it serves.
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
  description: What was done, or in a dry run would be, by kind and name of the settings that differ.
  returned: always
  type: dict
left:
  description: What serves a rule and was left, with the reason, since it is not there.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule  # noqa: E402 - Ansible wants its documentation first
from ansible.module_utils.settings import SettingError, converge, report  # noqa: E402


def main() -> None:
    """Run as an Ansible module."""
    options = {"settings": {"type": "list", "elements": "dict", "required": True}}
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    try:
        done = converge(module.params["settings"], module.check_mode)
    except (SettingError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=any(result.changed for _, result in done), **report(done))


if __name__ == "__main__":
    main()
