"""Sealed evidence: the same form always, and no byte of it can change unnoticed."""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provchain.baseline.facts import Facts, Output, Status
from provchain.errors import ProvchainError
from provchain.evidence import bundle, facts, keys, seal
from provchain.evidence.bundle import EvidenceError
from provchain.pki import Authority
from provchain.pki.openssl import SIGN, VERIFY, PkiError, openssl
from tests.unit.evidence.evidencekit import HOSTS, SOURCES, WHEN, left

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("evidence")
    left(place)
    keys.make(place / "auditor.key")
    keys.make(place / "other.key")
    return place


@pytest.fixture(scope="module")
def sealed(folder: Path) -> bytes:
    return seal.seal(folder / "audit.json", folder / "auditor.key", WHEN, "provchain 1")


def test_a_bundle_holds_the_report_the_facts_and_what_they_were_judged_by(
    folder: Path, sealed: bytes
) -> None:
    found = seal.verify(sealed, signer=folder / "auditor.key.pub")
    assert found.manifest.sealed == WHEN
    assert found.manifest.sources == SOURCES
    assert found.manifest.auditor == "陈静"
    assert set(found.manifest.files) == {
        "report.json",
        "signer.pem",
        *(f"facts/{name}.json" for name in HOSTS),
    }
    assert found.report.canonical() == (folder / "audit.json").read_text(encoding="utf-8")
    assert found.signed_by.startswith("key ")
    assert seal.verify(sealed).signed_by == "", "the bundle's own word for its key is nobody's"
    told = facts.read(bundle.unpack(sealed)["facts/h2.json"].decode()).facts
    assert told == HOSTS["h2"], "a verdict can be derived again from them"


def test_a_bundle_has_one_form(sealed: bytes) -> None:
    files = bundle.unpack(sealed)
    assert bundle.pack(dict(reversed(files.items()))) == sealed
    with tarfile.open(fileobj=io.BytesIO(sealed)) as archive:
        assert {one.name for one in archive} == set(files), "any tar program opens it"
        assert {(one.mode, one.mtime, one.uid) for one in archive} == {(0o600, 0, 0)}


def test_no_byte_can_change(folder: Path, sealed: bytes) -> None:
    """Headers, padding, contents: a bit turned anywhere is seen."""
    places = [*range(0, 512, 37), *random.Random(7).sample(range(len(sealed)), 60), len(sealed) - 1]
    for at in places:
        bad = bytearray(sealed)
        bad[at] ^= 1 << at % 8
        with pytest.raises(ProvchainError):
            seal.verify(bytes(bad), signer=folder / "auditor.key.pub")
    for other in (sealed[:-512], sealed + b"\0" * 512, sealed[:700], b"", b"\0" * 10240, b"x" * 10240):
        with pytest.raises(EvidenceError):
            seal.verify(other)


def _swap(old: bytes, new: bytes, name: str) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        assert old in files[name]
        files[name] = files[name].replace(old, new, 1)

    return change


def _drop(name: str) -> Callable[[Files], None]:
    return lambda files: files.__delitem__(name)


