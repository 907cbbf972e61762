"""Owner and rights of what is there already: never more than allowed, fewer are left as they are."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from .base import Result, Setting, SettingError, Undo
from .files import names, owner_ids


@dataclass(frozen=True)
class Attributes(Setting):
    """``attributes``: what matches ``path`` has at most the rights ``most``, and such an owner and group.

    Where another is found, the first counts. Empty lists leave owner or group alone. Links are passed over.
    """

    path: str
    most: str
    owners: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)

    def check(self) -> None:
        if not self.path.startswith("/") or not re.fullmatch(r"[0-7]{4}", self.most):
            raise SettingError(
                f"{self.path} {self.most}: a whole path and octal text such as '0640' are needed"
            )

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        result = Result()
        for path in self._there():
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                self._fix(path, handle, result, dry)
            finally:
                os.close(handle)
        return result

    def _there(self) -> list[str]:
        found = Path("/").glob(self.path.lstrip("/"))
        return [str(path) for path in sorted(found) if not path.is_symlink()]

    def _fix(self, path: str, handle: int, result: Result, dry: bool) -> None:
        found = os.fstat(handle)
        owner, group, mode = *names(found), stat.S_IMODE(found.st_mode)
        better = mode & int(self.most, 8)
        new_owner = owner if owner in self.owners or not self.owners else self.owners[0]
        new_group = group if group in self.groups or not self.groups else self.groups[0]
        if (owner, group, mode) == (new_owner, new_group, better):
            return
        result.note(f"{path}: {owner} {group} {mode:04o} -> {new_owner} {new_group} {better:04o}")
        if not dry:
            os.fchown(handle, *owner_ids(new_owner, new_group))
            os.fchmod(handle, better)

    def undo(self) -> Undo:
        undo = Undo()
        for path in self._there():
            found = os.lstat(path)
            owner, group = names(found)
            undo.commands.append(["/bin/chown", "--no-dereference", f"{owner}:{group}", path])
            undo.commands.append(["/bin/chmod", f"{stat.S_IMODE(found.st_mode):04o}", path])
        return undo
