"""Refuse an inventory that isn't generated from the chain.yml that lies there now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from provchain.errors import ProvchainError
from provchain.spec import digest, load


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """``gate: {spec_file, digest}``: runs on the controller, changes nothing."""

    _requires_connection = False
    _VALID_ARGS = frozenset({"spec_file", "digest"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare the digests and fail with what to do if they differ."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = self._task.args
        try:
            found = digest(load(Path(given["spec_file"])))
        except (ProvchainError, KeyError) as error:
            return result | {"failed": True, "msg": str(error)}
        if found != given.get("digest"):
            text = f"inventory digest {given.get('digest')} is not that of {given['spec_file']} ({found})"
            return result | {"failed": True, "msg": f"{text}; provchain up makes a new inventory"}
        return result | {"changed": False, "digest": found}
