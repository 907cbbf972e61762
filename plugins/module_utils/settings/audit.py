"""The kernel's audit: what runs is what the files say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .base import MissingError, Result, Setting, Undo, run

_FOLDER = "/etc/audit/"
_CONFIGURATION = "/etc/audit/auditd.conf"
_LOAD = ["/sbin/augenrules", "--load"]


@dataclass(frozen=True)
class AuditLoaded(Setting):
    """``audit_loaded``: the kernel has the rules of the files, and the daemon has read its configuration.

    Rules that are locked can't be changed before the next boot (auditctl(8) -e 2): it loads the new ones.
    """

    @property
    def label(self) -> str:
        return "rules"

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        if not Path(_LOAD[0]).exists():
            raise MissingError(f"{_LOAD[0]}: no such program, auditd is not installed")
        result = Result()
        mine = {label for label in changed if label.startswith(_FOLDER)}
        daemon = {label for label in mine if label.startswith(_CONFIGURATION)}
        if mine - daemon or _differ():
            result.note("locked until the next boot" if _locked() else "loaded")
            if not dry:
                # of locked rules, only the file that the next boot loads is made
                run(*(_LOAD[:1] if _locked() else _LOAD))
        if daemon:
            result.note("configuration read anew")
            if not dry:
                run("systemctl", "kill", "--signal=HUP", "auditd.service", check=False)
        return result

    def undo(self) -> Undo:
        # what is locked stays as it is until the next boot, which goes by the files
        return Undo(commands=[["/bin/sh", "-c", "/sbin/augenrules --load || /sbin/augenrules"]])


def _differ() -> bool:
    return "should be updated" in run(*_LOAD[:1], "--check", check=False).stdout


def _locked() -> bool:
    return "enabled 2" in run("/sbin/auditctl", "-s", check=False).stdout.splitlines()
