"""Which hierarchies a machine has, read from its mounts."""

from __future__ import annotations

from pathlib import Path

from provchain.lab.cgroup import hierarchies

LEGACY = """\
tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
proc /proc proc rw 0 0
"""


def test_version_1_beside_the_unified_one() -> None:
    assert hierarchies(LEGACY) == [
        (Path("/sys/fs/cgroup/memory"), False),
        (Path("/sys/fs/cgroup/systemd"), False),
        (Path("/sys/fs/cgroup/unified"), True),
    ]


def test_unified_only() -> None:
    assert hierarchies("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n") == [(Path("/sys/fs/cgroup"), True)]
