"""The page that people read: complete, self-contained, and safe whatever a host said."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from provchain.audit.assessment import Assessment, AttestationState
from provchain.audit.drift import drift
from provchain.baseline import catalog as catalogs
from provchain.baseline.catalog import Catalog
from provchain.baseline.facts import Facts
from provchain.baseline.model import SiteFile, Text, Waiver
from provchain.baseline.observation import Verdict
from provchain.report import page
from tests.unit.audit.auditkit import TODAY, assessed, host_facts, small_catalog

SCRIPT = "<script>alert(1)</script>"
HOSTILE = (
    f'{SCRIPT}"><img src=x onerror=alert(2)>\u202egpj.exe\u2066\x1b[2J\x00 {{{{ 7 * 191 }}}} </style></code>'
)
VOID = {"meta", "col", "br", "rect"}
ALLOWED = {
    "meta": {"charset", "http-equiv", "content", "name"},
    "svg": {"class", "viewbox", "preserveaspectratio", "aria-hidden"},
}
PLAIN = {"class", "id", "lang", "title", "href", "colspan", "rowspan", "x", "y", "width", "height"}


class Reader(HTMLParser):
    """What a browser would make of it: elements, anchors, and that each element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(tag, name) for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name == "href"]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture
def made(tmp_path: Path) -> tuple[Assessment, Catalog]:
    """An audit with a finding, a waived one, a host that lies, one that is down, an expired waiver."""
    words = Text(zh="理由甲", en="a reason")
    waivers = tuple(
        Waiver(
            rule=rule,
            hosts=("h2",),
            reason=words,
            approver="张三",
            compensation=words,
            expires=TODAY + timedelta(days),
        )
        for rule, days in (("ssh-root", 0), ("ssh-tries", -1))
    )
    facts = {
        "h1": host_facts(tries=9),
        "h2": host_facts(root="yes"),
        "h3": host_facts(root=HOSTILE),
        "h4": Facts({}, 0, HOSTILE),
    }
    found = assessed(tmp_path, facts, SiteFile(waivers=waivers))
    attestation = AttestationState(
        control="22239.8.1.6.1.a",
        document="ZD-1",
        sm3="0" * 64,
        signer="李四",
        signed=TODAY,
        valid_until=TODAY,
        state="mismatch",
    )
    return found.model_copy(update={"attestations": (attestation,), "auditor": "陈静"}), small_catalog(
        tmp_path
    )


def test_it_says_all_of_an_audit(made: tuple[Assessment, Catalog]) -> None:
    text = page.text(*made)
    read = Reader(text)
    assert read.open == []
    said = "".join(read.words)
    for words in (
        "不构成测评结论",
        "not an assessment",
        "陈静",
        "maxauthtries 9",
        "理由甲",
        "张三",
        "已过期",
        "ZD-1",
        "摘要不符",
        "根",
        "Shared",
    ):
        assert words in said, words
    digest = hashlib.new("sm3", made[0].canonical().encode()).hexdigest()
    assert digest in said
    assert made[0].catalog in said
    assert len(read.ids) == len(set(read.ids))
    assert set(read.links) <= {f"#{one}" for one in read.ids}, "no link leads elsewhere or nowhere"
    for host in made[0].hosts:
        assert re.search(rf'<section class="host" id="host-\d+">\s*<h3>{host.name} ', text)


def test_nothing_of_a_host_becomes_markup(made: tuple[Assessment, Catalog]) -> None:
    text = page.text(*made)
    read = Reader(text)
    assert "script" not in read.tags
    assert "img" not in read.tags
    assert {pair for pair in read.attributes if pair[1] not in PLAIN | ALLOWED.get(pair[0], set())} == set()
    assert "&lt;script&gt;" in text, "it is shown, as text"
    assert "7 * 191" in text
    assert "1337" not in text
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", text)


def test_hostile_text_of_a_file_that_was_altered_is_shown_as_text(made: tuple[Assessment, Catalog]) -> None:
    """What is read back from JSON never went through an observation's bounds."""
    result = (
        made[0]
        .results[0]
        .model_copy(
            update={
                "verdict": Verdict.NONCOMPLIANT,
                "found": (HOSTILE + "A" * 1_000_000,),
                "wanted": HOSTILE,
                "reason": HOSTILE,
                "waived": False,
            }
        )
    )
    host = made[0].hosts[0].model_copy(update={"hostname": HOSTILE, "zone": HOSTILE, "roles": (HOSTILE,)})
    audit = made[0].model_copy(
        update={
            "results": (result, *made[0].results[1:]),
            "hosts": (host, *made[0].hosts[1:]),
            "network": HOSTILE,
            "auditor": HOSTILE,
        }
    )
    text = page.text(audit, made[1])
    assert "script" not in Reader(text).tags
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", text)
    assert "A" * (page.MOST_LETTERS + 1) not in text


