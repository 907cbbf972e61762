"""Keys, signatures and certificates of others; both providers must judge them alike."""

from __future__ import annotations

import base64
import io
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from provnode.cli.keys import load_key
from provnode.cli.main import RefusalError
from provnode.crypto import CryptoError, get_provider
from provnode.crypto.hashing import digest, pack
from provnode.crypto.pkcs11 import _parse, _point
from provnode.crypto.sealed import PURPOSES, Kek, open_key, public_of, seal_key
from provnode.crypto.spki import point_of, public_pem
from provnode.ledger.canonical import encode
from provnode.ledger.checks import Checker
from provnode.ledger.errors import TxError
from provnode.ledger.genesis import Signer
from provnode.ledger.transactions import KIND_OBJECT, transaction_sign_bytes
from provnode.net.errors import IdentityError, TlsError
from provnode.net.identity import Identity, _der, _reading
from provnode.storage import envelope
from provnode.storage.errors import StoreError
from tests.crypto.conformance import (
    EXAMPLE_KEY,
    EXAMPLE_MESSAGE,
    EXAMPLE_R,
    EXAMPLE_S,
    SEAL_AAD,
    SEAL_KEY,
    SEALED,
)
from tests.crypto.conformance import der as signature_of
from tests.fuzz.certificates import CA, CERTIFICATE
from tests.fuzz.target import Target
from tests.fuzz.world import PROVIDER, genesis, item, point, scratch
from tests.support.pki import Ca, make_ca

_BOTH = (get_provider("native"), get_provider("openssl"))
_KEK = Kek(bytes(16), PROVIDER)
# GB/T 32918.5-2017, annex A.2: the example's private key
_EXAMPLE_D = bytes.fromhex("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8")
_URI = b"pkcs11:token=a%20token;object=key?module-path=/usr/lib/x.so&pin-source=pin&x-sm2-sign=0x80000211\n"


class RefusedError(Exception):
    """The bytes are not even of the target's own form."""


def _pem() -> bytes:
    """The example's key in PKCS#8 (RFC 5958) with the curve's key inside (RFC 5915)."""
    inner = bytes.fromhex("306b0201010420") + _EXAMPLE_D + bytes.fromhex("a144034200") + EXAMPLE_KEY
    algorithm = bytes.fromhex("301306072a8648ce3d020106082a811ccf5501822d")
    body = bytes.fromhex("020100") + algorithm + b"\x04" + bytes([len(inner)]) + inner
    text = base64.b64encode(b"\x30\x81" + bytes([len(body)]) + body)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return b"\n".join((b"-----BEGIN PRIVATE KEY-----", *lines, b"-----END PRIVATE KEY-----", b""))


def _private(raw: bytes) -> None:
    answers: list[bytes | None] = []
    for provider in _BOTH:
        try:
            answers.append(provider.public_key(provider.load_private(raw)))
        except CryptoError:
            answers.append(None)
    # each takes some spellings of a PEM that the other doesn't; none is another key to one of them
    found = set(answers) - {None}
    assert len(found) <= 1, f"{found}"
    if not found:
        raise RefusedError("no key")


def _parts(raw: bytes, count: int) -> list[bytes]:
    try:
        found = msgspec.msgpack.decode(raw, type=list[bytes])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError("no byte strings") from error
    if len(found) != count:
        raise RefusedError("not so many byte strings")
    return found


def _signature(raw: bytes) -> None:
    public, message, signature = _parts(raw, 3)
    verdicts = {provider.verify(public, message, signature) for provider in _BOTH}
    verdicts |= {provider.verify_batch([(public, message, signature)])[0] for provider in _BOTH}
    assert len(verdicts) == 1, "the providers disagree"
    if verdicts == {False}:
        raise RefusedError("does not hold")


@cache
def _checkers() -> tuple[Checker, Checker]:
    """One with the native library's own reader, one without; every signer has the example's key."""
    signer = Signer("s@zjex", "zjex", EXAMPLE_KEY, founding=True)
    quick, full = (Checker(genesis(), one, lambda _: signer, lambda _: None) for one in _BOTH)
    assert quick._quick is not None
    assert full._quick is None
    quick._quick.learn(signer)
    return quick, full


def _read_quickly(raw: bytes) -> None:
    """A transaction as it is, and one with these bytes as its body; both ways must judge them alike."""
    for given in (raw, _with_body(raw)):
        verdicts = [checker.check([given])[0] for checker in _checkers()]
        quick, full = (
            (one.code, one.message) if isinstance(one, TxError) else (one.tx, one.content) for one in verdicts
        )
        assert quick == full, f"quick: {quick}, full: {full}"
    if isinstance(verdicts[0], TxError):
        raise verdicts[0]


def _with_body(body: bytes) -> bytes:
    """A transaction with any body, signed by the example's key."""
    payload = pack([1, genesis().hash, KIND_OBJECT, body])
    txid = digest(b"provnode.tx", pack([payload, "s@zjex"]))
    key = _BOTH[0].load_private(_pem())
    return pack([payload, "s@zjex", _BOTH[0].sign(key, transaction_sign_bytes(txid))])


