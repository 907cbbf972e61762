"""A small catalog, hosts and answers of which every verdict is known."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from provchain.audit.assessment import Assessment
from provchain.audit.orders import Source
from provchain.audit.run import Order, assess, on_hosts
from provchain.audit.subjects import CONTAINER, RELEASE, Subject
from provchain.baseline import catalog
from provchain.baseline.catalog import Catalog
from provchain.baseline.facts import Facts, Output, Status
from provchain.baseline.model import SiteFile
from provchain.baseline.resources import Target

CONTROLS = """\
standard: GB/T 22239-2019
section: {zh: 计算环境, en: Computing}
controls:
  - {id: 22239.8.1.4.1.a, point: {zh: 鉴别, en: P}, title: {zh: 甲, en: host}, class: host, status: automated}
  - {id: 22239.8.1.4.1.b, point: {zh: 鉴别, en: P}, title: {zh: 乙, en: partly}, class: host, status: partly,
     reason: {zh: 其余看文档, en: the rest is in documents}}
  - {id: 22239.8.1.3.1.a, point: {zh: 边界, en: P}, title: {zh: 丙, en: zone}, class: network,
     status: automated}
  - {id: 22239.8.1.6.1.a, point: {zh: 制度, en: P}, title: {zh: 丁, en: document}, class: organisational,
     status: attestation, reason: {zh: 看文档, en: documents}}
  - {id: 22239.8.1.1.1.a, point: {zh: 物理, en: P}, title: {zh: 戊, en: none}, class: organisational,
     status: not_applicable, reason: {zh: 云上, en: in a cloud}}
"""
RULES = """\
rules:
  - {id: ssh-tries, title: {zh: 次数, en: Tries}, why: {zh: 试探, en: Guessing}, severity: high,
     clauses: [22239.8.1.4.1.a, 22239.8.1.4.1.b],
     check: {resource: sshd, option: maxauthtries, expect: {at_most: $tries}}}
  - {id: ssh-root, title: {zh: 根, en: Root}, why: {zh: 共用, en: Shared}, severity: medium,
     clauses: [22239.8.1.4.1.a],
     check: {resource: sshd, option: permitrootlogin, expect: {equals: "no"}}}
  - {id: net-forward, title: {zh: 转发, en: Forwarding}, why: {zh: 越界, en: Crossing}, severity: low,
     clauses: [22239.8.1.3.1.a],
     check: {resource: sysctl, name: net.ipv4.ip_forward, expect: {equals: "0"}}}
"""
PROFILE = """\
id: mlps3
title: {zh: 三级, en: Level 3}
thresholds: {tries: {value: 4, note: {zh: 次数, en: Tries}}}
"""
NOW = datetime(2026, 3, 31, 8, tzinfo=UTC)
TODAY: date = NOW.astimezone().date()


def small_catalog(folder: Path) -> Catalog:
    """The catalog above, read from a folder."""
    for place, text in (
        ("controls/a.yml", CONTROLS),
        ("rules/r.yml", RULES),
        ("profiles/mlps3.yml", PROFILE),
    ):
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return catalog.load(folder)


def host_facts(tries: int = 4, root: str = "no", forward: int = 0) -> Facts:
    """What a Debian machine answers."""
    told = {
        RELEASE.id: Output(Status.SEEN, 0, 'ID=debian\nVERSION_ID="12"\n'),
        CONTAINER.id: Output(Status.SEEN, 1, "none\n"),
        "run:/usr/sbin/sshd -T": Output(Status.SEEN, 0, f"maxauthtries {tries}\npermitrootlogin {root}\n"),
        "file:/proc/sys/net/ipv4/ip_forward": Output(Status.SEEN, 0, f"{forward}\n"),
    }
    return Facts(told, 1_700_000_000)


def order(folder: Path, site: SiteFile | None = None, hosts: Mapping[str, str] | None = None) -> Order:
    """An audit of hosts (name to zone) against the catalog above."""
    found = small_catalog(folder)
    zones = hosts or {"h1": "inner"}
    subjects = tuple(Subject(Target(name, None, False), zone) for name, zone in zones.items())
    source = Source("net", subjects, (), folder, "mlps3")
    return Order(source, found, found.profiles["mlps3"], site or SiteFile(), folder)


def assessed(
    folder: Path, facts: Mapping[str, Facts], site: SiteFile | None = None, **more: str
) -> Assessment:
    """The assessment of hosts; ``more`` gives a zone to those that are not in zone ``inner``."""
    zones = {name: more.get(name, "inner") for name in facts}
    asked = order(folder, site, zones)
    return assess(asked, on_hosts(asked, facts), NOW, NOW)
