"""The router's rules: default drop, exactly the passes, nothing that could break out of its line."""

from __future__ import annotations

import dataclasses

import pytest

from provchain.lab.rules import Pass, differences, render, render_cut

SSH = Pass("10.1.4.0/24", "10.1.1.11", "tcp", 22, "management > v1 ssh")
NTP = Pass("10.1.1.0/24", "10.1.4.11", "udp", 123, "consensus > m1 ntp")


def test_both_chains_drop_by_default() -> None:
    text = render([])
    assert text.count("policy drop;") == 2
    assert "policy accept" not in text
    assert text.startswith("flush ruleset\n")


def test_a_pass_is_one_line_with_source_address_protocol_and_port() -> None:
    lines = [line.strip() for line in render([SSH, NTP]).splitlines()]
    assert (
        'ip saddr 10.1.4.0/24 ip daddr 10.1.1.11 tcp dport 22 counter accept comment "management > v1 ssh"'
        in lines
    )
    assert (
        'ip saddr 10.1.1.0/24 ip daddr 10.1.4.11 udp dport 123 counter accept comment "consensus > m1 ntp"'
        in lines
    )


def test_nothing_but_answers_and_echo_requests_is_accepted_beside_the_passes() -> None:
    accepting = [line.strip() for line in render([SSH]).splitlines() if " accept" in line]
    assert len(accepting) == 4
    assert sum(line.startswith("ct state established,related") for line in accepting) == 2
    assert sum(line.startswith("icmp type echo-request") for line in accepting) == 1


def test_the_same_pass_twice_is_one_rule() -> None:
    assert render([SSH, NTP, SSH]) == render([SSH, NTP])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source", "10.1.4.1/24"),
        ("source", "anywhere"),
        ("address", "10.1.1.300"),
        ("address", "10.1.1.11 accept; #"),
        ("protocol", "sctp"),
        ("port", 0),
        ("port", 65536),
        ("purpose", 'x" accept; #'),
        ("purpose", "two\nlines"),
    ],
)
def test_what_is_no_pass_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"no |permit|host bits|octet|Expected|Octet|not permitted"):
        render([dataclasses.replace(SSH, **{field: value})])  # type: ignore[arg-type]  # wrong on purpose


def test_a_cut_drops_both_ways_and_nothing_else() -> None:
    dropped = [line.strip() for line in render_cut(["10.1.1.11", "10.1.1.12"], ["10.1.1.13"]).splitlines()]
    assert [line for line in dropped if "drop" in line] == [
        "ip saddr { 10.1.1.11, 10.1.1.12 } ip daddr { 10.1.1.13 } counter drop",
        "ip saddr { 10.1.1.13 } ip daddr { 10.1.1.11, 10.1.1.12 } counter drop",
    ]


LISTING = (
    "table inet t {\n\tchain forward {\n\t\tpolicy drop;\n\t\ttcp dport 22 accept\n\t\tcounter\n\t}\n}\n"
)


def test_equal_listings_do_not_differ() -> None:
    assert differences(LISTING, LISTING.replace("\t", "    ")) == []


def test_a_removed_rule_is_named() -> None:
    assert differences(LISTING, LISTING.replace("\t\ttcp dport 22 accept\n", "")) == [
        "rule missing: tcp dport 22 accept"
    ]


def test_an_added_rule_is_named() -> None:
    assert differences(LISTING, LISTING.replace("\t\tcounter\n", "\t\taccept\n\t\tcounter\n")) == [
        "foreign rule: accept"
    ]


def test_another_order_is_seen() -> None:
    swapped = LISTING.replace(
        "\t\ttcp dport 22 accept\n\t\tcounter\n", "\t\tcounter\n\t\ttcp dport 22 accept\n"
    )
    assert differences(LISTING, swapped) == ["rules are in another order"]


def test_a_second_copy_of_a_rule_is_seen() -> None:
    doubled = LISTING.replace("\t\tcounter\n", "\t\tcounter\n\t\tcounter\n")
    assert differences(LISTING, doubled) != []
