"""Bytes in, typed values out: what is hashed, signed, stored and sent, with a strict limit on everything."""

from provnode.wire.blocks import (
    Block,
    Header,
    decode_block,
    decode_certificate,
    encode_block,
    encode_certificate,
    validators_hash,
)
from provnode.wire.errors import WireError
from provnode.wire.limits import MAX_BLOCK_BYTES, MAX_FRAME_BYTES, MAX_TX_BYTES
from provnode.wire.messages import (
    BlockRequest,
    BlockResponse,
    Hello,
    Message,
    ProposalMsg,
    RoundState,
    StatusMsg,
    TxMsg,
    VoteMsg,
    decode_message,
    encode_message,
)
from provnode.wire.signing import precommit_sign_bytes, proposal_sign_bytes, vote_sign_bytes

__all__ = [
    "MAX_BLOCK_BYTES",
    "MAX_FRAME_BYTES",
    "MAX_TX_BYTES",
    "Block",
    "BlockRequest",
    "BlockResponse",
    "Header",
    "Hello",
    "Message",
    "ProposalMsg",
    "RoundState",
    "StatusMsg",
    "TxMsg",
    "VoteMsg",
    "WireError",
    "decode_block",
    "decode_certificate",
    "decode_message",
    "encode_block",
    "encode_certificate",
    "encode_message",
    "precommit_sign_bytes",
    "proposal_sign_bytes",
    "validators_hash",
    "vote_sign_bytes",
]
