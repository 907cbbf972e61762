"""Sealing an audit's evidence in one signed file, and verifying such a file, offline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from provchain.audit.assessment import Assessment, Sm3, read, sm3
from provchain.baseline.facts import Facts
from provchain.evidence import facts, keys
from provchain.evidence.bundle import (
    CERTIFICATE,
    MANIFEST,
    MOST_BYTES,
    REPORT,
    SIGNATURE,
    SIGNER,
    EvidenceError,
    Manifest,
    manifest_of,
    mark,
    pack,
    unpack,
)
from provchain.pki.openssl import PkiError

FACTS, SOURCES = "facts", "sources.json"
"""What an audit leaves beside its report: a host's answers each, and the digests of what it was judged by."""
_DIGESTS = TypeAdapter(dict[str, Sm3])


@dataclass(frozen=True, slots=True)
class Verified:
    """What a bundle was found to be."""

    manifest: Manifest
    digest: str
    """SM3 of the manifest: what is anchored."""
    report: Assessment
    facts: Mapping[str, Facts]
    """What each host answered, by its name."""
    signed_by: str
    """By what the signer is known: key or certificate; empty where the bundle's own word is all there is."""


def seal(report: Path, key: Path, when: datetime, tool: str, certificate: Path | None = None) -> bytes:
    """Return the bundle of a report and of what lies beside it.

    Raises EvidenceError where anything is missing or is not what the report was made from, and PkiError.
    """
    raw = bytes_of(report)
    assessment = _report(raw)
    public = keys.public_of(key)
    files = {REPORT: raw, SIGNER: public}
    for host in assessment.hosts:
        files[f"{FACTS}/{host.name}.json"] = bytes_of(report.parent / FACTS / f"{host.name}.json")
    _facts(assessment, files)
    if certificate is not None:
        files[CERTIFICATE] = bytes_of(certificate)
        if keys.point_of_certificate(files[CERTIFICATE]) != keys.point(public):
            raise EvidenceError(f"{certificate} is of another key")
    try:
        sources = _DIGESTS.validate_json(bytes_of(report.parent / SOURCES))
    except ValidationError:
        raise EvidenceError(f"{report.parent / SOURCES} is not what an audit leaves") from None
    manifest = Manifest(
        network=assessment.network,
        profile=assessment.profile,
        auditor=assessment.auditor,
        sealed=when,
        signer=keys.point(public),
        tool=tool,
        sources=sources,
        files={name: mark(data) for name, data in sorted(files.items())},
    ).canonical()
    return pack({**files, MANIFEST: manifest, SIGNATURE: keys.sign(key, manifest)})


def verify(data: bytes, signer: Path | None = None, authority: Path | None = None) -> Verified:
    """Return what a bundle is, everything in it checked.

    ``signer`` (a public key) or ``authority`` (a certificate) says whom the verifier believes; with neither,
    ``signed_by`` is empty. Raises EvidenceError or PkiError at the first thing that does not hold.
    """
    files = unpack(data)
    manifest = manifest_of(files)
    if keys.point(files[SIGNER]) != manifest.signer:
        raise EvidenceError("the signer's key is not the one that the manifest names")
    try:
        keys.verify(files[SIGNER], files[SIGNATURE], files[MANIFEST])
    except PkiError as error:
        raise EvidenceError("the signature is not the signer's", cause=error.cause) from None
    known = _known(manifest, files, signer, authority)
    report = _report(files[REPORT])
    if (report.network, report.profile, report.auditor) != (
        manifest.network,
        manifest.profile,
        manifest.auditor,
    ):
        raise EvidenceError("the manifest is of another report")
    return Verified(manifest, sm3(files[MANIFEST]), report, _facts(report, files), known)


def _known(
    manifest: Manifest, files: Mapping[str, bytes], signer: Path | None, authority: Path | None
) -> str:
    if signer is not None:
        if keys.point(bytes_of(signer)) != manifest.signer:
            raise EvidenceError("another key signed it", cause=f"{manifest.signer}, not that of {signer}")
        return f"key {signer}"
    if authority is None:
        return ""
    if CERTIFICATE not in files:
        raise EvidenceError(
            "the bundle has no certificate", remedy="verify it by the auditor's key: --signer"
        )
    if keys.certified(files[CERTIFICATE], authority, manifest.sealed) != manifest.signer:
        raise EvidenceError("the certificate is of another key")
    return f"certificate of {authority}"


def _report(raw: bytes) -> Assessment:
    try:
        report = read(raw.decode("utf-8"))
    except (ValidationError, UnicodeDecodeError):
        raise EvidenceError("the report is no audit of format 1 or 2") from None
    if report.canonical().encode() != raw:
        raise EvidenceError("the report was altered", cause="it is not in canonical form")
    return report


def _facts(report: Assessment, files: Mapping[str, bytes]) -> dict[str, Facts]:
    """Return the facts, which are those of the report's hosts and of nobody else. Raises EvidenceError."""
    names = {f"{FACTS}/{host.name}.json" for host in report.hosts}
    others = sorted(names ^ {name for name in files if name.startswith(f"{FACTS}/")})
    if others:
        raise EvidenceError("the facts are of other hosts than the report's", cause=", ".join(others[:8]))
    found: dict[str, Facts] = {}
    for host in report.hosts:
        try:
            told = facts.read(files[f"{FACTS}/{host.name}.json"].decode("utf-8"))
        except (ValidationError, UnicodeDecodeError):
            raise EvidenceError(f"the facts of {host.name} can't be read") from None
        wrong = facts.differences(host, told)
        if wrong:
            raise EvidenceError("the facts are not those of the report", cause="; ".join(wrong[:5]))
        found[host.name] = told.facts
    return found


def bytes_of(path: Path) -> bytes:
    """Return a file. Raises EvidenceError if it can't be read or is larger than a bundle may be."""
    try:
        with path.open("rb") as source:
            data = source.read(MOST_BYTES + 1)
    except OSError as error:
        raise EvidenceError(f"{path} can't be read", cause=error.strerror or "") from None
    if len(data) > MOST_BYTES:
        raise EvidenceError(f"{path} is larger than {MOST_BYTES >> 20} MiB")
    return data
