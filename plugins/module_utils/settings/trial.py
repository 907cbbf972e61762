"""Settings on trial: in force at once, and taken back by the host itself unless they are confirmed in time.

What could lock operators out is applied this way. A timer takes it back; so does the next boot, before the
SSH server starts, if the host goes down meanwhile.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from .base import Result, SettingError, run, sync
from .undo import JOURNAL, adopt, back_all

FOLDER = Path("/var/lib/provchain/trial")
UNIT = Path("/etc/systemd/system/provchain-trial.service")
TIMER = "provchain-trial-timer"
_TEXT = """\
# Managed by provchain: takes back settings that nobody has confirmed; there only while they are on trial
[Unit]
Description=Take back unconfirmed settings
Before=ssh.service sshd.service
[Service]
Type=oneshot
ExecStart=/bin/sh {script}
[Install]
WantedBy=multi-user.target
"""


def pending() -> bool:
    """Return whether settings are in force that nobody has confirmed."""
    return FOLDER.is_dir()


def begin(items: list[dict[str, Any]], seconds: int) -> list[tuple[str, Result]]:
    """Apply settings for some seconds; return what each did. Raises SettingError; then all is taken back.

    A trial that was interrupted is gone on with: what comes back is what was confirmed last.
    """
    from . import converge

    run("systemctl", "stop", f"{TIMER}.timer", check=False)
    FOLDER.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write_script()
    UNIT.write_text(_TEXT.format(script=FOLDER / "back.sh"))
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", UNIT.name)
    try:
        # not by the unit: that goes before the SSH server, so it would wait for itself to restart that
        run(
            "systemd-run", "--collect", f"--unit={TIMER}", f"--on-active={seconds}",
            "--timer-property=AccuracySec=1s", "/bin/sh", str(FOLDER / "back.sh"),
        )  # fmt: skip
        # the script grows with each record, before the setting changes anything
        return converge(items, dry=False, journal=FOLDER / "records", recorded=_write_script)
    except (SettingError, OSError):
        run("systemctl", "stop", f"{TIMER}.timer", check=False)
        run("/bin/sh", str(FOLDER / "back.sh"), check=False)
        raise


def _write_script() -> None:
    script, partial = FOLDER / "back.sh", FOLDER / "back.part"
    end = (
        f"/bin/rm -rf {FOLDER} {UNIT} /etc/systemd/system/multi-user.target.wants/{UNIT.name}\n"
        "/bin/systemctl daemon-reload || true\n"
    )
    partial.write_text(f"{back_all(FOLDER / 'records')}\n{end}")
    partial.replace(script)
    sync(FOLDER)


def confirm() -> None:
    """Call the timer off and keep the settings; raises SettingError if they were taken back meanwhile.

    What was on trial can be taken back by ``unharden`` from now on.
    """
    run("systemctl", "stop", f"{TIMER}.timer", check=False)
    if not pending():
        raise SettingError("the settings were taken back before they were confirmed")
    run("systemctl", "disable", UNIT.name, check=False)
    UNIT.unlink(missing_ok=True)
    run("systemctl", "daemon-reload")
    adopt(FOLDER / "records", JOURNAL)
    shutil.rmtree(FOLDER)
    sync(FOLDER.parent)
