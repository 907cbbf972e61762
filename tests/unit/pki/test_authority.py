"""An organisation's authority signs what it should, and refuses the rest."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from provchain.pki import ALGORITHMS, Authority, PkiError, Wanted
from provchain.pki.openssl import SIGN, openssl, verify_manifest

WANTED = Wanted("v1", "zjex", "v1.lab.provchain.internal", "10.77.10.11", 397)


def request(folder: Path, subject: str = "/CN=v1/O=zjex", curve: str = "SM2") -> str:
    """Make a key as a host does, and its request."""
    key = folder / f"host-{curve}.pem"
    key.write_bytes(openssl("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}"))
    options = ("-sm3", *SIGN) if curve == "SM2" else ("-sha256",)
    return openssl("req", "-new", "-key", key, *options, "-subj", subject).decode()


def text(pem: str) -> str:
    return openssl("x509", "-noout", "-text", stdin=pem.encode()).decode()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki", "zjex")


def test_a_good_request_is_signed_for_just_what_is_wanted(authority: Authority, tmp_path: Path) -> None:
    shown = text(authority.issue(request(tmp_path), WANTED))
    assert "Subject: CN = v1, O = zjex" in shown
    assert "Signature Algorithm: SM2-with-SM3" in shown
    assert "DNS:v1.lab.provchain.internal, IP Address:10.77.10.11" in shown
    assert "CA:FALSE" in shown
    assert "TLS Web Server Authentication, TLS Web Client Authentication" in shown


def test_an_authority_for_software_without_sm2_signs_keys_of_its_own_curve_only(tmp_path: Path) -> None:
    """Such as rsyslog's: the nodes' certificates stay SM2, and neither passes for the other."""
    plain = Authority(tmp_path / "pki-logs", "zjex", ALGORITHMS["p256"])
    shown = text(plain.issue(request(tmp_path, curve="P-256"), WANTED))
    assert "Signature Algorithm: ecdsa-with-SHA256" in shown
    assert "DNS:v1.lab.provchain.internal, IP Address:10.77.10.11" in shown
    crl = openssl("crl", "-noout", "-text", stdin=plain.crl().encode()).decode()
    assert "Signature Algorithm: ecdsa-with-SHA256" in crl
    with pytest.raises(PkiError, match="not P-256"):
        plain.issue(request(tmp_path), WANTED)


def test_the_authority_keeps_its_key_to_itself(authority: Authority) -> None:
    first = authority.ensure()
    assert authority.ensure() == first
    assert stat.S_IMODE((authority.folder / "ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700


def test_what_was_issued_is_on_record(authority: Authority, tmp_path: Path) -> None:
    pem = authority.issue(request(tmp_path), WANTED)
    assert [path.read_text() for path in (authority.folder / "issued").iterdir()] == [pem]


def listed(crl: str) -> tuple[str, list[str]]:
    """Return the number and the serials of a list."""
    shown = openssl("crl", "-noout", "-text", stdin=crl.encode()).decode()
    assert "Signature Algorithm: SM2-with-SM3" in shown
    number = shown.split("CRL Number:")[1].split()[0]
    return number, [line.split()[-1] for line in shown.splitlines() if "Serial Number:" in line]


def test_revocation_lists_grow(authority: Authority, tmp_path: Path) -> None:
    serials = []
    for _ in range(2):
        pem = authority.issue(request(tmp_path), WANTED).encode()
        serials.append(openssl("x509", "-noout", "-serial", stdin=pem).decode().strip().split("=")[1])
    assert listed(authority.crl()) == ("1", [])
    assert listed(authority.revoke(serials[0])) == ("2", serials[:1])
    number, found = listed(authority.revoke("0x" + serials[1].lower()))
    assert (number, sorted(found)) == ("3", sorted(serials))
    for wrong in ("", "0", "ff", serials[0][1:], "*"):
        with pytest.raises(PkiError, match="has issued no certificate"):
            authority.revoke(wrong)
    number, found = listed(authority.revoke(serials[0]))  # twice, as when a run is repeated
    assert (number, sorted(found)) == ("4", sorted(serials))


def test_a_serial_that_is_not_there_names_those_that_are(authority: Authority, tmp_path: Path) -> None:
    authority.issue(request(tmp_path), WANTED)
    with pytest.raises(PkiError) as caught:
        authority.issued("ab")
    (issued,) = (authority.folder / "issued").iterdir()
    assert issued.stem in caught.value.cause
    assert authority.issued(issued.stem.rpartition("-")[2]) == issued


@pytest.mark.parametrize(
    ("subject", "wanted", "message"),
    [
        ("/CN=v2/O=zjex", WANTED, "subject is another"),
        ("/CN=v1/O=zjfin", WANTED, "subject is another"),
        ("/CN=v1/O=zjex/OU=more", WANTED, "subject is another"),
        ("/CN=v1/O=zjex", Wanted("v1", "zjex", "v1.x", "10.0.0.1", 398), "398 days"),
        ("/CN=v1/O=zjex", Wanted("v1", "zjex", "v1.x", "10.0.0.1", 0), "0 days"),
        ("/CN=v1/O=zjex", Wanted("v1", "zjex", "v1.x,IP:10.0.0.9", "10.0.0.1", 90), "can't be certified"),
        ("/CN=v1/O=zjex", Wanted("v1\n", "zjex", "v1.x", "10.0.0.1", 90), "can't be certified"),
        ("/CN=v1/O=zjex", Wanted("v1", "zjex", "v1.x", "10.0.0.1,DNS:other", 90), "no address"),
        ("/CN=v1/O=zjfin", Wanted("v1", "zjfin", "x", "10.0.0.1", 90), "signs nothing for zjfin"),
    ],
)
def test_what_is_not_wanted_is_refused(
    authority: Authority, tmp_path: Path, subject: str, wanted: Wanted, message: str
) -> None:
    with pytest.raises(PkiError, match=message):
        authority.issue(request(tmp_path, subject), wanted)
    assert not (authority.folder / "issued").exists()


def test_a_key_that_is_not_sm2_is_refused(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(PkiError, match="not SM2"):
        authority.issue(request(tmp_path, curve="prime256v1"), WANTED)


def test_a_request_whose_own_signature_does_not_hold_is_refused(authority: Authority, tmp_path: Path) -> None:
    lines = request(tmp_path).splitlines()
    body = lines[-3]
    lines[-3] = body[:8] + ("A" if body[8] != "A" else "B") + body[9:]
    with pytest.raises(PkiError):
        authority.issue("\n".join(lines) + "\n", WANTED)


def test_a_name_that_would_leave_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PkiError, match="can't name"):
        Authority(tmp_path, "../elsewhere")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A signed package folder and the public key beside it."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "a.deb").write_bytes(b"content")
    digest = openssl("dgst", "-sm3", "-r", folder / "a.deb").decode().split()[0]
    (folder / "MANIFEST.sm3").write_text(f"{digest}  a.deb\n")
    sign(folder, tmp_path, "own")
    return folder


def sign(folder: Path, keys: Path, name: str) -> Path:
    """Sign the manifest with a new key and return its public half."""
    private, public = keys / f"{name}.pem", keys / f"{name}.pub"
    private.write_bytes(openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2"))
    public.write_bytes(openssl("pkey", "-in", private, "-pubout"))
    manifest = folder / "MANIFEST.sm3"
    command: list[str | Path] = [
        "openssl",
        "dgst",
        "-sm3",
        *SIGN,
        "-sign",
        private,
        "-out",
        f"{manifest}.sig",
        manifest,
    ]
    subprocess.run(command, check=True)
    return public


def test_a_signed_package_is_accepted(package: Path, tmp_path: Path) -> None:
    assert set(verify_manifest(package, tmp_path / "own.pub")) == {"a.deb"}


def test_an_altered_package_is_refused(package: Path, tmp_path: Path) -> None:
    (package / "a.deb").write_bytes(b"other content")
    with pytest.raises(PkiError, match="was altered"):
        verify_manifest(package, tmp_path / "own.pub")


def test_an_altered_manifest_is_refused(package: Path, tmp_path: Path) -> None:
    manifest = package / "MANIFEST.sm3"
    manifest.write_text(manifest.read_text() + "\n")
    with pytest.raises(PkiError, match="refused"):
        verify_manifest(package, tmp_path / "own.pub")


def test_a_package_signed_by_another_is_refused(package: Path, tmp_path: Path) -> None:
    sign(package, tmp_path, "foreign")
    with pytest.raises(PkiError, match="refused"):
        verify_manifest(package, tmp_path / "own.pub")


def test_an_unsigned_package_is_refused(package: Path, tmp_path: Path) -> None:
    (package / "MANIFEST.sm3.sig").unlink()
    with pytest.raises(PkiError, match="no signed package"):
        verify_manifest(package, tmp_path / "own.pub")
