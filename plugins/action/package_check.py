"""Check a package folder's signature and digests on the controller, before anything is copied."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from provchain.errors import ProvchainError
from provchain.pki.openssl import verify_manifest


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """``package_check: {folder, key}``: returns the paths of the .deb and .rpm, and the .deb's ``content``.

    That is the SHA-256 of its list of files, by which a host that has another build of the same version is
    told from one that is up to date.
    """

    _requires_connection = False
    _VALID_ARGS = frozenset({"folder", "key"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Verify, or fail with what is wrong."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        folder = Path(self._task.args["folder"])
        try:
            digests = verify_manifest(folder, Path(self._task.args["key"]))
        except ProvchainError as error:
            return result | {"failed": True, "msg": "; ".join(error.lines())}
        files = {Path(name).suffix.lstrip("."): str(folder / name) for name in digests}
        listed = subprocess.run(
            ["dpkg-deb", "--info", files["deb"], "md5sums"], capture_output=True, check=True
        ).stdout
        content = hashlib.sha256(listed).hexdigest()
        return result | {"changed": False, "files": files, "digests": digests, "content": content}
