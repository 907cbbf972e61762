"""What is just allowed is accepted; codes and keys are checked as their standards say."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from provchain.spec import DocumentError, Zone, load, loads
from provchain.spec.codes import uscc_check_digit, valid_uscc

HERE = Path(__file__).parent
GOOD = (HERE / "good.yml").read_text(encoding="utf-8")
PRODUCTION = (HERE / "production.yml").read_text(encoding="utf-8")
ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
# printed on the registration documents of well-known companies
PUBLISHED = ["91440300708461136T", "9144030071526726XG", "914403001922038216", "91330100716105852F"]


@pytest.mark.parametrize(
    ("base", "old", "new"),
    [
        (GOOD, "network: test", "network: ab"),
        (GOOD, "network: test", "network: abcdefgh"),
        (GOOD, "rpc: 26657/tcp", "rpc: 65535/tcp"),
        (GOOD, "rpc: 26657/tcp", "rpc: 1/tcp"),
        (GOOD, "address: 10.1.0.14", "address: 10.1.0.2"),
        (GOOD, "address: 10.1.0.14", "address: 10.1.0.252"),
        (GOOD, "address: 10.1.0.14", "address: 10.1.0.253"),
        (GOOD, "address: 10.1.3.11", "address: 10.1.3.252"),
        (GOOD, "renew_before_days: 30", "renew_before_days: 396"),
        (GOOD, "max_block_bytes: 4194304", "max_block_bytes: 16777216"),
        (GOOD, "max_tx_bytes: 262144", "max_tx_bytes: 2097152"),
        (GOOD, "organisation: fin", "organisation: ex"),  # two of four are no quorum
        (GOOD, "name: a1", "name: a-234567890b"),
        (GOOD, "uscc: 91330000MA0000001A", 'uscc: "914403001922038216"'),
        (
            GOOD,
            "from: sup, to: edge, service: rpc",
            "from: edge, to: sup, service: rpc",
        ),  # no host in sup yet
        (GOOD, "from: sup, to: edge, service: rpc", "from: sup, to: edge, service: rpc, to_role: rpc"),
        (PRODUCTION, "block_interval_ms: 1000", "block_interval_ms: 500"),
        (PRODUCTION, "propose_timeout_ms: 1500", "propose_timeout_ms: 1000"),
        (PRODUCTION, "vote_timeout_ms: 800", "vote_timeout_ms: 500"),
        (PRODUCTION, "timeout_delta_ms: 500", "timeout_delta_ms: 100"),
        (PRODUCTION, "environment: production", "environment: lab"),  # lab hosts treated as existing ones
        (PRODUCTION, "filing_number: 浙备00000000号", 'filing_number: "33010020"'),
    ],
)
def test_just_allowed(base: str, old: str, new: str) -> None:
    assert base.count(old) == 1
    loads(base.replace(old, new))


def _with_validators(count: int, faults: int, of_first: int) -> str:
    """Return the good description with ``count`` validators, ``of_first`` of them of one organisation."""
    lines = [line for line in GOOD.splitlines() if "[validator" not in line]
    hosts = [
        f"  - {{name: v{i}, zone: core, organisation: {'ex' if i <= of_first else 'fin'}, "
        f"failure_domain: d{i}, address: 10.1.0.{i + 10}, "
        f"roles: [validator, signer{', rpc' if i == 1 else ''}]}}"
        for i in range(1, count + 1)
    ]
    at = lines.index("hosts:") + 1
    return "\n".join([*lines[:at], *hosts, *lines[at:]]).replace("faults: 1", f"faults: {faults}")


@settings(deadline=None)
@given(st.integers(4, 40), st.integers(1, 13), st.data())
def test_counts_of_validators_faults_and_power(count: int, faults: int, data: st.DataObject) -> None:
    of_first = data.draw(st.integers(0, count))
    largest = max(of_first, count - of_first)
    sound = count >= 3 * faults + 1 and largest <= count * 2 / 3
    text = _with_validators(count, faults, of_first)
    if sound:
        assert len(loads(text).validators) == count
    else:
        with pytest.raises(DocumentError):
            loads(text)


def test_the_smallest_zone_has_room_beside_the_reserved_addresses() -> None:
    zone = Zone.model_validate_json('{"name": "z", "kind": "data", "cidr": "10.1.2.0/28"}')
    assert [str(a) for a in (zone.router, zone.operator, zone.probe)] == [
        "10.1.2.1",
        "10.1.2.13",
        "10.1.2.14",
    ]


def test_a_description_is_frozen() -> None:
    spec = load(HERE / "good.yml")
    with pytest.raises(ValidationError, match="frozen"):
        spec.hosts[0].name = "other"  # type: ignore[misc]  # the assignment is what must fail


def test_looking_up() -> None:
    spec = load(HERE / "good.yml")
    assert spec.host("a1").zone == "edge"
    assert spec.zone("edge").kind == "access"
    assert [host.name for host in spec.nodes] == ["v1", "v2", "v3", "v4", "a1"]
    with pytest.raises(KeyError):
        spec.host("none")


@pytest.mark.parametrize("code", PUBLISHED)
def test_published_credit_codes_are_right(code: str) -> None:
    assert valid_uscc(code) == code


@settings(deadline=None)
@given(st.sampled_from(PUBLISHED), st.integers(0, 17), st.sampled_from(ALPHABET))
def test_every_single_wrong_letter_of_a_credit_code_is_noticed(code: str, at: int, letter: str) -> None:
    changed = code[:at] + letter + code[at + 1 :]
    right = uscc_check_digit(changed[:17]) == changed[17]
    assert right is (changed == code)


@pytest.mark.parametrize("kind", [("ed25519",), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521")])
def test_host_keys_as_made_by_ssh_are_accepted(kind: tuple[str, ...], tmp_path: Path) -> None:
    bits = ["-b", *kind[1:]] if len(kind) > 1 else []
    made = tmp_path / "key"
    subprocess.run(
        ["ssh-keygen", "-q", "-N", "", "-C", "", "-t", kind[0], *bits, "-f", str(made)], check=True
    )
    key = made.with_suffix(".pub").read_text().strip()
    assert loads(_with_key(key)).hosts[5].ssh is not None
    if key.endswith("="):
        # the last letter before the padding has bits that decode to nothing
        spare = key.rstrip("=")
        other = spare[:-1] + chr(ord(spare[-1]) + 1) + "=" * (len(key) - len(spare))
        assert base64.b64decode(other.split()[1]) == base64.b64decode(key.split()[1])
        with pytest.raises(DocumentError):
            loads(_with_key(other))


def test_a_host_key_cut_or_prolonged_anywhere_is_refused() -> None:
    key = load(HERE / "production.yml").hosts[5].ssh
    assert key is not None
    kind, _, encoded = key.host_key.partition(" ")
    blob = base64.b64decode(encoded)
    for wrong in [blob[:end] for end in range(len(blob))] + [blob + b"\0"]:
        with pytest.raises(DocumentError):
            loads(_with_key(f"{kind} {base64.b64encode(wrong).decode()}"))


def _with_key(key: str) -> str:
    """Return the production description with another host key for its last host, m1."""
    head, marker, tail = PRODUCTION.rpartition("host_key: ")
    return head + marker + key + tail[tail.index("\n") :]
