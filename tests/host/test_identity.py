"""A host's certificate: its name, its organisation, its own CA, SM2, and an end within 397 days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from provchain.spec import ChainSpec
from tests.host import certificates, tls
from tests.host.network import Network

SM2_WITH_SM3 = "1.2.156.10197.1.501"  # GM/T 0006


@pytest.fixture
def certificate(name: str, facts: dict[str, Any], scratch: Path) -> x509.Certificate:
    """Return the host's certificate; its file is in the scratch folder."""
    text = facts["certificate"]
    assert text, f"{name} has no certificate"
    (scratch / f"{name}.pem").write_text(text, encoding="ascii")
    return x509.load_pem_x509_certificate(text.encode("ascii"))


def test_it_names_the_host_and_its_organisation(
    name: str, certificate: x509.Certificate, spec: ChainSpec
) -> None:
    host = spec.host(name)
    assert tls.subject(certificate, tls.COMMON_NAME) == [name]
    assert tls.subject(certificate, tls.ORGANISATION) == [host.organisation]
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [f"{name}.{spec.network}.provchain.internal"]
    assert names.get_values_for_type(x509.IPAddress) == [host.address]


def test_it_is_valid_and_not_for_long(name: str, certificate: x509.Certificate, spec: ChainSpec) -> None:
    now = datetime.now(UTC)
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc
    assert life <= timedelta(days=min(397, spec.certificates.valid_days), seconds=60), name
    left = certificate.not_valid_after_utc - now
    renew = min(spec.certificates.renew_before_days, spec.certificates.valid_days)
    assert left > timedelta(days=renew), f"{name}: renewal is due, {left.days} days are left"


def test_it_is_sm2_signed_by_sm2(name: str, certificate: x509.Certificate, scratch: Path) -> None:
    assert certificate.signature_algorithm_oid.dotted_string == SM2_WITH_SM3
    assert "ASN1 OID: SM2" in certificates.described(scratch / f"{name}.pem")


def test_it_serves_for_tls_both_ways_and_is_no_authority(name: str, certificate: x509.Certificate) -> None:
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert basic.ca is False, name


def test_it_is_issued_by_its_own_organisation_only(
    name: str, certificate: x509.Certificate, network: Network, scratch: Path
) -> None:
    organisation = network.described(name).organisation
    for other in network.spec.organisations:
        ca = network.state / "pki" / other.name / "ca.pem"
        assert certificates.chains(scratch / f"{name}.pem", ca) == (other.name == organisation), other.name


def test_the_host_trusts_each_organisations_authority(
    name: str, facts: dict[str, Any], network: Network
) -> None:
    """Exactly the CAs of the description: one that is missing cuts off a member, one too many lets one in."""
    held = {
        o.name: (network.state / "pki" / o.name / "ca.pem").read_text("ascii")
        for o in network.spec.organisations
    }
    assert {key: value.strip() for key, value in facts["trust"].items()} == {
        key: value.strip() for key, value in held.items()
    }, name


def test_no_two_hosts_share_a_key(all_facts: dict[str, dict[str, Any]]) -> None:
    keys: dict[bytes, str] = {}
    for name, facts in all_facts.items():
        found = x509.load_pem_x509_certificate(facts["certificate"].encode("ascii"))
        spki = tls.public_key(found)
        assert spki not in keys, f"{name} and {keys[spki]} have one key"
        keys[spki] = name
