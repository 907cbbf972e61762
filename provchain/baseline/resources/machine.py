"""The machine below: kernel modules, mounts, boot, swap, mandatory access control."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from provchain.baseline.facts import Facts, Probe, UnknownError, attributes, command, file
from provchain.baseline.observation import Observation, judged, not_applicable
from provchain.baseline.resources.base import Entry, Fix, Listed, Resource, Target
from provchain.baseline.resources.files import found
from provchain.baseline.values import Values, words

LOADED = file("/proc/modules")
MOUNTS = command("/usr/bin/findmnt", "-rno", "TARGET,FSTYPE,OPTIONS")
SWAP = file("/proc/swaps")
SECURE_BOOT = command("/usr/bin/mokutil", "--sb-state")
LABELS = file("/sys/kernel/security/lsm")
BOOT_FILES = ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg")
STRAY = command(
    "/usr/bin/find", "/", "-xdev", "-type", "f", "-perm", "-0002", "-printf", "writable %p\\n",
    "-o", "-type", "d", "-perm", "-0002", "!", "-perm", "-1000", "-printf", "open %p\\n",
    "-o", "-type", "f", "-perm", "/6000", "-printf", "raised %p\\n",
    "-o", "!", "-uid", "0", "-nouser", "-printf", "unowned %p\\n", root=True, last=True,
)  # fmt: skip
_ELSEWHERE = "the kernel is that of the machine that carries this container: audit that machine"


class Module(Resource):
    """``module``: a kernel module that nothing needs is neither loaded nor can be."""

    resource: Literal["module"]
    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]{2,32}$")]

    @property
    def _probe(self) -> Probe:
        return command("/usr/sbin/modprobe", "-n", "-v", self.name)

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return () if target.container else (LOADED, self._probe)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        if target.container:
            return not_applicable(_ELSEWHERE)
        names = {line.split(" ", 1)[0] for line in (facts.text(LOADED) or "").splitlines()}
        if self.name.replace("-", "_") in names:
            return judged(False, f"{self.name} is not loaded", f"{self.name} is loaded")
        told = facts.output(self._probe)
        blocked = "install /bin/false" in told.text or "install /bin/true" in told.text
        absent = told.code != 0 and "insmod" not in told.text
        shown = told.text.strip().splitlines()[-1] if told.text.strip() else f"modprobe ends with {told.code}"
        return judged(blocked or absent, f"{self.name} can't be loaded", shown)

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        return () if target.container else (Entry("modprobe", self.name, "/bin/false"),)


class Mount(Resource):
    """``mount``: a folder is a file system of its own, with these options."""

    resource: Literal["mount"]
    path: Annotated[str, Field(pattern=r"^/[a-z/]{1,40}$")]
    options: tuple[Literal["nodev", "nosuid", "noexec"], ...]

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (MOUNTS,)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        rows = [line.split(" ") for line in facts.succeeded(MOUNTS).splitlines()]
        if not rows or any(len(row) < 3 for row in rows):
            raise UnknownError("findmnt told something else")
        here = {row[0]: row[2].split(",") for row in rows}.get(self.path)
        wanted = f"{self.path} mounted {','.join(self.options) or 'by itself'}"
        if here is None:
            return judged(False, wanted, f"{self.path} is a part of another file system")
        return judged(set(self.options) <= set(here), wanted, f"{self.path}: {','.join(here)}")


class Machine(Resource):
    """``machine``: what only the machine that runs the kernel has; a container has no say in it."""

    resource: Literal["machine"]
    must: Literal[
        "have_no_plain_swap", "start_only_what_is_signed", "hide_its_boot_menu", "label_what_matters"
    ]

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        if target.container:
            return ()
        return {
            "have_no_plain_swap": (SWAP,),
            "start_only_what_is_signed": (SECURE_BOOT,),
            "hide_its_boot_menu": tuple(attributes(path, root=True) for path in BOOT_FILES),
            "label_what_matters": (LABELS,),
        }[self.must]

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        if target.container:
            return not_applicable(_ELSEWHERE)
        judges: dict[str, Callable[[Facts], Observation]] = {
            "have_no_plain_swap": self._swap,
            "start_only_what_is_signed": self._signed,
            "hide_its_boot_menu": self._menu,
            "label_what_matters": self._labels,
        }
        return judges[self.must](facts)

    def _swap(self, facts: Facts) -> Observation:
        areas = [line.split()[0] for line in facts.succeeded(SWAP).splitlines()[1:] if line.split()]
        plain = [area for area in areas if not area.startswith(("/dev/dm-", "/dev/mapper/", "/dev/zram"))]
        return judged(not plain, "no swap, or an encrypted one", *(plain or areas or ["no swap"]))

    def _signed(self, facts: Facts) -> Observation:
        text = facts.text(SECURE_BOOT)
        if text is None:
            raise UnknownError("mokutil is not there")
        return judged("SecureBoot enabled" in text, "SecureBoot enabled", text.strip() or "nothing told")

    def _menu(self, facts: Facts) -> Observation:
        seen = [one for path in BOOT_FILES for one in found(facts, attributes(path, root=True))]
        if not seen:
            return not_applicable("no boot loader of this kind")
        loose = [one for one in seen if one.mode & 0o077 or one.owner != "root"]
        return judged(not loose, "0600 root", *(str(one) for one in loose or seen))

    def _labels(self, facts: Facts) -> Observation:
        text = facts.text(LABELS)
        if text is None:
            raise UnknownError("no /sys/kernel/security")
        kinds = text.strip().split(",")
        good = [one for one in kinds if one in ("selinux", "apparmor", "smack", "tomoyo", "kysec")]
        return judged(bool(good), "mandatory access control in the kernel", text.strip() or "none")


class Stray(Resource):
    """``stray``: files that anybody may change, that nobody owns, or that raise rights without need."""

    resource: Literal["stray"]
    must: Literal["let_nobody_write", "be_owned", "raise_only_known"]
    known: Listed | None = None
    """Programs that may raise rights, for ``raise_only_known``."""

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (STRAY,)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        rows = [line.split(" ", 1) for line in facts.succeeded(STRAY).splitlines()]
        if any(len(row) != 2 for row in rows):
            raise UnknownError("find told something else")
        kinds = {
            "let_nobody_write": ("writable", "open"),
            "be_owned": ("unowned",),
            "raise_only_known": ("raised",),
        }
        seen = [path for kind, path in rows if kind in kinds[self.must]]
        if self.known is None:
            return judged(not seen, "none", *(sorted(seen) or ["none"]))
        strange = sorted(set(seen) - set(words(values, self.known)))
        return judged(not strange, "only known programs raise rights", *(strange or [f"{len(seen)} known"]))
