"""A small chain for tests: four validators, two organisations that submit, and what makes blocks of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provnode import wire
from provnode.core.types import Certificate, CommitSig
from provnode.crypto.provider import PrivateKey, Provider, get_provider
from provnode.ledger.app import Committed, Ledger
from provnode.ledger.canonical import Json, JsonObject
from provnode.ledger.errors import TxError
from provnode.ledger.genesis import Genesis, parse_genesis
from provnode.ledger.objects import PROTOCOL
from provnode.ledger.transactions import sign_transaction
from provnode.storage.store import Store

TIME_MS = 1_770_000_000_000
SCHEMAS: JsonObject = {
    "note": {
        "type": "object",
        "required": ["title"],
        "additionalProperties": False,
        "properties": {
            "title": {"type": "string", "maxLength": 100_000},
            "amount": {"type": "integer"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "place": {
                "type": "object",
                "required": ["city"],
                "properties": {"city": {"type": "string"}, "street": {"type": "string"}},
            },
        },
    },
    "blob": {"type": "object"},
}


def item(
    object_id: str = "o-1",
    version: int = 0,
    operation: str = "create",
    body: JsonObject | None = None,
    *,
    kind: str = "note",
    timestamp: int = TIME_MS // 1000,
    **header: Json,
) -> dict[str, Any]:
    """A JR/T 0314 object."""
    return {
        "header": {
            "model": {"protocol": PROTOCOL, "version": "1.0"},
            "content": {
                "type": kind,
                "object_id": object_id,
                "version": version,
                "operation": operation,
                "timestamp": timestamp,
            },
            **header,
        },
        "body": {"title": "一"} if body is None else body,
    }


@dataclass
class Chain:
    """Keys and genesis; makes transactions, certificates and ledgers."""

    schemas: JsonObject = field(default_factory=lambda: SCHEMAS)
    network: str = "test"
    max_block_bytes: int = 1_000_000
    max_tx_bytes: int = 262_144
    provider: Provider = field(default_factory=lambda: get_provider("openssl"))

    def __post_init__(self) -> None:
        organisations = ("zjex", "zjfin", "zjdata", "zjcsd")
        self.keys: dict[str, PrivateKey] = {f"v{n}": self.provider.generate() for n in range(1, 5)}
        signers = ("a1@zjex", "a2@zjex", "m1@zjfin", "m2@zjdata", "m3@zjcsd")
        self.signers: dict[str, PrivateKey] = {name: self.provider.generate() for name in signers}
        self.document: dict[str, Any] = {
            "format": 1,
            "network": self.network,
            "chain_id": "zhejiang",
            "time_ms": TIME_MS,
            "organisations": [
                {"name": name, "title": name, "uscc": "91330000000000000X", "role": "operator"}
                for name in organisations
            ],
            "validators": [
                {"name": name, "organisation": organisation, "public_key": self._public(key), "power": 1}
                for (name, key), organisation in zip(self.keys.items(), organisations, strict=True)
            ],
            "signers": [
                {"id": name, "organisation": name.split("@")[1], "public_key": self._public(key)}
                for name, key in self.signers.items()
            ],
            "params": {
                "max_block_bytes": self.max_block_bytes,
                "max_tx_bytes": self.max_tx_bytes,
                "block_interval_ms": 1000,
                "propose_timeout_ms": 1500,
                "vote_timeout_ms": 800,
                "timeout_delta_ms": 500,
            },
            "schemas": self.schemas,
        }
        self.genesis: Genesis = parse_genesis(self.document)

    def _public(self, key: PrivateKey) -> str:
        return self.provider.public_key(key).hex()

    def ledger(self, path: Path) -> Ledger:
        return Ledger(Store(path), self.genesis, self.provider)

    def tx(self, body: Json, signer: str = "a1@zjex", kind: str = "object") -> bytes:
        """A signed transaction."""
        return sign_transaction(self.provider, self.signers[signer], signer, self.genesis.hash, kind, body)[0]

    def certificate(
        self, raw: bytes, names: Sequence[str] = ("v1", "v2", "v3"), round_: int = 0
    ) -> Certificate:
        """A commit certificate for an encoded block."""
        block = wire.decode_block(raw)
        unsigned = Certificate(block.header.height, round_, block.block_id, ())
        message = wire.precommit_sign_bytes(self.genesis.hash, unsigned)
        signatures = tuple(CommitSig(name, self.provider.sign(self.keys[name], message)) for name in names)
        return Certificate(block.header.height, round_, block.block_id, signatures)

    def extend(self, ledger: Ledger, *bodies: dict[str, Any], raws: Sequence[bytes] = ()) -> Committed:
        """Commit one block with these objects, each signed by a1@zjex; every one of them must apply."""
        txs = [*raws, *(self.tx(body) for body in bodies)]
        raw = ledger.build_block(ledger.last_time_ms + 1000, "v1", txs)
        committed = ledger.commit(raw, self.certificate(raw))
        assert len(committed.txids) == len(txs)
        return committed


def refused(chain: Chain, ledger: Ledger, body: dict[str, Any], signer: str = "a1@zjex") -> TxError:
    """The refusal of an object, by check_tx and by a block alike."""
    raw = chain.tx(body, signer)
    try:
        ledger.check_tx(raw, ledger.last_time_ms)
    except TxError as error:
        block = ledger.build_block(ledger.last_time_ms + 1, "v1", [raw])
        assert ledger.validate_block(block, 2**50).txs == ()
        return error
    raise AssertionError("the object was accepted")
