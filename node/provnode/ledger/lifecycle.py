"""The life cycle of an object, JR/T 0314-2024 clause 6.5, as a pure decision.

- create: version 0 with a full snapshot.
- update: the next version. The body is merged into the snapshot before it: objects field by field, a null
  clears, all else replaces (the shape of RFC 7396). The standard has no mark that tells a full body from an
  incremental one and defines the value as all versions merged, so a full body is the merge in which every
  field occurs; to drop a field, send null.
- overwrite: the same version as the snapshot it replaces, with a full body. When later versions exist, each
  later snapshot is overwritten too: the later updates are merged anew onto the corrected base. Versions and
  the references pinned to them stay.
- delete: the next version, empty body, terminal.

No transaction is applied twice. A create, an update or a delete that comes again meets the version that it
wrote. An overwrite leaves no such trace, so each version names all transactions that wrote it.

Only the organisation whose signer created an object may change it. After every operation each snapshot that
it wrote satisfies the JSON Schema that the genesis gives for the object's type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import jsonschema_rs
from msgspec import Struct
from msgspec.structs import replace

from provnode.ledger.canonical import Json, JsonObject, decode, encode
from provnode.ledger.errors import GenesisError, TxCode, TxError
from provnode.ledger.objects import DataObject, Operation
from provnode.storage.store import HeadRow, VersionRow

# an overwrite rewrites every later snapshot: the bounds keep one transaction from costing a block's time
MAX_REWRITTEN = 256
MAX_REWRITTEN_BYTES = 4 * 1024 * 1024
# each is named by the version for ever
MAX_WRITERS = 1024

Load = Callable[[int], VersionRow]
"""Gives a version of the object in question, as it stands."""


class Schemas:
    """The body schemas of the genesis, compiled (draft 2020-12), and the longest snapshot in bytes.

    `format` is an annotation, as that draft has it by default, patterns run in linear time, and nothing is
    fetched: every node comes to the same verdict. Raises GenesisError for a schema that is none.
    """

    def __init__(self, schemas: JsonObject, max_snapshot: int) -> None:
        self.max_snapshot = max_snapshot
        self._compiled = {name: _compile(name, schema) for name, schema in schemas.items()}

    def check(self, type_: str, body: JsonObject) -> None:
        """Raises TxError `unknown_type`, or `schema` with the first place that fails."""
        validator = self._compiled.get(type_)
        if validator is None:
            known = ", ".join(sorted(self._compiled)) or "none"
            raise TxError(
                TxCode.UNKNOWN_TYPE, f"header.content.type: found {type_!r}, this chain has: {known}"
            )
        if validator.is_valid(body):
            return
        problem = next(iter(validator.iter_errors(body)), None)
        if problem is not None:
            place = "/".join(("body", *map(str, problem.instance_path)))
            raise TxError(TxCode.SCHEMA, f"{place}: {problem.message[:500]}")

    def fitting(self, snapshot: bytes) -> bytes:
        """The snapshot, if it is not too long. Raises TxError `too_large`."""
        if len(snapshot) > self.max_snapshot:
            raise TxError(
                TxCode.TOO_LARGE, f"the merged object has {len(snapshot)} bytes, allowed: {self.max_snapshot}"
            )
        return snapshot


class Change(Struct, frozen=True, gc=False):
    """What an accepted operation writes.

    `hashes`, where known, are the SM3 of the first version's snapshot and of its body as submitted.
    """

    head: HeadRow
    versions: tuple[VersionRow, ...]
    hashes: tuple[bytes, bytes] | None = None


def decide(
    head: HeadRow | None,
    load: Load,
    new: DataObject,
    organisation: str,
    schemas: Schemas,
    *,
    txid: bytes,
    height: int,
) -> Change:
    """What `new`, submitted by a signer of `organisation`, changes. Raises TxError when it may not."""
    if new.operation is Operation.CREATE:
        if head is not None:
            raise TxError(TxCode.EXISTS, f"object {new.object_id} exists at version {head.latest}")
        if not new.conforms:
            schemas.check(new.type, new.body)
        created = HeadRow(new.object_id, new.type, organisation, 0, False)
        # the snapshot is what was submitted, header and body
        row = VersionRow(new.object_id, 0, schemas.fitting(new.raw), new.raw_body, (txid,), height)
        return Change(created, (row,), (new.raw_hash, new.raw_body_hash))
    known = _may_change(head, new, organisation)
    if new.operation is Operation.OVERWRITE:
        return Change(known, _overwrite(known, load, new, schemas, txid, height))
    _check_next(known, new)
    head = replace(known, latest=new.version, deleted=new.operation is Operation.DELETE)
    body: JsonObject = {}
    if new.operation is Operation.UPDATE:
        body = merge(_body(load(known.latest)), new.body)
        schemas.check(known.type, body)
    return Change(head, (_row(new, body, txid, height, schemas),))


def merge(base: JsonObject, patch: JsonObject) -> JsonObject:
    """`base` with `patch` merged into it (RFC 7396 section 2); neither is changed."""
    merged = dict(base)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            before = merged.get(key)
            merged[key] = merge(before if isinstance(before, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def _may_change(head: HeadRow | None, new: DataObject, organisation: str) -> HeadRow:
    if head is None:
        raise TxError(TxCode.MISSING, f"object {new.object_id} does not exist")
    if head.organisation != organisation:
        raise TxError(
            TxCode.NOT_OWNER,
            f"object {new.object_id} belongs to {head.organisation}, the signer is of {organisation}",
        )
    if head.deleted:
        raise TxError(TxCode.DELETED, f"object {new.object_id} was deleted by version {head.latest}")
    if head.type != new.type:
        raise TxError(TxCode.TYPE_CHANGED, f"header.content.type: found {new.type!r}, allowed: {head.type!r}")
    return head


def _check_next(head: HeadRow, new: DataObject) -> None:
    wanted = head.latest + 1
    if new.version != wanted:
        code = TxCode.STALE_VERSION if new.version < wanted else TxCode.VERSION_AHEAD
        raise TxError(code, f"header.content.version: found {new.version}, allowed: {wanted}")


def _overwrite(
    head: HeadRow,
    load: Load,
    new: DataObject,
    schemas: Schemas,
    txid: bytes,
    height: int,
) -> tuple[VersionRow, ...]:
    if new.version > head.latest:
        raise TxError(
            TxCode.VERSION_AHEAD,
            f"header.content.version: found {new.version}, an overwrite allows 0 to {head.latest}",
        )
    if head.latest - new.version > MAX_REWRITTEN:
        raise TxError(
            TxCode.TOO_MANY_VERSIONS,
            f"{head.latest - new.version} later versions, one overwrite rewrites up to {MAX_REWRITTEN}",
        )
    writers = load(new.version).writers
    if txid in writers:
        raise TxError(TxCode.DUPLICATE, f"transaction {txid.hex()} was committed before")
    if len(writers) >= MAX_WRITERS:
        raise TxError(
            TxCode.TOO_MANY_VERSIONS, f"version {new.version} was written {MAX_WRITERS} times, none is left"
        )
    schemas.check(head.type, new.body)
    first = schemas.fitting(new.raw)
    rows = [VersionRow(new.object_id, new.version, first, new.raw_body, (*writers, txid), height)]
    written = len(rows[0].snapshot)
    base = new.body
    for version in range(new.version + 1, head.latest + 1):
        row = load(version)
        snapshot = _snapshot(row)
        if _operation(snapshot) is Operation.OVERWRITE:
            break  # a full snapshot of its own: neither it nor what follows depends on the corrected base
        base = merge(base, cast(JsonObject, decode(row.submitted)))
        try:
            schemas.check(head.type, base)
        except TxError as error:
            raise TxError(error.code, f"version {version} on the new base: {error.message}") from error
        rows.append(replace(row, snapshot=_encode_snapshot(snapshot["header"], base, schemas)))
        written += len(rows[-1].snapshot)
        if written > MAX_REWRITTEN_BYTES:
            raise TxError(
                TxCode.TOO_MANY_VERSIONS, f"one overwrite rewrites up to {MAX_REWRITTEN_BYTES} bytes"
            )
    return tuple(rows)


def _row(new: DataObject, body: JsonObject, txid: bytes, height: int, schemas: Schemas) -> VersionRow:
    snapshot = _encode_snapshot(new.header, body, schemas)
    return VersionRow(new.object_id, new.version, snapshot, new.raw_body, (txid,), height)


def _encode_snapshot(header: JsonObject, body: JsonObject, schemas: Schemas) -> bytes:
    return schemas.fitting(encode({"header": header, "body": body}))


def _snapshot(row: VersionRow) -> dict[str, JsonObject]:
    return cast(dict[str, JsonObject], decode(row.snapshot))


def _body(row: VersionRow) -> JsonObject:
    return _snapshot(row)["body"]


def _operation(snapshot: dict[str, JsonObject]) -> Operation:
    content = cast(JsonObject, snapshot["header"]["content"])
    return Operation(cast(str, content["operation"]))


def _compile(name: str, schema: Json) -> jsonschema_rs.Draft202012Validator:
    if not isinstance(schema, dict):
        raise GenesisError(f"schemas.{name}: a schema is a JSON object")
    try:
        return jsonschema_rs.Draft202012Validator(
            schema, validate_formats=False, offline=True, pattern_options=jsonschema_rs.RegexOptions()
        )
    except (ValueError, TypeError) as error:
        raise GenesisError(f"schemas.{name}: {str(error)[:300]}") from error
