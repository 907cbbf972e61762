#!/usr/bin/python
"""Apply settings for a while, or take some back, and keep that once the host can surely still be reached."""

from __future__ import annotations

DOCUMENTATION = """
module: trial
short_description: Try settings that could lock operators out, and keep them once confirmed
description:
  - C(trial) applies settings as M(converge) does and arms a timer that takes them back; so would a boot.
  - With C(back), it first takes back what earlier trials have changed, in the same way.
  - C(confirmed) calls the timer off. Without it the host is as before once the time is over.
options:
  state: {description: Which of both., type: str, choices: [trial, confirmed], required: true}
  settings: {description: As those of M(converge)., type: list, elements: dict, default: []}
  before:
    description: Settings that come first and for good, as they lock nobody out; M(unharden) takes them back.
    type: list
    elements: dict
    default: []
  back: {description: Take back what is recorded., type: bool, default: false}
  rules:
    description: Take back what only these rules changed; everything if empty.
    type: list
    elements: str
    default: []
  revert_seconds: {description: How long a trial lasts., type: int, default: 60}
author: provchain
"""
EXAMPLES = """
- name: Try
  trial:
    state: trial
    settings: "{{ settings }}"
    revert_seconds: 60
"""
RETURN = """
pending:
  description: Whether settings are on trial now.
  returned: always
  type: bool
settings:
  description: What was done, or in a dry run would be, by kind and name of the settings that differ.
  returned: trial
  type: dict
left:
  description: What serves a rule and was left, with the reason, since it is not there.
  returned: trial
  type: dict
undone: {description: The settings that were taken back., returned: trial, type: list}
"""

from ansible.module_utils.basic import AnsibleModule  # noqa: E402 - Ansible wants its documentation first
from ansible.module_utils.settings import (  # noqa: E402 - as above
    JOURNAL,
    SettingError,
    converge,
    label,
    report,
    trial,
    undo,
)


def _trial(module: AnsibleModule) -> None:
    settings, wanted = module.params["settings"], module.params["rules"]
    first = converge(module.params["before"], module.check_mode, JOURNAL)
    back = [one for one in undo.chosen(JOURNAL, wanted) if one.access] if module.params["back"] else []
    undone, differences = [one.label for one in back], undo.differences(back)
    done = converge(settings, dry=True)
    pending = bool(back) or any(result.changed for _, result in done) or trial.pending()
    if not module.check_mode:
        undo.serve(JOURNAL, {label(item): item for item in settings})
        if pending:
            done = trial.begin(settings, module.params["revert_seconds"], back)
    told = report(first + done)
    told["diff"] = [*differences, *told["diff"]]
    changed = pending or any(result.changed for _, result in first)
    module.exit_json(changed=changed, pending=pending and not module.check_mode, undone=undone, **told)


def main() -> None:
    """Run as an Ansible module."""
    options = {
        "state": {"type": "str", "choices": ["trial", "confirmed"], "required": True},
        "settings": {"type": "list", "elements": "dict", "default": []},
        "before": {"type": "list", "elements": "dict", "default": []},
        "back": {"type": "bool", "default": False},
        "rules": {"type": "list", "elements": "str", "default": []},
        "revert_seconds": {"type": "int", "default": 60},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    try:
        if not module.check_mode:
            trial.settle()
        if module.params["state"] == "trial":
            _trial(module)
        if not module.check_mode:
            trial.confirm()
        module.exit_json(changed=True, pending=False)
    except (SettingError, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