CHANGES: dict[str, tuple[Callable[[Files], None], str]] = {
    "report": (_swap(b'"noncompliant"', b'"compliant"', "report.json"), "report.json was altered"),
    "facts": (_swap(b"maxauthtries 9", b"maxauthtries 3", "facts/h1.json"), "facts/h1.json was altered"),
    "manifest": (
        _swap(b'"profile":"mlps3"', b'"profile":"other"', "manifest.json"),
        "signature is not the signer's",
    ),
    "time": (_swap(b"2026-02-01", b"2026-02-28", "manifest.json"), "signature is not the signer's"),
    "manifest's form": (_swap(b'"kind":', b'"kind": ', "manifest.json"), "not in canonical form"),
    "manifest's keys": (_swap(b'"kind":', b'"more":1,"kind":', "manifest.json"), "can't be read"),
    "format": (_swap(b'"format":1', b'"format":2', "manifest.json"), "can't be read"),
    "signature": (_swap(b"\x30", b"\x31", "manifest.sig"), "signature is not the signer's"),
    "no signature": (_drop("manifest.sig"), "no manifest.sig"),
    "a host less": (_drop("facts/h2.json"), "lists other files"),
    "a host more": (lambda files: files.update({"facts/h9.json": b"{}"}), "lists other files"),
    "no report": (_drop("report.json"), "no report.json"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_altered_is_named(folder: Path, sealed: bytes, name: str) -> None:
    change, words = CHANGES[name]
    files = bundle.unpack(sealed)
    change(files)
    with pytest.raises(ProvchainError) as caught:
        seal.verify(bundle.pack(files), signer=folder / "auditor.key.pub")
    assert words in " ".join(caught.value.lines())


def _resealed(folder: Path, sealed: bytes, change: Callable[[Files], None], key: str) -> bytes:
    """Alter files and make manifest and signature anew, as somebody with a key of their own would."""
    files = bundle.unpack(sealed)
    change(files)
    files["signer.pem"] = keys.public_of(folder / key)
    data = json.loads(files["manifest.json"])
    rest = {name: one for name, one in files.items() if not name.startswith("manifest.")}
    data["files"] = {name: bundle.mark(one).model_dump() for name, one in rest.items()}
    data["signer"] = keys.point(files["signer.pem"])
    files["manifest.json"] = bundle.Manifest.model_validate_json(json.dumps(data)).canonical()
    files["manifest.sig"] = keys.sign(folder / key, files["manifest.json"])
    return bundle.pack(files)


def test_a_forger_with_a_key_of_their_own_is_seen_by_whoever_knows_the_auditors(
    folder: Path, sealed: bytes
) -> None:
    forged = _resealed(folder, sealed, lambda files: None, "other.key")
    assert seal.verify(forged).signed_by == ""
    with pytest.raises(EvidenceError, match="another key signed it"):
        seal.verify(forged, signer=folder / "auditor.key.pub")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (CHANGES["facts"][0], "run:/usr/sbin/sshd -T is not what the report was made from"),
        (_swap(b'"taken":5', b'"taken":6', "facts/h3.json"), "taken is another"),
        (_swap(b'"host":"h1"', b'"host":"h2"', "facts/h1.json"), "name is another"),
        (_swap(b'"ssh.kex":["a"', b'"ssh.kex":["c"', "facts/h1.json"), "outside is another"),
        (_swap(b"no route", b"no roads", "facts/h3.json"), "unreachable is another"),
        (_drop("facts/h2.json"), "of other hosts"),
        (lambda files: files.update({"facts/h1.json": b"[]"}), "can't be read"),
        (lambda files: files.update({"report.json": b"{}"}), "no audit of format 1 or 2"),
        (_swap(b'"auditor":', b' "auditor":', "report.json"), "not in canonical form"),
    ],
)
def test_even_the_auditor_can_seal_no_facts_that_are_not_the_reports(
    folder: Path, sealed: bytes, change: Callable[[Files], None], words: str
) -> None:
    with pytest.raises(EvidenceError) as caught:
        seal.verify(_resealed(folder, sealed, change, "auditor.key"))
    assert words in " ".join(caught.value.lines())


def test_the_signer_in_the_bundle_is_the_one_in_the_manifest(folder: Path, sealed: bytes) -> None:
    files = bundle.unpack(sealed)
    data = json.loads(files["manifest.json"])
    data["signer"] = keys.point(keys.public_of(folder / "other.key"))
    files["manifest.json"] = bundle.Manifest.model_validate_json(json.dumps(data)).canonical()
    with pytest.raises(EvidenceError, match="not the one that the manifest names"):
        seal.verify(bundle.pack(files))


def test_sealing_refuses_what_does_not_belong_together(folder: Path, tmp_path: Path) -> None:
    report = left(tmp_path)
    key = folder / "auditor.key"
    text = (tmp_path / "facts" / "h1.json").read_text()
    (tmp_path / "facts" / "h1.json").write_text(text.replace("maxauthtries 9", "maxauthtries 4"))
    with pytest.raises(EvidenceError, match="not those of the report"):
        seal.seal(report, key, WHEN, "t")
    (tmp_path / "facts" / "h1.json").unlink()
    with pytest.raises(EvidenceError, match=r"h1\.json can't be read"):
        seal.seal(report, key, WHEN, "t")
    (tmp_path / "facts" / "h1.json").write_text(text)
    (tmp_path / "sources.json").write_text('{"a": "b"}')
    with pytest.raises(EvidenceError, match="not what an audit leaves"):
        seal.seal(report, key, WHEN, "t")


