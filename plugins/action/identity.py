"""Have a host's key and certificate, signed by its organisation's authority on the controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from provchain.errors import ProvchainError
from provchain.pki import ALGORITHMS, Authority, Wanted


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """``identity: {authorities, days, ...}``: the module of the same name, and what it asks for signed.

    ``authorities`` is the controller's folder of them, ``days`` how long a certificate is valid.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look at the host; if a certificate is due, sign its request and install it there."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = dict(self._task.args)
        folder, days = Path(given.pop("authorities")), int(given.pop("days"))

        def on_host(**more: str) -> dict[str, Any]:
            found: dict[str, Any] = self._execute_module(
                module_name="identity", module_args=given | more, task_vars=task_vars
            )
            return found

        result |= on_host()
        if result.get("failed") or not result.get("request"):
            return result
        try:
            algorithm = ALGORITHMS[given.get("algorithm", "sm2")]
            wanted = Wanted(given["name"], given["organisation"], given["dns"], given["address"], days)
            certificate = Authority(folder, wanted.organisation, algorithm).issue(result["request"], wanted)
        except ProvchainError as error:
            return result | {"failed": True, "msg": "; ".join(error.lines())}
        first, result = result, result | on_host(certificate=certificate)
        return result | {
            "changed": True,
            "reason": first["reason"],
            "diff": first["diff"] + result.get("diff", []),
        }