def test_it_needs_nothing_of_elsewhere_and_allows_only_its_own_style(
    made: tuple[Assessment, Catalog],
) -> None:
    text = page.text(*made)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    wanted = ["default-src 'none'", f"style-src 'sha256-{digest}'", "base-uri 'none'", "form-action 'none'"]
    assert policy.split("; ") == wanted
    assert "url(" not in style
    assert "@import" not in style
    assert "://" not in text
    assert " style=" not in text
    assert "@media print" in style
    assert "A4" in style


def test_a_point_of_the_map_has_its_verdict_as_sign_and_colour(made: tuple[Assessment, Catalog]) -> None:
    (machine, paper) = page.maps(*made)
    assert machine.columns == ("inner", "h1", "h2", "h3", "h4", "")
    rows = {row.number: [cell.verdict for cell in row.cells] for _, rows in machine.sections for row in rows}
    assert rows["8.1.4.1"] == [None, Verdict.PARTIAL, Verdict.PARTIAL, Verdict.PARTIAL, Verdict.UNKNOWN, None]
    assert rows["8.1.3.1"] == [Verdict.UNKNOWN, None, None, None, None, None]
    assert {row.number for _, rows in paper.sections for row in rows} == {"8.1.6.1", "8.1.1.1"}
    assert '<td class="partial" title="a 部分符合, b 未知">◐</td>' in page.text(*made)
    assert len(set(page.SYMBOLS.values())) == len(Verdict), "it reads in black and white"


def _section(text: str, name: str) -> str:
    """Return the words of a section, as a browser shows them."""
    found = re.search(rf'<h2 id="{name}".*?(?=<h2 )', text, re.S)
    assert found
    return " ".join(" ".join(Reader(found[0]).words).split())


def test_it_says_what_changed_since_the_last_audit(made: tuple[Assessment, Catalog], tmp_path: Path) -> None:
    audit, catalog = made
    assert "没有可比较的上次核查" in _section(page.text(audit, catalog), "since")
    facts = {"h1": host_facts(root="yes"), "h2": host_facts(), "h4": host_facts(), "h9": host_facts()}
    before = assessed(tmp_path, facts)
    before = before.model_copy(update={"catalog": "0" * 64})
    since = drift(before, audit)
    text = page.text(audit.model_copy(update={"since": since}), catalog)
    assert Reader(text).open == []
    said = _section(text, "since")
    assert since.audit in said
    assert "规则目录或阈值与上次不同" in said
    for words in (
        "新增问题 new findings 次数 Tries ssh-tries · 高 h1",
        "已整改 mended 根 Root ssh-root · 中 h1",
        "新增主机（问题数） new hosts, and their findings ： h3 (1)",
        "hosts that are gone ：h9",
        "reached then, not now ： h4",
        "22239.8.1.4.1.a 甲 host 主机 h4 ● 符合 ? 未知",
    ):
        assert words in said, (words, said)
    assert "不再可见 no longer seen 次数" not in said, "of a host that is down, no rule is listed"


def test_each_finding_can_be_reached_from_its_hosts_page(made: tuple[Assessment, Catalog]) -> None:
    read = Reader(page.text(*made))
    assert {"#f-ssh-tries", "#f-ssh-root", "#w-ssh-root"} <= set(read.links)
    assert {"f-ssh-tries", "f-ssh-root", "w-ssh-root"} <= set(read.ids)


def test_many_hosts_are_split_into_maps_that_fit_on_a_sheet(tmp_path: Path) -> None:
    facts = {f"h{number}": host_facts() for number in range(page.MOST_COLUMNS + 3)}
    found = assessed(tmp_path, facts)
    widths = [len(one.columns) - 1 for one in page.maps(found, small_catalog(tmp_path))]
    assert widths == [page.MOST_COLUMNS, 4, 0]


def test_every_clause_of_the_shipped_catalog_is_in_the_map(tmp_path: Path) -> None:
    catalog = catalogs.load()
    found = assessed(tmp_path, {"h1": host_facts()})
    clauses = tuple(
        found.clauses[0].model_copy(update={"control": one, "kind": "document", "object": ""})
        for one in catalog.controls
    )
    (paper,) = page.maps(found.model_copy(update={"clauses": clauses}), catalog)
    shown = ", ".join(cell.clauses for _, rows in paper.sections for row in rows for cell in row.cells)
    assert shown.count(found.clauses[0].verdict.zh) == len(catalog.controls)


def test_shares_fill_the_bar() -> None:
    shares = page.shares([Verdict.COMPLIANT] * 2 + [Verdict.UNKNOWN])
    assert sum(one.width for one in shares) == 1000
    assert [(one.count, one.start) for one in shares if one.count] == [(2, 0), (1, 666)]
    assert all(one.width == 0 for one in page.shares([]))