def _bodies() -> list[bytes]:
    objects = [item(0, "create", {"title": "一", "amount": 5}), item(1, "update", {"tags": None})]
    bodies = [encode(one) for one in objects]
    for one in objects:
        cast(dict[str, Any], one["header"]).pop("seal")  # nobody made up can have sealed them
    bodies += [encode(one) for one in objects]
    return [*bodies, *map(_with_body, bodies)]


def _envelope(raw: bytes) -> None:
    """A sealed file, up to its last piece."""
    _, pieces = envelope.unseal(io.BytesIO(raw), _BOTH[1].load_private(_pem()), PROVIDER)
    assert sum(map(len, pieces)) <= len(raw)


@cache
def _envelopes() -> list[bytes]:
    found = []
    for plain in (b"", b"what is inside"):
        target = io.BytesIO()
        envelope.seal(io.BytesIO(plain), target, EXAMPLE_KEY, b"a note", PROVIDER)
        found.append(target.getvalue())
    return found


def _public_pem(raw: bytes) -> None:
    found = point_of(raw)
    assert point_of(public_pem(found).encode()) == found


def _opened(raw: bytes) -> None:
    key, sealed, aad = _parts(raw, 3)
    answers: set[bytes | None] = set()
    for provider in _BOTH:
        try:
            answers.add(provider.open(key, sealed, aad))
        except CryptoError:
            answers.add(None)
    assert len(answers) == 1, "the providers disagree"
    if answers == {None}:
        raise RefusedError("does not open")


def _sealed_key(raw: bytes) -> None:
    path = scratch() / "key"
    path.write_bytes(raw)
    path.chmod(0o600)
    with suppress(RefusalError):
        load_key(path, _BOTH[0], "consensus", _KEK)
    told = public_of(raw)
    for purpose in PURPOSES:
        if told is None:
            assert open_key(raw, purpose, None) == raw
    if told is not None:
        open_key(raw, "consensus", _KEK)


def _uri(raw: bytes) -> None:
    told = _parse(raw)
    assert 0 <= int(told["x-sm2-sign"], 0) < 2**32


def _token_point(raw: bytes) -> None:
    assert len(_point(raw)) == 65


def _peer_certificate(raw: bytes) -> None:
    """A certificate that an organisation's CA has signed, whatever is in it."""
    try:
        certificate = x509.load_der_x509_certificate(raw)
    except (ValueError, x509.InvalidVersion) as error:
        raise RefusedError("no certificate") from error
    root = x509.load_der_x509_certificate(CA)
    holder = cast(Any, SimpleNamespace(organisations={"zjex"}))
    with _reading():
        found = Identity._identify(holder, certificate, root, ExtendedKeyUsageOID.CLIENT_AUTH, {"zjex": CA})
    assert found.organisation == "zjex"


@cache
def _pki() -> tuple[Path, Path, Ca]:
    """Key and certificate of a node, and the CA that issued it, made by the openssl command."""
    ca = make_ca(scratch() / "ca", "zjex")
    return *ca.issue(scratch() / "issued", "v1"), ca


def _identity(raw: bytes) -> None:
    """The files of a node's identity as somebody may have left them: certificate, CA and list."""
    certificate, trusted, revoked = _parts(raw, 3)
    key, _, _ = _pki()
    folder = scratch() / "identity"
    trust = folder / "trust"
    trust.mkdir(parents=True, exist_ok=True)
    (folder / "cert.pem").write_bytes(certificate)
    (trust / "zjex.pem").write_bytes(trusted)
    (trust / "zjex.crl").write_bytes(revoked)
    Identity(key, folder / "cert.pem", trust, {"zjex"})


def _identities() -> list[bytes]:
    _, certificate, ca = _pki()
    return [pack([certificate.read_bytes(), ca.pem.read_bytes(), ca.revoke()])]


TARGETS = (
    Target("private_key", _private, (RefusedError,), lambda: [_pem()]),
    Target("key_pem", _der, (ValueError,), lambda: [_pem()]),
    Target(
        "signature",
        _signature,
        (RefusedError,),
        lambda: [pack([EXAMPLE_KEY, EXAMPLE_MESSAGE, signature_of(EXAMPLE_R, EXAMPLE_S)])],
        "msgpack",
    ),
    Target("quick", _read_quickly, (TxError,), _bodies, "json"),
    Target("sealed", _opened, (RefusedError,), lambda: [pack([SEAL_KEY, SEALED, SEAL_AAD])], "msgpack"),
    Target(
        "sealed_key",
        _sealed_key,
        (CryptoError,),
        lambda: [seal_key(_KEK, "consensus", point("v1"), b"a PEM"), _pem(), _URI],
    ),
    Target("envelope", _envelope, (StoreError,), _envelopes),
    Target("public_pem", _public_pem, (CryptoError,), lambda: [public_pem(EXAMPLE_KEY).encode()]),
    Target("token_uri", _uri, (CryptoError,), lambda: [_URI]),
    Target("token_point", _token_point, (CryptoError,), lambda: [point("v1"), b"\x04\x41" + point("v1")]),
    Target("identity", _identity, (RefusedError, IdentityError), _identities, "msgpack"),
    Target("peer_certificate", _peer_certificate, (RefusedError, TlsError), lambda: [CERTIFICATE]),
)
