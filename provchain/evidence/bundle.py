"""The file in which evidence is sealed: a tar of known files, in one form only, and its manifest. Pure.

A bundle that is packed again gives the same bytes, and only such a one is read: no byte of it is outside
of what is checked.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from provchain.audit.assessment import Sm3, Time, sm3
from provchain.baseline.values import Record
from provchain.errors import ProvchainError

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
REPORT, SIGNER, CERTIFICATE = "report.json", "signer.pem", "certificate.pem"
MOST_BYTES = 512 << 20
MOST_FILES = 2_100
_NAME = re.compile(
    r"(manifest\.(json|sig)|report\.json|(signer|certificate)\.pem|facts/[a-z0-9][a-z0-9.-]{0,62}\.json)"
)
_BLOCK = tarfile.BLOCKSIZE


class EvidenceError(ProvchainError):
    """Evidence that is refused: damaged, altered, or not what it says."""


class FileMark(Record):
    """Size and digest of a file of the bundle."""

    bytes: Annotated[int, Field(ge=0)]
    sm3: Sm3


class Manifest(Record):
    """What is sealed: every file but this one and its signature."""

    format: Literal[1] = 1
    kind: Literal["audit-evidence"] = "audit-evidence"
    network: str
    profile: str
    auditor: str
    sealed: Time
    clock: Literal["the sealing machine's"] = "the sealing machine's"
    """Where ``sealed`` comes from: it is the signer's word. The anchor's block has a time of its own."""
    signer: Annotated[str, Field(pattern="^04[0-9a-f]{128}$")]
    """The SM2 point that the signature is verified with."""
    tool: str
    sources: dict[str, Sm3]
    """Digests of the catalog's, the profile's and the site's files as they were when the audit ran."""
    files: dict[str, FileMark]

    def canonical(self) -> bytes:
        """Return the bytes that are signed, and whose digest is anchored."""
        data = self.model_dump(mode="json")
        return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def mark(data: bytes) -> FileMark:
    """Return a file's size and digest."""
    return FileMark(bytes=len(data), sm3=sm3(data))


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return the bundle: the same files give the same bytes. Raises EvidenceError beyond the limits."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT, encoding="ascii") as archive:
        for name, data in sorted(files.items()):
            if not _NAME.fullmatch(name):
                raise EvidenceError(f"{name!r} can't be a file of a bundle")
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o600
            archive.addfile(info, io.BytesIO(data))
    if stream.tell() > MOST_BYTES or len(files) > MOST_FILES:
        raise EvidenceError(
            "there is too much evidence for one bundle", cause=f"{MOST_BYTES >> 20} MiB are allowed"
        )
    return stream.getvalue()


def unpack(data: bytes) -> dict[str, bytes]:
    """Return the files of a bundle. Raises EvidenceError for anything that ``pack`` would not have made."""
    files: dict[str, bytes] = {}
    at = 0
    while (header := data[at : at + _BLOCK]).strip(b"\0"):
        try:
            info = tarfile.TarInfo.frombuf(header, "ascii", "strict")
        except (tarfile.HeaderError, ValueError):
            raise EvidenceError("it is no bundle of evidence", cause=f"no file begins at byte {at}") from None
        if not _NAME.fullmatch(info.name) or info.name in files or len(files) >= MOST_FILES:
            raise EvidenceError("it is no bundle of evidence", cause=f"file {info.name[:80]!r}")
        if not 0 <= info.size <= len(data) - at - _BLOCK:
            raise EvidenceError("the bundle is cut off", cause=f"in {info.name}")
        files[info.name] = data[at + _BLOCK : at + _BLOCK + info.size]
        at += _BLOCK + -(-info.size // _BLOCK) * _BLOCK
    if pack(files) != data:
        raise EvidenceError("the bundle was altered", cause="it is not in the one form that bundles have")
    return files


def manifest_of(files: Mapping[str, bytes]) -> Manifest:
    """Return the manifest, which lists just the files that are there, each as it is. Raises EvidenceError."""
    for name in (MANIFEST, SIGNATURE, REPORT, SIGNER):
        if name not in files:
            raise EvidenceError(f"the bundle has no {name}")
    try:
        manifest = Manifest.model_validate_json(files[MANIFEST])
    except ValidationError as error:
        raise EvidenceError("the manifest can't be read", cause=str(error.errors()[0]["msg"])) from None
    if manifest.canonical() != files[MANIFEST]:
        raise EvidenceError("the manifest was altered", cause="it is not in canonical form")
    rest = {name: data for name, data in files.items() if name not in (MANIFEST, SIGNATURE)}
    strangers = sorted({*rest} ^ {*manifest.files})
    if strangers:
        raise EvidenceError("the manifest lists other files", cause=", ".join(strangers[:8]))
    for name, data in rest.items():
        if mark(data) != manifest.files[name]:
            found = f"SM3 {sm3(data)}, the manifest says {manifest.files[name].sm3}"
            raise EvidenceError(f"{name} was altered", cause=found)
    return manifest
