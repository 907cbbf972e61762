"""Whether a certificate commits a block."""

from __future__ import annotations

from provnode import wire
from provnode.core.types import Certificate, ValidatorSet
from provnode.crypto.provider import Provider
from provnode.ledger.errors import BlockError


def check_certificate(
    certificate: Certificate,
    height: int,
    block_id: bytes,
    validators: ValidatorSet,
    genesis_hash: bytes,
    provider: Provider,
) -> None:
    """More than two thirds of the power signed a precommit for this block, and every signature holds.

    Raises BlockError naming what does not.
    """
    if (certificate.height, certificate.block_id) != (height, block_id):
        raise BlockError(f"certificate: not for block {block_id.hex()} at height {height}")
    message = wire.precommit_sign_bytes(genesis_hash, certificate)
    names: list[str] = []
    power = 0
    items: list[tuple[bytes, bytes, bytes]] = []
    for entry in certificate.signatures:
        validator = validators.get(entry.validator)
        if validator is None:
            raise BlockError(f"certificate: {entry.validator[:64]!r} is no validator")
        if names and entry.validator <= names[-1]:
            raise BlockError("certificate: signatures are not one a validator in ascending order")
        names.append(entry.validator)
        power += validator.power
        items.append((validator.public_key, message, entry.signature))
    if power < validators.quorum:
        raise BlockError(f"certificate: power {power} signed, {validators.quorum} is needed")
    for name, held in zip(names, provider.verify_batch(items), strict=True):
        if not held:
            raise BlockError(f"certificate: the signature of {name} does not hold")
