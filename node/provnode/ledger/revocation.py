"""Revocation lists on the chain: which of an organisation's certificates count no more.

A `revocation` transaction carries {"organisation", "crl"}: an X.509 CRL (RFC 5280 section 5), DER in base64,
signed by a founding signer of the same organisation. The list itself must be signed with SM2 and SM3 by the
organisation's CA, whose public key the genesis lists; so neither a stolen signer's key alone nor a stolen
CA key alone cuts a node off. Its number (section 5.2.3) must grow: an older list can't undo a newer one.
A new list replaces the one before it.
"""

from __future__ import annotations

import base64
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from provnode.crypto.crl import RevocationList, read_crl
from provnode.ledger.canonical import JsonObject
from provnode.ledger.errors import TxCode, TxError

STATE_KIND = "revocation"


class _Body(Struct, frozen=True, forbid_unknown_fields=True):
    organisation: Annotated[str, Meta(max_length=64)]
    crl: str


def revocation_body(found: RevocationList) -> JsonObject:
    """The body of a `revocation` transaction."""
    return {"organisation": found.organisation, "crl": base64.b64encode(found.der).decode("ascii")}


def parse_revocation(body: JsonObject) -> RevocationList:
    """Check the form of a revocation. Raises TxError."""
    try:
        given = msgspec.convert(body, _Body)
        der = base64.b64decode(given.crl, validate=True)
        if base64.b64encode(der).decode("ascii") != given.crl:
            raise ValueError("crl: not base64 in its one form")
    except ValueError as error:
        raise TxError(TxCode.MALFORMED, f"body: {error}") from error
    try:
        found = read_crl(der, given.organisation)
        if found.der != der:
            raise ValueError("not DER")
    except ValueError as error:
        raise TxError(TxCode.BAD_CRL, f"crl: {error}") from error
    return found
