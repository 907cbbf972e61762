"""Look at a host and judge what was found on the controller, where the clocks can be compared."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase


def problems(host: dict[str, Any], expect: dict[str, Any], before: float, after: float) -> list[str]:
    """Return every point in which a host isn't as expected, each with what was found and what is needed.

    The host said its time between ``before`` and ``after`` (controller's clock, Unix seconds): only what lies
    outside of that is an offset, so a slow connection is none.
    """
    off = max(before - host["time"], host["time"] - after, 0.0)
    mtu = host["mtu"].get(expect["address"])
    checks = (
        ("debian" in host["os_family"], f"system {host['os']}, needed: Debian or one made from it"),
        (host["systemd"], "systemd does not run"),
        (host["architecture"] == "x86_64", f"architecture {host['architecture']}, needed: x86_64"),
        (host["python"] >= [3, 11], f"Python {host['python']}, needed: 3.11 or newer"),
        (
            host["openssl"] >= [3, 0] and host["sm3"],
            f"OpenSSL {host['openssl']}, needed: 3.0 or newer with SM3",
        ),
        (
            host["disk_free_mib"] >= int(expect["disk_free_mib"]),
            f"{host['disk_free_mib']} MiB free under /var, needed: {expect['disk_free_mib']}",
        ),
        (mtu is not None, f"addresses {', '.join(host['mtu'])}, needed: {expect['address']}"),
        (mtu is None or mtu >= int(expect["mtu"]), f"MTU {mtu}, needed: {expect['mtu']} or more"),
        (off <= float(expect["clock_skew_seconds"]), f"the clock is off by {off:.0f} s"),
        (host["network"] in ("", expect["network"]), f"the host belongs to network {host['network']}"),
    )
    return [text for holds, text in checks if not holds]


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """``host_facts: {expect, packages}``: facts as ``provchain_facts``, with the builds of ``packages``.

    Fails with every point that is otherwise than expected.
    """

    _VALID_ARGS = frozenset({"expect", "packages"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module of the same name and judge its answer."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        asked = {"packages": self._task.args.get("packages", [])}
        before = time.time()
        result |= self._execute_module(module_name="host_facts", module_args=asked, task_vars=task_vars)
        expect = self._task.args.get("expect")
        if expect and not result.get("failed"):
            found = problems(result["ansible_facts"]["provchain_facts"], expect, before, time.time())
            if found:
                result |= {"failed": True, "msg": "; ".join(found), "problems": found}
        return result
