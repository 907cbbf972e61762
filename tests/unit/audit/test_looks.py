"""How probes become commands: few, quoted, and the ones that need root word for word in the sudo list."""

from __future__ import annotations

import re
import shlex

import pytest

from provchain.audit.looks import FORMAT, Kind, plan, script, sudoers, sudoers_command
from provchain.audit.subjects import everything
from provchain.baseline import catalog
from provchain.baseline.facts import SSH_OFFERS, attributes, command, file
from provchain.baseline.resources import Target
from provchain.baseline.resources.kernel import Sysctl
from provchain.baseline.values import Expect

MANY = [
    *(file(f"/etc/f{n}", root=n % 2 == 0) for n in range(100)),
    *(attributes(f"/etc/s{n}", root=n % 3 == 0) for n in range(100)),
]


def test_two_hundred_paths_cost_two_commands() -> None:
    asked = plan(MANY)
    assert [(look.kind, look.root) for look in asked] == [(Kind.PATHS, False), (Kind.PATHS, True)]
    assert plan(reversed(MANY)) == asked, "the sudo list depends on what is asked, not on its order"


@pytest.mark.parametrize("profile", catalog.load().profiles)
def test_a_whole_profile_costs_four_commands(profile: str) -> None:
    """Each costs processes on the host, and two of them sudo."""
    asked = plan(everything(catalog.load().profiles[profile], [Target("any", None, False)]))
    assert [(look.kind, look.root) for look in asked] == [
        (kind, root) for root in (False, True) for kind in Kind
    ]


def test_a_pattern_of_folders_has_a_command_of_its_own() -> None:
    """They may be people's, who could fill them with what spoils the answer to other questions."""
    asked = plan([attributes("/home/*/.ssh"), attributes("/home/*"), attributes("/etc/passwd")])
    assert [[probe.path for probe in look.probes] for look in asked] == [
        ["/etc/passwd", "/home/*"],
        ["/home/*/.ssh"],
    ]


def test_commands_run_in_one_and_what_may_grow_runs_last() -> None:
    (look,) = plan([command("/bin/a", last=True), command("/bin/c"), command("/bin/b")])
    assert [probe.argv for probe in look.probes] == [("/bin/b",), ("/bin/c",), ("/bin/a",)]
    assert look.argv[:4] == ("/usr/bin/find", "/", "-maxdepth", "0")
    assert [look.argv[n + 1] for n, word in enumerate(look.argv) if word == "-exec"] == [
        "/bin/b",
        "/bin/c",
        "/bin/a",
    ]


def test_names_to_list_are_put_together() -> None:
    (look,) = plan([command("/bin/a", over=("y", "x")), command("/bin/a", over=("z", "x"))])
    (probe,) = look.probes
    assert probe.id == "run:/bin/a"
    assert " ".join(look.argv).count("-exec /bin/a x y z ;") == 1


def test_what_is_asked_with_and_without_root_is_asked_with_root() -> None:
    (look,) = plan([file("/etc/a"), file("/etc/a", root=True)])
    assert look.root


def test_kernel_parameters_are_read_as_root() -> None:
    """Which ones only root can read differs by kernel."""
    rule = Sysctl(resource="sysctl", name="net.core.bpf_jit_harden", expect=Expect(equals="2"))
    (probe, _) = rule.probes(Target("any", None, False), {})
    assert (probe.path, probe.root) == ("/proc/sys/net/core/bpf_jit_harden", True)


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
        command("/bin/a", over=("b\n",)),
        command("/bin/a", ";", "/bin/sh"),
        command("/bin/a", "x{}"),
    ],
)
def test_what_has_no_place_in_a_script_is_refused(probe: object) -> None:
    with pytest.raises(ValueError, match="not a"):
        plan([probe])  # type: ignore[list-item] # every case is a Probe


def test_root_follows_no_link_that_a_pattern_meets() -> None:
    for kind, path in ((file, "/home/*/x"), (attributes, "/home/*"), (file, "/etc/a/*")):
        (look,) = plan([kind(path, root=True)])
        assert "-L" not in look.argv
    (look,) = plan([file("/etc/a/*", root=True), file("/etc/b", root=True)])
    assert f"( -path /etc/b ) -exec /usr/bin/stat -c ={FORMAT} -L {{}} +" in " ".join(look.argv)
    assert look.argv.count("-L") == 1


def test_the_sudo_list_is_absolute_and_without_a_wildcard() -> None:
    odd = [command("/bin/x", "-path", "*/.ssh/*", "[a-z]", "?", "!a", "b,c:d=e", "#f", '"', root=True)]
    text = sudoers(plan([*MANY, *odd, file("/etc/sudoers.d/*", root=True)]), "auditor")
    whole = text.replace(" \\\n        ", " ")
    lines = [line.strip().removesuffix(", \\") for line in whole.splitlines() if line.startswith("    ")]
    assert len(lines) == 2
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
    text = script(asked, "0")
    words = shlex.split(next(line for line in text.splitlines() if line.startswith("b 0;")))
    assert tuple(words[words.index("$s") + 1 : words.index("</dev/null;")]) == asked[0].limited
    listed = sudoers_command(asked[0]).replace(" \\\n        ", " ")
    listed = re.sub(r"(\\)\\\\\\|\\(.)", r"\1\2", listed)
    assert listed == " ".join(asked[0].limited)
