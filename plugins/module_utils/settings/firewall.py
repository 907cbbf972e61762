"""New firewall rules on trial: in force at once, kept only if confirmed, else taken back by a timer.

Rules on trial are in the kernel alone. The file that the next boot loads is written when they are
confirmed, so neither a cut connection nor a reboot on the way leaves a host out of reach.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from .base import SettingError, run

PENDING = Path("/run/provchain-firewall")
TIMER = "provchain-firewall-revert"
_LIST = ("nft", "--stateless", "list", "ruleset")


def in_force() -> str:
    """Return the rules that the kernel applies, without counters."""
    return run(*_LIST).stdout


def meant(content: str) -> str:
    """Return the rules that a file makes, as the kernel would list them; raises SettingError if it is wrong.

    It is loaded in a network namespace of its own, where it can do no harm.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".nft") as file:
        file.write(content)
        file.flush()
        script = f'nft -f "$1" && {" ".join(_LIST)}'
        return run("unshare", "--net", "sh", "-c", script, "sh", file.name).stdout


def begin(content: str, before: str, seconds: int) -> None:
    """Put rules in force for some seconds; then ``before`` comes back unless ``confirm`` was called.

    A trial that was interrupted is begun anew, but what comes back stays what was confirmed last.
    """
    run("systemctl", "stop", f"{TIMER}.timer", check=False)
    PENDING.mkdir(mode=0o700, exist_ok=True)
    old, new = PENDING / "before.nft", PENDING / "new.nft"
    if not old.exists():
        partial = PENDING / "before.part"
        partial.write_text(f"flush ruleset\n{before}")
        partial.replace(old)
    new.write_text(content)
    back = f"nft -f {old} && rm -r {PENDING}"
    timer = (f"--unit={TIMER}", f"--on-active={seconds}", "--timer-property=AccuracySec=1s")
    run("systemd-run", "--collect", *timer, "/bin/sh", "-c", back)
    run("nft", "-f", str(new))


def pending() -> bool:
    """Return whether rules are in force that nobody has confirmed."""
    return PENDING.exists()


def confirm(content: str) -> None:
    """Call the timer off; raises SettingError if the rules were taken back meanwhile."""
    run("systemctl", "stop", f"{TIMER}.timer", check=False)
    if not pending() or in_force() != meant(content):
        raise SettingError("the rules were taken back before they were confirmed")


def end() -> None:
    """Forget a confirmed trial, once its rules are where the next boot finds them."""
    shutil.rmtree(PENDING)