def test_a_key_is_private_sm2_and_never_replaced(tmp_path: Path) -> None:
    key = tmp_path / "a.key"
    point = keys.make(key)
    assert key.stat().st_mode & 0o777 == 0o600
    assert keys.point((tmp_path / "a.key.pub").read_bytes()) == point
    with pytest.raises(EvidenceError, match="there already"):
        keys.make(key)
    key.chmod(0o640)
    with pytest.raises(EvidenceError, match="others may read"):
        keys.public_of(key)
    other = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    with pytest.raises(EvidenceError, match="not an SM2 key"):
        keys.point(openssl("pkey", "-pubout", stdin=other))


def test_a_certificate_shows_the_signer_to_whoever_believes_its_authority(
    folder: Path, tmp_path: Path
) -> None:
    key = folder / "auditor.key"
    for name in ("one", "two"):
        Authority(tmp_path, name).ensure()
    issued = {}
    for name, whose in (("auditor", key), ("other", folder / "other.key")):
        request = openssl("req", "-new", "-key", whose, "-sm3", *SIGN, "-subj", "/O=one/CN=auditor")
        ca = ("-CA", tmp_path / "one" / "ca.pem", "-CAkey", tmp_path / "one" / "ca.key", "-set_serial", "7")
        signed = openssl("x509", "-req", *ca, "-sm3", *SIGN, *VERIFY, "-days", "2", stdin=request)
        issued[name] = tmp_path / f"{name}.pem"
        issued[name].write_bytes(signed)
    # once the certificates are valid
    now = datetime.now(UTC).replace(microsecond=0)
    data = seal.seal(folder / "audit.json", key, now, "t", issued["auditor"])
    found = seal.verify(data, authority=tmp_path / "one" / "ca.pem")
    assert found.signed_by == f"certificate of {tmp_path / 'one' / 'ca.pem'}"
    with pytest.raises(PkiError, match="openssl verify refused"):
        seal.verify(data, authority=tmp_path / "two" / "ca.pem")
    late = seal.seal(folder / "audit.json", key, now + timedelta(days=3), "t", issued["auditor"])
    with pytest.raises(PkiError, match="openssl verify refused"):
        seal.verify(late, authority=tmp_path / "one" / "ca.pem")
    with pytest.raises(EvidenceError, match="of another key"):
        seal.seal(folder / "audit.json", key, now, "t", issued["other"])
    plain = seal.seal(folder / "audit.json", key, now, "t")
    with pytest.raises(EvidenceError, match="has no certificate"):
        seal.verify(plain, authority=tmp_path / "one" / "ca.pem")


@given(st.binary(max_size=2048))
def test_no_bytes_are_more_than_refused(data: bytes) -> None:
    with pytest.raises(EvidenceError):
        bundle.unpack(data)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "facts/../../x.json", "facts/.json", "facts/h1", "x", "a" * 200]
)
def test_no_name_leads_out_of_a_bundle(name: str) -> None:
    with pytest.raises(EvidenceError):
        bundle.pack({name: b""})
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(EvidenceError):
        bundle.unpack(stream.getvalue())


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_a_bundle_has_plain_files_only(kind: bytes) -> None:
    stream = io.BytesIO()
    info = tarfile.TarInfo("report.json")
    info.type, info.linkname, info.mode = kind, "manifest.json", 0o600
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(info)
    with pytest.raises(EvidenceError):
        bundle.unpack(stream.getvalue())


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch, sealed: bytes, tmp_path: Path) -> None:
    monkeypatch.setattr(bundle, "MOST_BYTES", len(sealed) - 1)
    with pytest.raises(EvidenceError, match="too much"):
        bundle.unpack(sealed)
    monkeypatch.setattr(bundle, "MOST_BYTES", len(sealed))
    monkeypatch.setattr(bundle, "MOST_FILES", 4)
    with pytest.raises(EvidenceError):
        bundle.unpack(sealed)
    monkeypatch.setattr(seal, "MOST_BYTES", 9)
    (tmp_path / "big").write_bytes(b"x" * 10)
    with pytest.raises(EvidenceError, match="larger"):
        seal.bytes_of(tmp_path / "big")


@given(
    st.dictionaries(
        st.text(max_size=9),
        st.builds(Output, st.sampled_from(Status), st.integers(-1, 255), st.text(max_size=40)),
        max_size=4,
    )
)
def test_facts_come_back_as_they_were(outputs: dict[str, Output]) -> None:
    facts_ = Facts(outputs, 7, "", {"ssh.mac": ("x",)})
    assert facts.read(facts.text("h", facts_)).facts == facts_
