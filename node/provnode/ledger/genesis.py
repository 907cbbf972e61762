"""The genesis document: what every node of a chain must agree on before the first block.

genesis_hash = digest("provnode.genesis", canonical JSON). It goes into every transaction and vote, so none
can be carried to another chain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from provnode.core.types import Validator, ValidatorSet
from provnode.crypto.hashing import digest
from provnode.ledger.canonical import CanonicalError, Json, decode, encode
from provnode.ledger.errors import GenesisError
from provnode.ledger.lifecycle import Schemas
from provnode.wire import MAX_BLOCK_BYTES, MAX_POWER, MAX_TX_BYTES, MAX_VALIDATORS

# bytes of a block beside its transactions: header, frames, and one signature a validator
_HEADER_ROOM = 1_024
_SIGNATURE_ROOM = 300
# the frame of a transaction in a block (MessagePack bin 32)
TX_FRAME = 5
_Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9._-]{0,63}$")]
_PublicKey = Annotated[str, Meta(pattern="^04[0-9a-f]{128}$")]
_Milliseconds = Annotated[int, Meta(ge=1, le=3_600_000)]
SIGNER_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}@[a-z0-9][a-z0-9._-]{0,63}")


class Organisation(Struct, frozen=True, forbid_unknown_fields=True):
    """A member of the chain; `uscc` is its unified social credit code (GB 32100).

    `ca` is the SM2 key that signs its certificates and revocation lists; without it, the chain takes none.
    """

    name: _Name
    title: str
    uscc: Annotated[str, Meta(pattern="^[0-9A-Z]{18}$")]
    role: str
    ca: Annotated[str, Meta(pattern="^(04[0-9a-f]{128})?$")] = ""


class _Validator(Struct, frozen=True, forbid_unknown_fields=True):
    name: _Name
    organisation: _Name
    public_key: _PublicKey
    power: Annotated[int, Meta(ge=1, le=MAX_POWER)]


class _Signer(Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    organisation: _Name
    public_key: _PublicKey


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits in bytes, times in milliseconds."""

    max_block_bytes: Annotated[int, Meta(ge=1024, le=MAX_BLOCK_BYTES)]
    max_tx_bytes: Annotated[int, Meta(ge=512, le=MAX_TX_BYTES)]
    block_interval_ms: _Milliseconds
    propose_timeout_ms: _Milliseconds
    vote_timeout_ms: _Milliseconds
    timeout_delta_ms: _Milliseconds


class _Document(Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    network: _Name
    chain_id: _Name
    time_ms: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    organisations: list[Organisation]
    validators: list[_Validator]
    signers: list[_Signer]
    params: Params
    schemas: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Signer:
    """Who may sign transactions. `founding` signers act for their organisation and may register users."""

    id: str
    organisation: str
    public_key: bytes
    founding: bool


@dataclass(frozen=True, slots=True)
class Genesis:
    """A checked genesis."""

    hash: bytes
    network: str
    chain_id: str
    time_ms: int
    organisations: dict[str, Organisation]
    validators: ValidatorSet
    signers: dict[str, Signer]
    params: Params
    schemas: Schemas
    document: dict[str, Json]

    def block_room(self, validators: int) -> int:
        """How many bytes of a block its transactions may take, next to so many validators' signatures."""
        return _room(self.params, validators)

    @property
    def most_validators(self) -> int:
        """How many validators may sign a block that still has room for the largest transaction."""
        spare = self.block_room(0) - self.params.max_tx_bytes - TX_FRAME
        return min(MAX_VALIDATORS, spare // _SIGNATURE_ROOM)


def load_genesis(path: Path) -> Genesis:
    """Read and check a genesis file. Raises GenesisError."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise GenesisError(f"{path}: {error.strerror}") from error
    try:
        return parse_genesis(decode(raw))
    except (CanonicalError, GenesisError) as error:
        raise GenesisError(f"{path}: {error}") from error


def parse_genesis(document: Json) -> Genesis:
    """Check a genesis document (any spelling of the JSON). Raises GenesisError naming the key."""
    try:
        found = msgspec.convert(document, _Document)
        canonical = encode(document)
    except (msgspec.ValidationError, CanonicalError) as error:
        raise GenesisError(str(error)) from error
    if found.format != 1:
        raise GenesisError(f"format: found {found.format}, allowed: 1")
    organisations = {item.name: item for item in found.organisations}
    _unique("organisations", (item.name for item in found.organisations))
    _unique("validators", (item.name for item in found.validators))
    _unique("signers", (item.id for item in found.signers))
    _unique(
        "public_key",
        (item.public_key for items in (found.validators, found.signers) for item in items),
    )
    members = (item.organisation for items in (found.validators, found.signers) for item in items)
    for name in members:
        if name not in organisations:
            raise GenesisError(f"organisation: found {name!r}, allowed: {sorted(organisations)}")
    room = _room(found.params, len(found.validators))
    if found.params.max_tx_bytes + TX_FRAME > room:
        raise GenesisError(f"params.max_tx_bytes: a block has room for {room} bytes of transactions")
    if not found.validators:
        raise GenesisError("validators: found none, at least one is needed")
    return Genesis(
        hash=digest(b"provnode.genesis", canonical),
        network=found.network,
        chain_id=found.chain_id,
        time_ms=found.time_ms,
        organisations=organisations,
        validators=ValidatorSet(
            tuple(
                Validator(v.name, v.organisation, bytes.fromhex(v.public_key), v.power)
                for v in found.validators
            )
        ),
        signers={item.id: _signer(item) for item in found.signers},
        params=found.params,
        schemas=Schemas(found.schemas, found.params.max_tx_bytes),
        document=document if isinstance(document, dict) else {},
    )


def _room(params: Params, validators: int) -> int:
    return params.max_block_bytes - _HEADER_ROOM - _SIGNATURE_ROOM * validators


def _signer(item: _Signer) -> Signer:
    if not SIGNER_ID.fullmatch(item.id) or not item.id.endswith("@" + item.organisation):
        raise GenesisError(f"signers.id: found {item.id!r}, allowed: <name>@{item.organisation}")
    return Signer(item.id, item.organisation, bytes.fromhex(item.public_key), founding=True)


def _unique(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise GenesisError(f"{what}: found {name!r} twice, each once is allowed")
        seen.add(name)
