"""Have the organisations' authorities, and revoke what they issued, on the controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from provchain.errors import ProvchainError
from provchain.pki import ALGORITHMS, Authority


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """``authority: {folder, organisations}`` gives the trust bundle.

    ``algorithm`` is sm2, unless it says p256.

    With ``revoke``, a serial of the one organisation that is named, also its new list (``crl``) and which
    certificate that is (``revoked``).
    """

    _requires_connection = False
    _VALID_ARGS = frozenset({"folder", "organisations", "algorithm", "revoke"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make missing authorities (not in check mode)."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given, folder = self._task.args, Path(self._task.args["folder"])
        try:
            algorithm = ALGORITHMS[given.get("algorithm", "sm2")]
            authorities = {name: Authority(folder, name, algorithm) for name in given["organisations"]}
            if given.get("revoke"):
                (authority,) = authorities.values()
                result |= {"changed": True, "revoked": authority.issued(given["revoke"]).stem}
                if not self._task.check_mode:
                    result["crl"] = authority.revoke(given["revoke"])
                return result
            if self._task.check_mode:
                present = {n: a for n, a in authorities.items() if a.certificate.exists()}
                trust = {n: a.certificate.read_text() for n, a in present.items()}
                return result | {"changed": len(present) < len(authorities), "trust": trust}
            new = [name for name, authority in authorities.items() if not authority.certificate.exists()]
            result |= {"changed": bool(new), "trust": {n: a.ensure() for n, a in authorities.items()}}
        except ProvchainError as error:
            return result | {"failed": True, "msg": "; ".join(error.lines())}
        return result
