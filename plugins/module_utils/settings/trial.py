"""Settings on trial: in force at once, and taken back by the host itself unless they are confirmed in time.

What could lock operators out is applied this way, and taken back this way. A timer brings the host back to
what it was before the trial; so does the next boot, before the SSH server starts, if the host goes down
meanwhile.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .base import Result, SettingError, run, sync
from .undo import JOURNAL, Record, adopt, back_all, durable, find, keep, records

FOLDER = Path("/var/lib/provchain/trial")
CONFIRMED = Path("/var/lib/provchain/trial-confirmed")
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


_WHOLE = (("/usr/sbin/sshd", "-t"), ("/usr/sbin/visudo", "-c"))
"""What tells whether all files together are in order, before anything is started with them."""


def pending() -> bool:
    """Return whether settings are in force that nobody has confirmed."""
    return FOLDER.is_dir()


def begin(items: list[dict[str, Any]], seconds: int, back: Iterable[Record] = ()) -> list[tuple[str, Result]]:
    """Take back records, and apply settings, for some seconds; return what each setting did.

    Raises SettingError; then the host is as before. A trial that was interrupted is gone on with: what
    comes back is what was confirmed last.
    """
    from . import converge

    settle()
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
        _take_back(list(back))
        # the script grows with each record, before the setting changes anything
        return converge(items, dry=False, journal=FOLDER / "records", recorded=_write_script)
    except (SettingError, OSError):
        run("systemctl", "stop", f"{TIMER}.timer", check=False)
        run("/bin/sh", str(FOLDER / "back.sh"), check=False)
        raise


def _take_back(back: list[Record]) -> None:
    """Bring back what records hold, each file and then all together looked at before a unit restarts."""
    from . import parse

    if not back:
        return
    for record in back:
        _accept(record)
    sound = [argv for argv in _WHOLE if Path(argv[0]).exists() and run(*argv, check=False).returncode == 0]
    for record in back:
        (setting,) = parse([record.item])
        keep(FOLDER / "redo", record.label, record.item, setting.redo())
    durable(FOLDER / "redo")
    _write_script()
    units = [record for record in back if record.item["kind"] == "unit"]
    for record in back:
        if record not in units:
            record.run()
    for argv in sound:
        run(*argv)
    for record in units:
        record.run()


def _accept(record: Record) -> None:
    """Validate the file that comes back as its setting was; raises SettingError, and nothing has changed."""
    validate = str(record.item.get("validate", ""))
    for _, copy in record.paths if validate else ():
        if copy.is_file():
            run(*(word.replace("%s", str(copy)) for word in validate.split()))


def _write_script() -> None:
    script, partial = FOLDER / "back.sh", FOLDER / "back.part"
    end = (
        f"/bin/rm -rf {FOLDER} {UNIT} /etc/systemd/system/multi-user.target.wants/{UNIT.name}\n"
        "/bin/systemctl daemon-reload || true\n"
    )
    partial.write_text(f"{back_all(FOLDER / 'records')}\n{back_all(FOLDER / 'redo')}\n{end}")
    partial.replace(script)
    sync(FOLDER)


def confirm() -> None:
    """Call the timer off and keep the settings; raises SettingError if they were taken back meanwhile.

    What was on trial can be taken back by ``unharden`` from now on; what was taken back is forgotten.
    """
    run("systemctl", "stop", f"{TIMER}.timer", check=False)
    shown = run("systemctl", "show", f"{TIMER}.service", "--property=ActiveState", check=False).stdout
    if not pending() or shown.strip() in ("ActiveState=active", "ActiveState=activating"):
        raise SettingError("the settings were taken back before they were confirmed")
    FOLDER.rename(CONFIRMED)
    sync(FOLDER.parent)
    settle()


def settle() -> None:
    """Finish what a confirmation that was interrupted has left to do."""
    if not CONFIRMED.is_dir():
        return
    run("systemctl", "disable", UNIT.name, check=False)
    UNIT.unlink(missing_ok=True)
    run("systemctl", "daemon-reload")
    for taken_back in records(CONFIRMED / "redo"):
        record = find(JOURNAL, taken_back.label)
        if record is not None:
            record.forget()
    adopt(CONFIRMED / "records", JOURNAL)
    shutil.rmtree(CONFIRMED)
    sync(FOLDER.parent)
