"""Revocation lists on the chain: whose count, in which order, and what becomes of them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from provnode.crypto.crl import read_crl
from provnode.ledger.app import Ledger
from provnode.ledger.errors import TxCode, TxError
from provnode.ledger.genesis import parse_genesis
from provnode.ledger.revocation import revocation_body
from provnode.ledger.transactions import KIND_REGISTER_USER, registration_body
from provnode.light import Trust, verify_state
from tests.ledger.memberkit import Council
from tests.support.pki import SIGN, Ca, make_ca, make_key, openssl


class Certified(Council):
    """A chain whose genesis lists the CA of each organisation but zjcsd; zjex has two certificates."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.cas = {name: make_ca(root / name, name) for name in ("zjex", "zjfin", "zjdata")}
        for one in self.document["organisations"]:
            if one["name"] in self.cas:
                one["ca"] = self.cas[one["name"]].public_key.hex()
        self.genesis = parse_genesis(self.document)
        self.certs = [self.cas["zjex"].issue(root / f"v{n}", f"v{n}")[1] for n in (1, 5)]
        self.serials = [x509.load_pem_x509_certificate(one.read_bytes()).serial_number for one in self.certs]

    def revocation(self, pem: bytes, organisation: str = "zjex", signer: str = "a1@zjex") -> bytes:
        return self.tx(revocation_body(read_crl(pem, organisation)), signer, "revocation")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    return Certified(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def ledger(chain: Certified, tmp_path: Path) -> Ledger:
    return chain.ledger(tmp_path / "s.db")


def refusal(ledger: Ledger, raw: bytes) -> TxError:
    with pytest.raises(TxError) as error:
        ledger.check_tx(raw)
    assert ledger.validate_block(ledger.build_block(1, "v1", [raw]), 2**50).txs == ()
    return error.value


def test_a_list_replaces_the_one_before_it_if_its_number_is_greater(
    chain: Certified, ledger: Ledger, tmp_path: Path
) -> None:
    ca, (first, second) = chain.cas["zjex"], chain.certs
    assert ledger.revoked() == {}
    one, two = ca.revoke(first, number=3), ca.revoke(second, number=7)
    old, same = ca.revoke(number=6), ca.revoke(number=7)
    committed = chain.grow(ledger, chain.revocation(one))
    assert committed.state == {"revocation"}
    assert ledger.revoked() == {"zjex": {chain.serials[0]}}
    committed = chain.grow(ledger, chain.revocation(two, signer="a2@zjex"))
    assert ledger.revoked() == {"zjex": set(chain.serials)}
    for late in (one, old, same):
        error = refusal(ledger, chain.revocation(late, signer="a2@zjex"))
        assert error.code is TxCode.STALE_CRL and "allowed: above 7" in error.message
    chain.grow(ledger, chain.revocation(chain.cas["zjfin"].revoke(number=1), "zjfin", "m1@zjfin"))
    root = ledger.state_root
    ledger.store.close()
    again = chain.ledger(tmp_path / "s.db")
    assert again.revoked() == {"zjex": set(chain.serials), "zjfin": set()} and again.state_root == root
    trust = Trust.of_genesis(chain.document, chain.provider)
    proven = verify_state(again.prove_state("revocation", "zjex"), trust, chain.provider)
    assert read_crl(proven.value, "zjex").serials == set(chain.serials)
    assert again.objects(1) == []
    view: Any = again.transaction(committed.txids[0])
    assert view["operations"] == [{"type": "revocation", "organisation": "zjex", "result": "success"}]


def test_two_lists_in_one_block_are_judged_one_after_the_other(chain: Certified, ledger: Ledger) -> None:
    ca = chain.cas["zjex"]
    lists = [chain.revocation(ca.revoke(number=number)) for number in (1, 3, 2)]
    raw = ledger.build_block(ledger.last_time_ms + 1, "v1", lists)
    assert ledger.validate_block(raw, 2**50).txs == tuple(lists[:2])


def forged(chain: Certified, root: Path) -> bytes:
    """A list of zjex by a CA of the same name with another key."""
    return make_ca(root / "forged", "zjex").revoke(number=9)


def test_only_the_organisations_own_ca_and_founding_signer_count(
    chain: Certified, ledger: Ledger, tmp_path: Path
) -> None:
    good = chain.cas["zjex"].revoke(number=20)
    error = refusal(ledger, chain.revocation(forged(chain, tmp_path)))
    assert error.code is TxCode.BAD_CRL and "not signed by the organisation's CA" in error.message
    error = refusal(ledger, chain.revocation(good, signer="m1@zjfin"))
    assert error.code is TxCode.NOT_PERMITTED and "may not revoke for zjex" in error.message
    other = make_ca(tmp_path / "zjcsd", "zjcsd").revoke(number=1)
    error = refusal(ledger, chain.revocation(other, "zjcsd", "m3@zjcsd"))
    assert error.code is TxCode.NOT_PERMITTED and "lists no CA of zjcsd" in error.message
    chain.signers["u1@zjex"] = key = chain.provider.generate()
    body = registration_body(chain.provider, key, "u1@zjex", chain.genesis.hash)
    chain.grow(ledger, chain.tx(body, kind=KIND_REGISTER_USER))
    error = refusal(ledger, chain.revocation(good, signer="u1@zjex"))
    assert error.code is TxCode.NOT_PERMITTED and "no founding signer" in error.message
    chain.grow(ledger, chain.revocation(good))


def test_what_is_no_list_of_that_organisation_is_refused(
    chain: Certified, ledger: Ledger, tmp_path: Path
) -> None:
    pem = chain.cas["zjex"].revoke(number=30)
    body = revocation_body(read_crl(pem, "zjex"))
    der = base64.b64decode(str(body["crl"]))

    def encoded(raw: bytes) -> str:
        return base64.b64encode(raw).decode()

    other = read_crl(chain.cas["zjfin"].revoke(number=1), "zjfin").der
    for crl, code, text in (
        (encoded(other), TxCode.BAD_CRL, "issuer: found ['zjfin'], allowed: zjex"),
        (encoded(pem), TxCode.BAD_CRL, "not DER"),
        (encoded(der[:-1]), TxCode.BAD_CRL, "crl: "),
        (encoded(der + b"\0"), TxCode.BAD_CRL, "crl: "),
        (encoded(chain.certs[0].read_bytes()), TxCode.BAD_CRL, "crl: "),
        (encoded(b""), TxCode.BAD_CRL, "crl: "),
        (encoded(der) + "\n", TxCode.MALFORMED, "body: "),
        (encoded(der).rstrip("=") + "=" * 5, TxCode.MALFORMED, "body: "),
        ("é", TxCode.MALFORMED, "body: "),
        (1, TxCode.MALFORMED, "body: "),
    ):
        error = refusal(ledger, chain.tx(body | {"crl": crl}, kind="revocation"))
        assert error.code is code and text in error.message, crl
    assert refusal(ledger, chain.tx({"crl": body["crl"]}, kind="revocation")).code is TxCode.MALFORMED
    assert refusal(ledger, chain.tx(body | {"x": 1}, kind="revocation")).code is TxCode.MALFORMED


def test_a_list_that_needs_more_than_its_serials_is_refused(tmp_path: Path) -> None:
    ca = make_ca(tmp_path / "ca", "zjex")
    assert read_crl(ca.revoke(number=5), "zjex").number == 5
    assert "has no CRL number" in unread(remade(ca, "[none]\n"))
    idp = "[ext]\nissuingDistributionPoint=critical,@part\n[part]\nonlyuser=TRUE\n"
    assert "critical extensions: found 2.5.29.28" in unread(remade(ca, idp, "-crlexts", "ext"))


def test_a_list_under_another_algorithm_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "ca"
    root.mkdir()
    key = make_key(root / "ca.key", "P-256")
    openssl(
        *("req", "-x509", "-new", "-key", key, "-days", "9", "-subj", "/CN=x/O=zjex"),
        *("-addext", "keyUsage=critical,cRLSign,keyCertSign", "-out", root / "ca.pem"),
    )
    config = root / "crl.cnf"
    (root / "index.txt").touch()
    (root / "crlnumber").write_text("01\n")
    config.write_text(CONFIG.format(root=root, digest="sha256"))
    openssl("ca", "-config", config, "-cert", root / "ca.pem", "-keyfile", key, "-gencrl", "-out", root / "c")
    assert "signature: found 1.2.840.10045.4.3.2" in unread((root / "c").read_bytes())


CONFIG = (
    "[ca]\ndefault_ca=own\n[own]\ndatabase={root}/index.txt\ncrlnumber={root}/crlnumber\n"
    "default_md={digest}\ndefault_crl_days=30\n"
)


def remade(ca: Ca, sections: str, *arguments: str) -> bytes:
    """A list by the CA with other extensions, and a number where they ask for any."""
    config = CONFIG.format(root=ca.root, digest="sm3")
    if not arguments:
        config = config.replace(f"crlnumber={ca.root}/crlnumber\n", "")
    (ca.root / "other.cnf").write_text(config + sections)
    base = ("ca", "-config", ca.root / "other.cnf", "-cert", ca.pem, "-keyfile", ca.root / "ca.key")
    openssl(*base, "-gencrl", *arguments, *SIGN[1:], "-out", ca.root / "other.pem")
    return (ca.root / "other.pem").read_bytes()


def unread(raw: bytes) -> str:
    with pytest.raises(ValueError, match=r".") as error:
        read_crl(raw, "zjex")
    return str(error.value)
