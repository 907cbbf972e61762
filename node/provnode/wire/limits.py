"""Sizes, counts and ranges of everything that comes from outside; one home for each figure."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

MIB = 1024 * 1024
# JR/T 0314 clause 7: a block is at most 16 MB
MAX_BLOCK_BYTES = 16 * MIB
MAX_TX_BYTES = 4 * MIB
# a block with its certificate, and what frames them
MAX_FRAME_BYTES = MAX_BLOCK_BYTES + MIB
# a transaction takes some 130 bytes even when it carries nothing
MAX_TXS = 131_072
# the first bytes of a transaction's Merkle leaf hash, by which a compact block names it
NAME_BYTES = 16
MAX_VALIDATORS = 256
MAX_SIGNATURE_BYTES = 128
# transactions in one message, blocks in one request
MAX_GOSSIP_TXS = 4_096
MAX_GOSSIP_BLOCKS = 64
MAX_GOSSIP_EVIDENCE = 64
MAX_POWER = 1_000_000
MAX_HEIGHT = 2**53 - 1
MAX_ROUND = 2**31 - 1

Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Height = Annotated[int, Meta(ge=1, le=MAX_HEIGHT)]
# 0 before the first block
KnownHeight = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]
Round = Annotated[int, Meta(ge=0, le=MAX_ROUND)]
ValidRound = Annotated[int, Meta(ge=-1, le=MAX_ROUND)]
Milliseconds = Annotated[int, Meta(ge=0, le=2**53 - 1)]
TxCount = Annotated[int, Meta(ge=0, le=MAX_TXS)]
Signature = Annotated[bytes, Meta(min_length=1, max_length=MAX_SIGNATURE_BYTES)]
Tx = Annotated[bytes, Meta(min_length=1, max_length=MAX_TX_BYTES)]
# an uncompressed point of SM2's curve
PublicKey = Annotated[bytes, Meta(min_length=65, max_length=65)]
Power = Annotated[int, Meta(ge=1, le=MAX_POWER)]
BlockBytes = Annotated[bytes, Meta(min_length=1, max_length=MAX_BLOCK_BYTES)]
