"""Certificate revocation lists (X.509, RFC 5280 section 5), signed with SM2 and SM3.

PyPI cryptography takes them apart, but can't verify an SM2 signature: that is the provider's part, with the
CA's public key.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

MOST_REVOKED = 65_536
_SM2_WITH_SM3 = "1.2.156.10197.1.501"
_PEM = b"-----BEGIN X509 CRL-----"


@dataclass(frozen=True, slots=True)
class RevocationList:
    """An organisation's list. The CA's `signature` is over `signed`; `serials` are those revoked."""

    organisation: str
    number: int
    serials: frozenset[int]
    der: bytes
    signed: bytes
    signature: bytes


def read_crl(raw: bytes, organisation: str) -> RevocationList:
    """An organisation's list from DER or PEM; its signature is not verified here. Raises ValueError."""
    try:
        load = x509.load_pem_x509_crl if raw.lstrip().startswith(_PEM) else x509.load_der_x509_crl
        crl = load(raw)
        algorithm = crl.signature_algorithm_oid.dotted_string
        issuers = [name.value for name in crl.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        critical = [e.oid.dotted_string for e in crl.extensions if e.critical]
        if len(crl) > MOST_REVOKED:
            raise ValueError(f"revoked: found {len(crl)}, allowed: up to {MOST_REVOKED}")
        serials = frozenset(one.serial_number for one in crl)
    except x509.ExtensionNotFound as error:
        raise ValueError("has no CRL number") from error
    except ValueError:
        raise
    except Exception as error:
        # of a version, a name or an extension that is none the library says so by errors of many kinds
        raise ValueError(f"can't be read: {error}") from error
    if algorithm != _SM2_WITH_SM3:
        raise ValueError(f"signature: found {algorithm}, allowed: {_SM2_WITH_SM3} (SM2 with SM3)")
    if issuers != [organisation]:
        raise ValueError(f"issuer: found {issuers}, allowed: {organisation}")
    if critical:
        # such as a delta list, or one for some of the certificates only
        raise ValueError(f"critical extensions: found {', '.join(critical)}, allowed: none")
    der = crl.public_bytes(Encoding.DER)
    return RevocationList(organisation, number, serials, der, crl.tbs_certlist_bytes, crl.signature)
