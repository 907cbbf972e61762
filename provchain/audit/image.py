"""Into the root folder of an image, with nothing else in reach: its programs are somebody else's.

They run with no right but to read, as root's in the image would be; they see neither this machine's processes
nor its networks, and can change neither the image nor anything else. Linux's own calls, by their numbers in
mount(2), unshare(2), prctl(2) and capset(2): no program does all of it in an order that leaves nothing open.
"""

from __future__ import annotations

import ctypes
import os
import signal
import stat
from pathlib import Path

_NEW = 0x0002_0000 | 0x0400_0000 | 0x0800_0000 | 0x2000_0000 | 0x4000_0000
"""Mounts, host name, IPC, processes, network."""
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND = 1, 2, 4, 8, 32, 4096
_PRIVATE = 1 << 18 | 1 << 14
"""Whatever is mounted from now on, below all mounts, is nobody else's."""
_DIES_WITH_PARENT, _IS_KEPT, _KEEPS_NO, _GAINS_NOTHING = 1, 23, 24, 38
_READ_ALL = 2
"""CAP_DAC_READ_SEARCH, by which root reads what is not root's own."""
_CAPABILITIES = 0x2008_0522
"""The version of capset(2) with two words a set."""

_libc = ctypes.CDLL(None, use_errno=True)


def enter(folder: str) -> None:
    """Go into an image for good, as the first process of a world of its own; the caller's own only waits.

    Raises OSError: without root's rights, for what is no such folder, and where something is mounted below
    it, which is not the image's.
    """
    root = os.path.realpath(folder, strict=True)
    mounted = [one for one in _mounts() if root != "/" and one.startswith(f"{_written(root)}/")]
    if root == "/" or mounted:
        raise OSError(f"{mounted[0]} is mounted in it" if mounted else "it is this machine itself")
    _call("unshare", _NEW)
    child = os.fork()
    if child:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)
    _call("prctl", _DIES_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    _mount(None, "/", None, _PRIVATE)
    _mount(root, root, None, _BIND)  # without what is mounted below
    _mount(None, root, None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
    os.chroot(root)
    os.chdir("/")
    # the one device that a shell needs; the image's own folder stays as it is
    _mount("none", "/dev", "tmpfs", _NOSUID | _NOEXEC, "mode=0755,size=4k")
    os.mknod("/dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    Path("/dev/null").chmod(0o666)
    _mount(None, "/dev", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NOEXEC)
    _renounce()


def _renounce() -> None:
    """Keep the one right to read, now and in whatever is started; of a set-uid program, too."""
    _call("prctl", _GAINS_NOTHING, 1, 0, 0, 0)
    right = 0
    while _libc.prctl(_IS_KEPT, right, 0, 0, 0) >= 0:
        if right != _READ_ALL:
            _call("prctl", _KEEPS_NO, right, 0, 0, 0)
        right += 1
    kept = 1 << _READ_ALL
    # effective, permitted, inheritable: their low words, then their high words
    sets = (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)
    _call("capset", (ctypes.c_uint32 * 2)(_CAPABILITIES, 0), sets)


def _mounts() -> list[str]:
    """Return where something is mounted, in the kernel's spelling."""
    return [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]


def _written(path: str) -> str:
    """Return a path as the kernel spells it there: no blanks, four of its characters in octal."""
    return path.translate({ord(letter): f"\\{ord(letter):03o}" for letter in " \t\n\\"})


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind, options)]
    _call("mount", *words[:3], ctypes.c_ulong(flags), words[3])


def _call(name: str, *arguments: object) -> None:
    """Raises OSError where the kernel refuses."""
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), arguments[1] if name == "mount" else name)
