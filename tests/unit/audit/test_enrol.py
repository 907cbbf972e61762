"""The script by which hosts let an auditor in: what is given can't add a command, and it does what it says.

That it works on a host is shown in tests/system.
"""

from __future__ import annotations

import subprocess

import pytest

from provchain.audit import enrol

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE2ucl+n0RXMt84Up/5RjH4dYEWxy0Pay44v17t7TEX1"
STRANGE = f"{KEY} 陈静 $(id) `id` 'x\n"


@pytest.mark.parametrize("key", [KEY, STRANGE, "sk-" + KEY, KEY.replace("ssh-ed25519", "ecdsa-x@y")])
def test_it_is_a_script_with_account_key_and_list(key: str) -> None:
    text = enrol.script("auditor", key, "auditor ALL = (root) NOPASSWD: /bin/x\n")
    assert subprocess.run(["/bin/sh", "-n"], input=text, text=True, check=False).returncode == 0
    assert f"<<'END'\n{key.strip()}\nEND\n" in text
    assert "<<'END'\nauditor ALL = (root) NOPASSWD: /bin/x\nEND\n" in text
    assert "@" not in text.replace(key.strip(), "")


@pytest.mark.parametrize(
    ("account", "key", "sudoers"),
    [
        ("a b", KEY, ""),
        ("$(id)", KEY, ""),
        ("%auditors", KEY, ""),
        ("", KEY, ""),
        ("auditor", f"{KEY}\nEND\nid", ""),
        ("auditor", f'command="id" {KEY}', ""),
        ("auditor", "-----BEGIN OPENSSH PRIVATE KEY-----", ""),
        ("auditor", KEY, "x\nEND\nid\n"),
    ],
)
def test_nothing_that_is_given_adds_a_command(account: str, key: str, sudoers: str) -> None:
    with pytest.raises(ValueError):
        enrol.script(account, key, sudoers)
