"""Modules in Debian's PAM stacks: what a profile brings is there, or they are put together anew."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from settings import Item, converge, pam

STACKS = {
    "auth": "auth requisite pam_faillock.so preauth\nauth [success=2 default=ignore] pam_unix.so\n"
    "auth [default=die] pam_faillock.so authfail\nauth sufficient pam_faillock.so authsucc\n",
    "account": "account required pam_faillock.so\naccount [success=1 default=ignore] pam_unix.so\n",
    "password": "password requisite pam_pwquality.so retry=3\n"
    "password requisite pam_pwhistory.so remember=5 enforce_for_root try_first_pass use_authtok\n",
    "session": "session required pam_unix.so\n",
}
ITEMS: list[Item] = [
    {"kind": "pam_profile", "name": "faillock"},
    {"kind": "pam_profile", "name": "pwquality"},
    {"kind": "pam_profile", "name": "pwhistory", "arguments": {"remember": "5"}},
]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have a host with stacks that are as they should be; return their folder."""
    monkeypatch.setattr(pam, "PROFILES", tmp_path)
    monkeypatch.setattr(pam, "STACKS", tuple(tmp_path / f"common-{kind}" for kind in STACKS))
    monkeypatch.setattr(
        pam, "write", lambda path, content, mode, owner, group, accept: path.write_bytes(content)
    )

    def run(*argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        assert argv[0] == "pam-auth-update"
        for kind, text in STACKS.items():
            (tmp_path / f"common-{kind}").write_text(text)
        return subprocess.CompletedProcess(argv, 0)

    monkeypatch.setattr(pam, "run", run)
    converge([dict(item) for item in ITEMS], dry=False)
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (kind, line)
        for kind, text in STACKS.items()
        for line in text.splitlines()
        if "pam_unix" not in line and "authsucc" not in line
    ],
)
def test_a_line_that_is_gone_comes_back(host: Path, kind: str, line: str) -> None:
    assert [one for one, result in converge([dict(item) for item in ITEMS], dry=True) if result.changed] == []
    stack = host / f"common-{kind}"
    stack.write_text(stack.read_text().replace(f"{line}\n", ""))
    done = converge([dict(item) for item in ITEMS], dry=False)
    assert [result.actions for _, result in done if result.changed] == [["stacks put together anew"]]
    assert line in stack.read_text()
