"""rsyslog: what its configuration writes, with which rights and times, and where it sends it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from provchain.baseline.facts import Facts, Probe, file
from provchain.baseline.observation import Observation, judged
from provchain.baseline.resources.base import Entry, Fix, Resource, Target
from provchain.baseline.values import Threshold, Values, number

RSYSLOG = file("/etc/rsyslog.conf")
RSYSLOG_PARTS = file("/etc/rsyslog.d/*.conf")
_SET = re.compile(r'([A-Za-z_.]+)\s*=\s*"([^"]*)"')
_CALL = re.compile(r"\b(action|module|global|input)\s*\(((?:[^()\"]|\"[^\"]*\")*)\)", re.S)
_LEGACY = re.compile(r"^([A-Za-z0-9*][A-Za-z0-9*,.;=!_-]*\.[A-Za-z0-9*,.;=!_-]+)\s+(\S.*)$")
_DIRECTIVE = re.compile(r"^\$([A-Za-z]+)\s+(\S.*)$")
_FILTERED = re.compile(r"^([A-Za-z0-9*][A-Za-z0-9*,.;=!_-]*\.[A-Za-z0-9*,.;=!_-]+)\s+action\s*\(")


@dataclass(frozen=True, slots=True)
class Action:
    """What rsyslog does with messages: the selector before it, and its parameters by name in lower case."""

    selector: str
    settings: Mapping[str, str]

    @property
    def is_remote(self) -> bool:
        """Tell whether it sends to another host."""
        return self.settings.get("type") in ("omfwd", "omrelp") and bool(self.settings.get("target"))

    @property
    def is_encrypted(self) -> bool:
        """Tell whether what it sends is encrypted and the other end is authenticated by its certificate."""
        told = self.settings
        if told.get("type") == "omrelp":
            return told.get("tls") == "on" and told.get("tls.authmode", "") in (
                "name",
                "fingerprint",
                "certvalid",
            )
        return told.get("streamdrivermode") == "1" and told.get("streamdriverauthmode", "").startswith(
            "x509/"
        )

    @property
    def is_queued(self) -> bool:
        """Tell whether it keeps on disk what the other end can't take now."""
        told = self.settings
        return told.get("queue.type", "direct").lower() != "direct" and bool(told.get("queue.filename"))

    def __str__(self) -> str:
        target = f"{self.settings.get('target', '')}:{self.settings.get('port', '')}"
        where = self.settings.get("file", target)
        return f"{self.selector or '*.*'} {self.settings.get('type')} {where}"


@dataclass(frozen=True, slots=True)
class RsyslogConfig:
    """All actions, and the directives and parameters that hold for all, by name in lower case."""

    actions: tuple[Action, ...]
    settings: Mapping[str, str]


def rsyslog(texts: Mapping[str, str]) -> RsyslogConfig:
    """Read both notations of rsyslog.conf(5), as far as files, remote targets, modes and times go."""
    actions: list[Action] = []
    settings: dict[str, str] = {}
    for text in texts.values():
        plain = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
        plain = plain.replace("\\\n", " ")
        for call in _CALL.finditer(plain):
            given = {key.lower(): value for key, value in _SET.findall(call[2])}
            if call[1] == "action":
                before = plain[plain.rfind("\n", 0, call.start()) + 1 : call.end()].strip()
                selector = _FILTERED.match(before)
                actions.append(Action(selector[1] if selector else "", given))
            else:
                settings |= given
        for line in map(str.strip, plain.splitlines()):
            directive, legacy = _DIRECTIVE.match(line), _LEGACY.match(line)
            if directive:
                settings[directive[1].lower()] = directive[2].strip('" ')
            elif legacy and (told := _target(legacy[2])):
                actions.append(Action(legacy[1], told))
    return RsyslogConfig(tuple(actions), settings)


