"""SM3 against the standard's own examples and an independent implementation; domains and packing."""

from __future__ import annotations

import pytest
from gmssl import sm3 as other
from hypothesis import given, settings
from hypothesis import strategies as st
from provnode.crypto import get_provider
from provnode.crypto.hashing import digest, pack, sm3

# GB/T 32905-2016, annex A
EXAMPLES = {
    b"abc": "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
    b"abcd" * 16: "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
}


@pytest.mark.parametrize(("data", "expected"), EXAMPLES.items(), ids=["A.1", "A.2"])
def test_the_examples_of_the_standard(data: bytes, expected: str) -> None:
    assert sm3(data).hex() == expected
    assert get_provider("openssl").hash(data).hex() == expected


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200))
def test_an_independent_implementation_agrees(data: bytes) -> None:
    assert sm3(data).hex() == other.sm3_hash(list(data))


@pytest.mark.parametrize("length", [55, 56, 63, 64, 65, 119, 120, 128])
def test_an_independent_implementation_agrees_where_blocks_end(length: int) -> None:
    assert sm3(bytes(length)).hex() == other.sm3_hash([0] * length)


def test_a_digest_is_sm3_of_the_tag_with_its_length_and_the_data() -> None:
    assert digest(b"provnode.tx", b"data") == sm3(b"\x0bprovnode.txdata")


@settings(deadline=None)
@given(st.binary(max_size=8), st.binary(max_size=8), st.binary(max_size=8), st.binary(max_size=8))
def test_no_two_tags_and_data_run_together(tag: bytes, data: bytes, other_tag: bytes, more: bytes) -> None:
    assert (digest(tag, data) == digest(other_tag, more)) == ((tag, data) == (other_tag, more))


def test_a_hash_leaves_nothing_behind_for_the_next() -> None:
    before = sm3(b"")
    digest(b"t", b"d" * 1000)
    assert sm3(b"") == before == bytes.fromhex(other.sm3_hash([]))


def test_what_does_not_fit_is_not_packed() -> None:
    assert pack([1, "a", b"a", None, [-1]]).hex() == "9501a161c40161c091ff"
    with pytest.raises(OverflowError):
        pack([2**64])
