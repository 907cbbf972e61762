"""A description that is wrong is refused, with file, line, key, found and allowed; all problems at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from provchain.document.reading import MAX_BYTES
from provchain.spec import DocumentError, load, loads

HERE = Path(__file__).parent
GOOD = (HERE / "good.yml").read_text(encoding="utf-8")


class Case(NamedTuple):
    """A base, what is changed in it, and the lines that must come back."""

    base: str
    changes: list[list[str]]
    refused: list[str]


def _cases() -> list[Any]:
    out = []
    for file in sorted((HERE / "refusals").glob("*.yml")):
        group = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
        base = (HERE / group["base"]).read_text(encoding="utf-8")
        for case in group["cases"]:
            values = Case(base, case["changes"], case["refused"])
            out.append(pytest.param(values, id=f"{file.stem}-{case['id']}"))
    return out


@pytest.mark.parametrize("case", _cases())
def test_refusal(case: Case) -> None:
    text = case.base
    for old, new in case.changes:
        assert text.count(old) == 1, f"{old!r} must be in the base once"
        text = text.replace(old, new)
    with pytest.raises(DocumentError) as caught:
        loads(text, "inventories/x/chain.yml")
    assert [str(p) for p in caught.value.problems] == [f"inventories/x/chain.yml:{r}" for r in case.refused]


@pytest.mark.parametrize("name", ["good.yml", "production.yml"])
def test_the_bases_are_accepted(name: str) -> None:
    load(HERE / name)


def test_problems_of_every_kind_come_at_once_in_the_order_of_lines() -> None:
    text = GOOD.replace("chain_id: zhejiang", "chain_id: hangzhou")
    text = text.replace("role: custodian", "role: bank")
    text = text.replace("address: 10.1.0.14", "address: 10.1.1.14")
    text = text.replace("service: rpc, purpose", "service: http, purpose")
    text = text.replace("rpc: 26657/tcp", "rpc: 26656/tcp").replace("faults: 1", "faults: 1\n  faults: 2")
    with pytest.raises(DocumentError) as caught:
        loads(text)
    found = [(problem.line, problem.key) for problem in caught.value.problems]
    assert found == [
        (4, "chain_id"),
        (12, "organisations[3].role"),
        (22, "hosts[3].address"),
        (45, "flows[9].service"),
        (50, "services.rpc"),
        (53, "consensus.faults"),
    ]


def test_the_error_prints_its_problems_below_a_count() -> None:
    with pytest.raises(DocumentError) as caught:
        loads(GOOD.replace("bastion: m1", "bastion: m2").replace("faults: 1", "faults: 2"), "x.yml")
    assert caught.value.lines() == [
        "x.yml is refused: 2 problems",
        "  x.yml:52: consensus.faults: found 2 with 4 validators; "
        "allowed: at most 1, or at least 7 validators",
        "  x.yml:69: ssh.bastion: found m2; allowed: the name of a host",
    ]


def _refusal_of_file(path: Path) -> str:
    with pytest.raises(DocumentError) as caught:
        load(path)
    (problem,) = caught.value.problems
    return str(problem)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yml", tmp_path):
        assert _refusal_of_file(path) == f"{path}:1: found no such file; allowed: a readable chain.yml"


def test_bytes_that_are_not_utf8_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "chain.yml"
    path.write_bytes(GOOD.encode("gb18030"))
    assert _refusal_of_file(path) == f"{path}:3: found the byte 0xb2; allowed: UTF-8 text"


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "chain.yml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load(path) == loads(GOOD)


def test_the_largest_file_is_read_and_one_byte_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "chain.yml"
    good = GOOD.encode()
    path.write_bytes(good + b"#" * (MAX_BYTES - len(good)))
    load(path)
    path.write_bytes(good + b"#" * (MAX_BYTES - len(good) + 1))
    assert _refusal_of_file(path) == f"{path}:1: found a larger file; allowed: at most 1048576 bytes"


def test_an_alias_bomb_is_refused_where_it_begins() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(30))
    with pytest.raises(DocumentError) as caught:
        loads(bomb)
    assert [str(p) for p in caught.value.problems] == [
        "chain.yml:1: a: found the anchor &a; allowed: values written out"
    ]


@pytest.mark.parametrize(("levels", "refused"), [(16, False), (17, True), (100_000, True)])
def test_depth_is_limited_before_it_costs_anything(levels: int, refused: bool) -> None:
    with pytest.raises(DocumentError) as caught:
        loads("[" * levels + "]" * levels)
    assert ("at most 16 levels" in str(caught.value.problems[0])) is refused


@pytest.mark.parametrize("text", ["", "null", "[]", "42", "text", "# nothing"])
def test_a_document_that_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(DocumentError) as caught:
        loads(text)
    (problem,) = caught.value.problems
    assert (problem.line, problem.key, problem.allowed) == (1, "", "a mapping of keys to values")


def test_nothing_that_a_file_holds_breaks_the_line_of_a_refusal() -> None:
    with pytest.raises(DocumentError) as caught:
        loads(GOOD + '"k\\n\\e[31m\\u2028": "v\\n"\n')
    (line,) = map(str, caught.value.problems)
    assert line.isprintable()


@pytest.mark.parametrize("text", ['a: "\\ud800"', '"\\udfff": 1', 'a: "\\UFFFFFFFF"', 'a: "\\x"'])
def test_escapes_that_spell_no_character_are_refused(text: str) -> None:
    with pytest.raises(DocumentError):
        loads(text)


@settings(deadline=None)
@given(st.data())
def test_whatever_is_cut_out_or_put_in_only_a_refusal_follows(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(GOOD)))
    end = data.draw(st.integers(start, min(len(GOOD), start + 30)))
    put = data.draw(st.text(alphabet="\n\t :-{}[],&*!|>'\"%@`?#~<.\\0x9Ae验\u2028\ud7ff", max_size=8))
    try:
        loads(GOOD[:start] + put + GOOD[end:])
    except DocumentError as error:
        assert all(p.line >= 1 and str(p).isprintable() for p in error.problems)
