"""Every format goes both ways; whatever else comes raises WireError and nothing else."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from provnode import wire
from provnode.crypto.hashing import pack
from tests.wire.formats import FORMATS, Format
from tests.wire.test_wire_golden import (
    BLOCK,
    CERTIFICATE,
    EVIDENCE,
    HEADER,
    PRECOMMIT,
    PROPOSAL,
    TWO_PROPOSALS,
)

every_format = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=30,
)


@every_format
@settings(deadline=None)
@given(data=st.data())
def test_what_was_encoded_is_decoded(form: Format, data: st.DataObject) -> None:
    value = data.draw(form.values)
    assert form.decode(form.encode(value)) == value


@every_format
@settings(max_examples=300, deadline=None)
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_refused_politely(form: Format, raw: bytes) -> None:
    with contextlib.suppress(wire.WireError):
        assert form.encode(form.decode(raw)) == raw


@every_format
@settings(max_examples=300, deadline=None)
@given(value=JSONISH)
def test_any_values_are_refused_politely(form: Format, value: object) -> None:
    raw = msgspec.msgpack.encode(value)
    with contextlib.suppress(wire.WireError):
        assert form.encode(form.decode(raw)) == raw


@every_format
@settings(max_examples=300, deadline=None)
@given(data=st.data(), place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_changed_byte_is_refused_or_another_value(
    form: Format, data: st.DataObject, place: int, byte: int
) -> None:
    raw = bytearray(form.encode(data.draw(form.values)))
    place %= len(raw)
    assume(raw[place] != byte)
    raw[place] = byte
    # two spellings of one value would be two ids of one block
    with contextlib.suppress(wire.WireError):
        assert form.encode(form.decode(bytes(raw))) == bytes(raw)


@every_format
@settings(deadline=None)
@given(data=st.data())
def test_every_cut_and_every_addition_is_refused(form: Format, data: st.DataObject) -> None:
    raw = form.encode(data.draw(form.values))
    for wrong in (raw[: data.draw(st.integers(0, len(raw) - 1))], raw + b"\0", raw + b"\xc0"):
        with pytest.raises(wire.WireError):
            form.decode(wrong)


@every_format
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc1",
        b"\x91" * 100_000,
        b"\x81\xa0" * 50_000,
        b"\xdd\xff\xff\xff\xff",
        b"\x93\xdd\xff\xff\xff\xff",
        b"\x92\x05\xdd\xff\xff\xff\xff" + b"\xc4\x00" * 100,
        b"\xc6\xff\xff\xff\xff",
        b"\x92\x05\x91\xc6\xff\xff\xff\xff",
        b"\xc7\x0c\xff" + bytes(12),
        b"\xdb\xff\xff\xff\xff",
        b"\xa2\xff\xff",
    ],
    ids=range(12),
)
def test_bombs_are_refused(form: Format, raw: bytes) -> None:
    with pytest.raises(wire.WireError):
        form.decode(raw)


def changed(value: list[Any], place: int, new: object) -> bytes:
    return pack([*value[:place], new, *value[place + 1 :]])


HEADER_FIELDS: list[Any] = msgspec.msgpack.decode(wire.encode_header(HEADER))
VOTE_FIELDS: list[Any] = msgspec.msgpack.decode(wire.encode_vote(PRECOMMIT))
PROPOSAL_FIELDS: list[Any] = msgspec.msgpack.decode(wire.encode_proposal(PROPOSAL))
CERTIFICATE_FIELDS: list[Any] = msgspec.msgpack.decode(wire.encode_certificate(CERTIFICATE))
BLOCK_FIELDS: list[Any] = msgspec.msgpack.decode(wire.encode_block(BLOCK))
EVIDENCE_FIELDS: list[Any] = msgspec.msgpack.decode(wire.encode_evidence(EVIDENCE))
PROPOSALS_FIELDS: list[Any] = msgspec.msgpack.decode(wire.encode_evidence(TWO_PROPOSALS))


def swapped(evidence: list[Any]) -> list[Any]:
    return [evidence[0], evidence[2], evidence[1]]


def second(evidence: list[Any], place: int, new: object) -> bytes:
    """The evidence with one field of its second message changed."""
    other = [*evidence[2][:place], new, *evidence[2][place + 1 :]]
    return pack([*evidence[:2], other])


WRONG: list[tuple[str, Any, bytes]] = [
    ("header version", wire.decode_header, changed(HEADER_FIELDS, 0, 2)),
    ("header version true", wire.decode_header, changed(HEADER_FIELDS, 0, True)),
    ("no chain id", wire.decode_header, changed(HEADER_FIELDS, 1, "")),
    ("long network", wire.decode_header, changed(HEADER_FIELDS, 2, "n" * 65)),
    ("height 0", wire.decode_header, changed(HEADER_FIELDS, 3, 0)),
    ("height as float", wire.decode_header, changed(HEADER_FIELDS, 3, 2.0)),
    ("height as text", wire.decode_header, changed(HEADER_FIELDS, 3, "2")),
    ("height beyond", wire.decode_header, changed(HEADER_FIELDS, 3, 2**53)),
    ("time before 1970", wire.decode_header, changed(HEADER_FIELDS, 4, -1)),
    ("short parent", wire.decode_header, changed(HEADER_FIELDS, 5, b"p" * 31)),
    ("long parent", wire.decode_header, changed(HEADER_FIELDS, 5, b"p" * 33)),
    ("parent as text", wire.decode_header, changed(HEADER_FIELDS, 5, "p" * 32)),
    ("many transactions", wire.decode_header, changed(HEADER_FIELDS, 11, 2**17 + 1)),
    ("field missing", wire.decode_header, pack(HEADER_FIELDS[:-1])),
    ("field too many", wire.decode_header, pack([*HEADER_FIELDS, 0])),
    ("vote type 3", wire.decode_vote, changed(VOTE_FIELDS, 0, 3)),
    ("vote type 0", wire.decode_vote, changed(VOTE_FIELDS, 0, 0)),
    ("vote for nothing", wire.decode_vote, changed(VOTE_FIELDS, 3, b"")),
    ("round -1", wire.decode_vote, changed(VOTE_FIELDS, 2, -1)),
    ("round beyond", wire.decode_vote, changed(VOTE_FIELDS, 2, 2**31)),
    ("unsigned", wire.decode_vote, changed(VOTE_FIELDS, 5, b"")),
    ("long signature", wire.decode_vote, changed(VOTE_FIELDS, 5, bytes(129))),
    ("long vote", wire.decode_vote, changed(VOTE_FIELDS, 5, bytes(5000))),
    ("valid round -2", wire.decode_proposal, changed(PROPOSAL_FIELDS, 2, -2)),
    ("valid round not before", wire.decode_proposal, changed(PROPOSAL_FIELDS, 2, PROPOSAL.round)),
    ("no block", wire.decode_proposal, changed(PROPOSAL_FIELDS, 3, None)),
    ("nobody signed", wire.decode_certificate, changed(CERTIFICATE_FIELDS, 3, [])),
    ("order", wire.decode_certificate, changed(CERTIFICATE_FIELDS, 3, [["v2", b"s"], ["v1", b"s"]])),
    ("one twice", wire.decode_certificate, changed(CERTIFICATE_FIELDS, 3, [["v1", b"s"], ["v1", b"s"]])),
    (
        "too many",
        wire.decode_certificate,
        changed(CERTIFICATE_FIELDS, 3, [[f"v{n:04}", b"s"] for n in range(257)]),
    ),
    ("empty transaction", wire.decode_block, changed(BLOCK_FIELDS, 1, [b""])),
    ("transaction as text", wire.decode_block, changed(BLOCK_FIELDS, 1, ["tx"])),
    ("large transaction", wire.decode_block, changed(BLOCK_FIELDS, 1, [bytes(4 * 2**20 + 1)])),
    ("many in a block", wire.decode_block, changed(BLOCK_FIELDS, 1, [b"t"] * (2**17 + 1))),
    ("large block", wire.decode_block, changed(BLOCK_FIELDS, 1, [bytes(2**22)] * 4)),
    ("kind 0", wire.decode_message, pack([0, 1])),
    ("kind 10", wire.decode_message, pack([10, 1])),
    ("no evidence", wire.decode_message, pack([9, []])),
    ("much evidence", wire.decode_message, pack([9, [EVIDENCE_FIELDS] * 65])),
    ("evidence that is none, sent", wire.decode_message, pack([9, [swapped(EVIDENCE_FIELDS)]])),
    ("evidence of kind 3", wire.decode_evidence, changed(EVIDENCE_FIELDS, 0, 3)),
    ("evidence swapped", wire.decode_evidence, pack(swapped(EVIDENCE_FIELDS))),
    ("evidence of one block", wire.decode_evidence, pack([1, EVIDENCE_FIELDS[1], EVIDENCE_FIELDS[1]])),
    ("evidence, other type", wire.decode_evidence, second(EVIDENCE_FIELDS, 0, 1)),
    ("evidence, other height", wire.decode_evidence, second(EVIDENCE_FIELDS, 1, 3)),
    ("evidence, other round", wire.decode_evidence, second(EVIDENCE_FIELDS, 2, 301)),
    ("evidence, other validator", wire.decode_evidence, second(EVIDENCE_FIELDS, 4, "v3")),
    ("evidence, unsigned", wire.decode_evidence, second(EVIDENCE_FIELDS, 5, b"")),
    ("evidence, vote and proposal", wire.decode_evidence, pack([1, VOTE_FIELDS, PROPOSAL_FIELDS])),
    ("evidence of proposals swapped", wire.decode_evidence, pack(swapped(PROPOSALS_FIELDS))),
    ("evidence of proposals, other proposer", wire.decode_evidence, second(PROPOSALS_FIELDS, 4, "v3")),
    ("evidence of proposals, wrong valid round", wire.decode_evidence, second(PROPOSALS_FIELDS, 2, 4)),
    ("kind as text", wire.decode_message, pack(["2", 1])),
    ("no request", wire.decode_message, pack([7, 1, 0])),
    ("large request", wire.decode_message, pack([7, 1, 65])),
    ("no transactions", wire.decode_message, pack([5, []])),
    ("many transactions in a message", wire.decode_message, pack([5, [b"t"] * 4097])),
    ("many voters", wire.decode_message, pack([6, 1, 0, True, ["v"] * 257, []])),
    ("many blocks", wire.decode_message, pack([8, [[b"b", CERTIFICATE_FIELDS]] * 65])),
    ("large message", wire.decode_message, pack([5, [bytes(2**22)] * 5])),
]


@pytest.mark.parametrize(("decode", "raw"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_out_of_bounds_is_refused(decode: Any, raw: bytes) -> None:  # noqa: ANN401 - any decoder
    with pytest.raises(wire.WireError, match=r"^\w+: .{5,}"):
        decode(raw)


def test_the_longest_way_to_write_a_number_is_refused() -> None:
    raw = wire.encode_message(wire.StatusMsg(7))
    assert raw == b"\x93\x02\x07\x01"
    assert wire.decode_message(raw) == wire.StatusMsg(7)
    for longer in (
        b"\x92\x02\x07",
        b"\x93\x02\xcc\x07\x01",
        b"\x93\x02\xcd\x00\x07\x01",
        b"\xdc\x00\x03\x02\x07\x01",
        b"\x93\xd0\x02\x07\x01",
    ):
        with pytest.raises(wire.WireError, match="shortest"):
            wire.decode_message(longer)


def test_what_peers_would_refuse_is_not_encoded() -> None:
    with pytest.raises(wire.WireError, match="allowed: 16777216"):
        wire.encode_block(wire.Block(HEADER, (bytes(2**22),) * 4, None))
    with pytest.raises(wire.WireError, match="TxMsg: found"):
        wire.encode_message(wire.TxMsg((bytes(2**22),) * 5))


def test_a_block_of_the_greatest_size_fits_into_a_message() -> None:
    rest = len(wire.encode_block(wire.Block(HEADER, (bytes(2**22 - 1),) * 3 + (b"t" * 70_000,), CERTIFICATE)))
    last = bytes(wire.MAX_BLOCK_BYTES - rest + 70_000)
    raw = wire.encode_block(wire.Block(HEADER, (bytes(2**22 - 1),) * 3 + (last,), CERTIFICATE))
    assert len(raw) == wire.MAX_BLOCK_BYTES
    for message in (wire.ProposalMsg(PROPOSAL, raw), wire.BlockResponse(((raw, CERTIFICATE),))):
        assert wire.decode_message(wire.encode_message(message)) == message