def _target(text: str) -> dict[str, str] | None:
    """Read a legacy action: a file, ``@host:port`` by UDP or ``@@host:port`` by TCP."""
    word = text.split(";", 1)[0].strip()
    if word.startswith(("/", "-/")):
        return {"type": "omfile", "file": word.lstrip("-")}
    remote = re.fullmatch(r"(@@?)(?:\([a-z0-9,]*\))?\[?([^\]\s:]+|[0-9a-fA-F:]+)\]?(?::([0-9]+))?", word)
    if remote:
        return {
            "type": "omfwd",
            "protocol": "tcp" if remote[1] == "@@" else "udp",
            "target": remote[2],
            "port": remote[3] or "514",
        }
    return None


Must = Literal["write_auth", "forward_encrypted", "forward_queued", "make_private_files", "write_whole_times"]


class Rsyslog(Resource):
    """``rsyslog``: what its configuration makes it do."""

    resource: Literal["rsyslog"]
    must: Must
    count: Threshold | None = None
    """How many remote targets, where ``must`` is about them."""

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (RSYSLOG, RSYSLOG_PARTS)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        main = facts.text(RSYSLOG)
        config = rsyslog({"": main or ""} | facts.files(RSYSLOG_PARTS))
        judges: dict[Must, Callable[[RsyslogConfig, Values], Observation]] = {
            "write_auth": _auth,
            "forward_encrypted": self._forward,
            "forward_queued": self._forward,
            "make_private_files": _private,
            "write_whole_times": _times,
        }
        if main is None:
            return judged(False, "rsyslog", "/etc/rsyslog.conf is not there")
        return judges[self.must](config, values)

    def _forward(self, config: RsyslogConfig, values: Values) -> Observation:
        encrypted = self.must == "forward_encrypted"
        default = config.settings.get("defaultnetstreamdriver", config.settings.get("streamdriver", ""))
        remote = [one for one in config.actions if one.is_remote]
        good = {
            one.settings["target"] for one in remote if (one.is_encrypted if encrypted else one.is_queued)
        }
        count = number(values, self.count or "")
        how = "over TLS with the other end authenticated" if encrypted else "with a queue on disk"
        shown = [
            f"{one}{' TLS' if one.is_encrypted else ''}{' queued' if one.is_queued else ''}" for one in remote
        ]
        shown += [f"stream driver {default}"] if default and encrypted else []
        return judged(
            len(good) >= count, f">= {count} remote collectors {how}", *(shown or ["sends to no other host"])
        )

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        keys = {
            "make_private_files": (
                "mode",
                "$FileCreateMode 0640",
            ),
            "write_whole_times": ("time", "$ActionFileDefaultTemplate RSYSLOG_FileFormat"),
        }
        return (Entry("rsyslog", *keys[self.must]),) if self.must in keys else ()


def _auth(config: RsyslogConfig, _: Values) -> Observation:
    writing = [
        one
        for one in config.actions
        if one.settings.get("type") == "omfile" and _takes(one.selector, "authpriv")
    ]
    return judged(
        bool(writing), "authpriv.* to a file", *([str(one) for one in writing] or ["no file takes authpriv"])
    )


def _takes(selector: str, facility: str) -> bool:
    """Tell whether a selector takes all of a facility's messages (from info on, at least)."""
    taken = not selector
    for part in selector.split(";"):
        facilities, _, priority = part.rpartition(".")
        if facility in facilities.split(",") or facilities == "*":
            taken = priority in ("*", "debug", "info")
    return taken


def _private(config: RsyslogConfig, _: Values) -> Observation:
    mode = config.settings.get("filecreatemode", "0644")
    fits = bool(re.fullmatch(r"0?[0-7]{3}", mode)) and not int(mode, 8) & 0o137
    loose = [
        str(one)
        for one in config.actions
        if re.fullmatch(r"0?[0-7]{3}", given := one.settings.get("filecreatemode", "0600")) is None
        or int(given, 8) & 0o137
    ]
    return judged(fits and not loose, "new files 0640 or less", f"fileCreateMode {mode}", *loose)


def _times(config: RsyslogConfig, _: Values) -> Observation:
    """The template has to be named: which one is the default differs by version and distribution."""
    named = config.settings.get("actionfiledefaulttemplate", config.settings.get("template", ""))
    whole = named in ("RSYSLOG_FileFormat", "RSYSLOG_SyslogProtocol23Format")
    return judged(whole, "times with year and zone (RFC 3339)", f"template {named or 'not named'}")
