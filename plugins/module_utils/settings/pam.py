"""Debian's PAM stacks, put together by pam-auth-update from profiles of which ours are a part."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from .base import Result, Setting, SettingError, Undo, run
from .files import write

PROFILES = Path("/usr/share/pam-configs")
STACKS = tuple(Path("/etc/pam.d") / f"common-{kind}" for kind in ("auth", "account", "password", "session"))
SU = Path("/etc/pam.d/su")
_STATE = [
    *map(str, STACKS),
    "/etc/pam.d/common-session-noninteractive",
    "/var/lib/pam/seen",
    *(
        f"/var/lib/pam/{kind}"
        for kind in ("auth", "account", "password", "session", "session-noninteractive")
    ),
]

# by name: the profiles (file, text) that bring a module into the stacks; {…} are a setting's arguments
_TEXTS: dict[str, dict[str, str]] = {
    "faillock": {
        "provchain-faillock-before": """\
Name: Refuse locked accounts before a password is asked for
Default: yes
Priority: 1024
Auth-Type: Primary
Auth:
	requisite	pam_faillock.so preauth
Account-Type: Primary
Account:
	required	pam_faillock.so
""",
        "provchain-faillock-after": """\
Name: Count failed logins
Default: yes
Priority: 0
Auth-Type: Primary
Auth:
	[default=die]	pam_faillock.so authfail
	sufficient	pam_faillock.so authsucc
""",
    },
    "pwquality": {},
    "pwhistory": {
        "provchain-pwhistory": """\
Name: Refuse former passwords
Default: yes
Priority: 512
Password-Type: Primary
Password:
	requisite	pam_pwhistory.so remember={remember} enforce_for_root try_first_pass use_authtok
Password-Initial:
	requisite	pam_pwhistory.so remember={remember} enforce_for_root
""",
    },
}
_SECTION = re.compile(r"^(Auth|Account|Password|Session):\n((?:\t.*\n)+)", re.M)
# faillock's authsucc is not needed where the account stack has the module too (pam_faillock(8))
_MODULE = re.compile(r"pam_[a-z]+\.so(?: (?!authsucc)[a-z]+)?")
_OLDER = {"pwquality": "pwquality", "unix": "unix"}
_WHEEL = "auth       required   pam_wheel.so group={group}\n"


@dataclass(frozen=True)
class PamProfile(Setting):
    """``pam_profile``: a module of ours is in the stacks: faillock, pwhistory, pwquality, unix or wheel.

    unix takes ``nullok`` out of Debian's own profile, wheel puts a line into su's stack; the others are
    profiles of pam-auth-update.
    """

    name: str
    arguments: dict[str, str] = field(default_factory=dict)

    def check(self) -> None:
        if self.name not in {*_TEXTS, "unix", "wheel"}:
            raise SettingError(f"pam_profile {self.name}: faillock, pwhistory, pwquality, unix or wheel")
        if any(not re.fullmatch(r"[a-z0-9_-]+", value) for value in self.arguments.values()):
            raise SettingError(f"pam_profile {self.name}: arguments {self.arguments}")

    def _files(self) -> dict[Path, str]:
        """Return the files that the setting wants, with their content."""
        if self.name == "wheel":
            return {SU: self._su(SU.read_text())} if SU.is_file() else {}
        if self.name == "unix":
            unix = PROFILES / "unix"
            return {unix: re.sub(r"[ \t]nullok\b", "", unix.read_text())} if unix.is_file() else {}
        texts = _TEXTS[self.name]
        return {PROFILES / file: text.format_map(self.arguments) for file, text in texts.items()}

    def _su(self, text: str) -> str:
        line = _WHEEL.format_map({"group": self.arguments.get("group", "root")})
        if re.search(r"^auth\s+required\s+pam_wheel\.so", text, re.M):
            return re.sub(r"^auth\s+required\s+pam_wheel\.so.*\n", line, text, count=1, flags=re.M)
        rootok = re.search(r"^auth\s+sufficient\s+pam_rootok\.so.*\n", text, re.M)
        end = rootok.end() if rootok else 0
        return text[:end] + line + text[end:]

    def _missing(self) -> bool:
        """Tell whether the stacks lack what the profiles bring, though the files may be right."""
        if self.name == "wheel":
            return False
        texts = {path.name: path.read_text() for path in STACKS if path.is_file()}
        if self.name == "unix":
            return re.search(r"^auth.*pam_unix\.so.*\bnullok\b", "".join(texts.values()), re.M) is not None
        return any(line not in texts.get(f"common-{kind}", "") for kind, line in self._brought())

    def _brought(self) -> list[tuple[str, str]]:
        """Return what has to be in which stack: modules, with what each is told to do."""
        sections = [one for text in _TEXTS[self.name].values() for one in _SECTION.findall(text)]
        found = [(kind.lower(), line) for kind, lines in sections for line in _MODULE.findall(lines)]
        return found or [("password", f"pam_{self.name}.so")]

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        result = Result()
        for path, wanted in self._files().items():
            present = path.read_text() if path.is_file() else ""
            if present != wanted:
                result.note(f"{path} {'replaced' if present else 'created'}")
                result.before += present
                result.after += wanted
                if not dry:
                    write(path, wanted.encode(), "0644", "root", "root", lambda name: None)
        if result.changed or self._missing():
            result.note("stacks put together anew") if self.name != "wheel" else None
            if not dry and self.name != "wheel":
                self._update()
        return result

    def _update(self) -> None:
        names = [*_TEXTS.get(self.name, {}), *([_OLDER[self.name]] if self.name in _OLDER else [])]
        run("pam-auth-update", "--package", "--enable", *names)
        if self._missing():
            raise SettingError(
                f"pam_{self.name}.so is not in the stacks after pam-auth-update: "
                "they were changed by hand; put them back by pam-auth-update --force"
            )

    def undo(self) -> Undo:
        paths = [str(path) for path in self._files()]
        return Undo(paths=paths if self.name == "wheel" else [*paths, *_STATE])
