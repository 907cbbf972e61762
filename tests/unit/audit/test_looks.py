"""How probes become commands: few, quoted, and the ones that need root word for word in the sudo list."""

from __future__ import annotations

import re

import pytest

from provchain.audit.looks import Kind, plan, script, sudoers, sudoers_command
from provchain.baseline.facts import SSH_OFFERS, attributes, command, file
from provchain.baseline.resources.kernel import LIVE

MANY = [
    *(file(f"/etc/f{n}", root=n % 2 == 0) for n in range(100)),
    *(attributes(f"/etc/s{n}", root=n % 3 == 0) for n in range(100)),
]


def test_two_hundred_paths_cost_six_commands() -> None:
    asked = plan(MANY)
    assert len(asked) == 6
    assert [look.root for look in asked] == [False] * 3 + [True] * 3
    assert plan(reversed(MANY)) == asked, "the sudo list depends on what is asked, not on its order"


def test_what_is_asked_with_and_without_root_is_asked_with_root() -> None:
    (sort, read) = plan([file("/etc/a"), file("/etc/a", root=True)])
    assert (sort.root, read.root) == (True, True)


def test_kernel_parameters_are_read_as_root() -> None:
    """Of one that only root can read, anybody else's list says nothing, as of one that is not there."""
    (look,) = plan([LIVE])
    assert look.root


def test_looks_from_outside_are_not_asked() -> None:
    assert plan([SSH_OFFERS]) == ()


@pytest.mark.parametrize(
    "probe",
    [
        file("relative"),
        file("/etc/../root/x"),
        file("/etc/a b"),
        file("/etc/$x"),
        file("/etc/a\nb"),
        file("/etc//a"),
        attributes("/etc/[a-z]"),
        attributes("/etc/?"),
        command("ls"),
        command("/bin/ls", "a\nb"),
        command("/bin/ls", ""),
        command(),
    ],
)
def test_what_has_no_place_in_a_script_is_refused(probe: object) -> None:
    with pytest.raises(ValueError, match="not a"):
        plan([probe])  # type: ignore[list-item] # every case is a Probe


def test_root_follows_no_link_that_a_pattern_meets() -> None:
    for look in plan([file("/home/*/.ssh/authorized_keys", root=True), attributes("/home/*", root=True)]):
        assert look.kind in (Kind.FIND_STAT, Kind.FIND_SORT, Kind.FIND_READ)
        assert "-L" not in look.argv


def test_the_sudo_list_is_absolute_and_without_a_wildcard() -> None:
    odd = [command("/bin/x", "-path", "*/.ssh/*", "[a-z]", "?", "!a", "b,c:d=e", "#f", '"', root=True)]
    text = sudoers(plan([*MANY, *odd, file("/etc/sudoers.d/*", root=True)]), "auditor")
    lines = [line.strip().removesuffix(", \\") for line in text.splitlines() if line.startswith("    ")]
    assert len(lines) == 6
    for line in lines:
        assert line.startswith("/usr/bin/timeout -k 1 ")
        assert not re.search(r"(?<!\\)[*?\[\]]", line), "an unescaped wildcard would let other arguments in"
        assert "ALL" not in line
    assert "auditor ALL = (root) NOPASSWD: PROVCHAIN_AUDIT" in text
    assert "NOPASSWD" not in sudoers(plan([file("/etc/a")]), "auditor"), "nothing to allow, nothing allowed"
    with pytest.raises(ValueError, match="account"):
        sudoers((), "ALL")


def test_a_command_is_the_same_in_the_script_and_in_the_list() -> None:
    asked = plan([command("/usr/sbin/sshd", "-T", root=True)])
    assert f"$s {sudoers_command(asked[0])} </dev/null" in script(asked, "0")
