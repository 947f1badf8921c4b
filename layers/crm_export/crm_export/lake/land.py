"""Lands a completed export in the lake: its parts as Parquet, what engines read, then the lake's manifest.

Landing again changes nothing, and continues after the last part that was written. Called by
`crm_export.lake.tables`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import blake2b, sha256
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from isal import igzip

from crm_export import deadline
from crm_export.errors import CountMismatch, ObjectConflict, ResultError, StepPostponed
from crm_export.lake import catalog
from crm_export.lake.csv_batches import (
    CsvRefused,
    Reader,
    arrow_batches,
    batches_of,
    deletion_batches,
    python_batches,
)
from crm_export.lake.parquet import Layout, Written, convert
from crm_export.lake.place import Place
from crm_export.lake.schema import DELETED, RESCUED_COLUMN, UPDATED, Column, columns_of, union, with_ours
from crm_export.lake.store import LakeStore, ObjectSink, read_json
from crm_export.telemetry import count, logger

_GZIP_RATIO = 8  # how much larger a CSV is than its gzip file, roughly
_SECONDS_TO_SPARE = 25.0  # of the function's time
_SLOWEST_BYTES_PER_SECOND = 3_000_000  # of a CSV
_BYTES_OF_A_DELETION = 60  # of its CSV, roughly


def is_change(source: Mapping[str, Any]) -> bool:
    """Return True if the export is a sync's run of changes."""
    return (source.get("sync") or {}).get("kind") == "changes"


def landed(store: LakeStore, place: Place, source: Mapping[str, Any]) -> dict[str, Any]:
    """Return the lake's manifest of the export, which is landed if it is not yet.

    Raises StorageUnavailable and StorageRefused; StepPostponed if the time is over before all parts are
    written; CountMismatch or ObjectConflict if a part is not what the manifest says.
    """
    if (manifest := read_json(store, place.manifest_key)) is not None:
        return manifest
    manifest = _land(store, place, source)
    count("ParquetRowsWritten", manifest["rows"])
    count("ParquetValuesRescued", sum(manifest["rescued"].values()))
    logger.info("export written as Parquet", export_id=place.export_id, rescued=manifest["rescued"])
    return manifest


def _land(store: LakeStore, place: Place, source: Mapping[str, Any]) -> dict[str, Any]:
    """Write all files, the manifest last. Return the manifest, which may be that of another worker."""
    frozen = _freeze_schema(store, place, source)
    columns = [Column.from_dict(item) for item in frozen["columns"]]
    files = []
    for number, part in enumerate(_parts(place, source)):
        files.append(_land_part(store, place, part, columns, may_pause=number > 0))
    if is_change(source) and not files:
        files.append(land_nothing(store, place, columns))
    table = [Column.from_dict(item) for item in frozen["table"]]
    manifest = _manifest(place, files, with_ours(columns, is_change=is_change(source)), table)
    _write_tables(store, place, manifest, table, columns if source.get("sync") else None)
    if store.put_if(place.manifest_key, _json(manifest), None):
        return manifest
    return read_json(store, place.manifest_key) or manifest


def _parts(place: Place, source: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parts, with the value of `_op` if they are changes; and the deletions, as one more part."""
    if not is_change(source):
        return list(source["parts"])
    parts = [{**part, "op": UPDATED, "run": place.export_id} for part in source["parts"]]
    deleted, key = int(source["sync"].get("deleted") or 0), source["sync"].get("deleted_key")
    if deleted and key:  # deleted-00001.csv, or after a restart that of a later generation
        size = _BYTES_OF_A_DELETION * deleted
        parts.append({"key": key, "records": deleted, "bytes": size, "op": DELETED, "run": place.export_id})
    return parts


def _freeze_schema(store: LakeStore, place: Place, source: Mapping[str, Any]) -> dict[str, Any]:
    """Return the export's columns and those of the module's table, as the first attempt has chosen them.

    Later attempts must not choose other names, after other exports of the module were landed.
    """
    key = place.progress_key("schema")
    if (frozen := read_json(store, key)) is not None:
        return frozen
    before = _table_before(store, place)
    columns = columns_of(_header(store, source), source.get("fields"), before)
    table = union([column for column in before if column != RESCUED_COLUMN], columns)
    frozen = {"columns": _dicts(columns), "table": _dicts([*table, RESCUED_COLUMN])}
    return frozen if store.put_if(key, _json(frozen), None) else read_json(store, key) or frozen


def _header(store: LakeStore, source: Mapping[str, Any]) -> list[str]:
    """Return the header of the parts.

    A run of changes without parts has that of the run before it. If Zoho sent no file at all, because there
    are no records, the header has all fields.
    """
    run: Mapping[str, Any] | None = source
    while run:
        if header := next((part["header"] for part in run["parts"] if part["header"]), None):
            return list(header)
        run = read_json(store, previous_key(run)) if is_change(run) else None
    names = [str(field["api_name"]) for field in source.get("fields") or []]
    return ["Id", *(name for name in names if name.lower() != "id")]


def _table_before(store: LakeStore, place: Place) -> list[Column]:
    found = store.get(place.symlink_key)
    export_id = found and catalog.export_of(found.content.decode())
    if not export_id:
        return []
    shown = read_json(store, replace(place, export_id=export_id).manifest_key)
    return [Column.from_dict(item) for item in (shown or {}).get("table", [])]


def _land_part(
    store: LakeStore, place: Place, part: Mapping[str, Any], columns: Sequence[Column], *, may_pause: bool
) -> dict[str, Any]:
    """Write a part as Parquet, unless that is done; return its entry in the manifest, and what is counted."""
    file = PurePosixPath(part["key"]).name.partition(".")[0]
    progress = place.progress_key(file)
    if (done := read_json(store, progress)) is not None:
        return done
    if may_pause and deadline.remaining() < _SECONDS_TO_SPARE + part["bytes"] / _SLOWEST_BYTES_PER_SECOND:
        raise StepPostponed("The function's time is over; the next parts are written later.", retry_after=1)
    key = f"{place.folder}/{file}.parquet"
    written, hashed = _write(store, part, key, columns)
    entry = _entry(key, written, hashed, part.get("op"))
    store.put_if(progress, _json(entry), None)
    return entry


def _entry(key: str, written: Written, hashed: "_Hashed", op: str | None) -> dict[str, Any]:
    return {
        "key": key,
        "rows": written.rows,
        "bytes": hashed.size,
        "sha256": hashed.sha256.hexdigest(),
        "rescued": dict(written.rescued),
        "ids": written.ids and written.ids.digest,
        "op": op,
    }


def land_nothing(store: LakeStore, place: Place, columns: Sequence[Column]) -> dict[str, Any]:
    """Write a file of changes without rows, and return its entry: engines want a file for every table."""
    key = f"{place.folder}/no-changes.parquet"
    with store.write(key) as sink:
        hashed = _Hashed(sink)
        convert(BytesIO(), hashed, columns, Layout.of(len(columns), 0), batches_of(iter(())), op=UPDATED)
        sink.commit()
    return _entry(key, Written(), hashed, UPDATED)


def _write(
    store: LakeStore, part: Mapping[str, Any], key: str, columns: Sequence[Column]
) -> tuple[Written, "_Hashed"]:
    """Write the part with Arrow's reader; with Python's if Arrow refuses the CSV or counts other records."""
    refused: Exception | None = None
    for reader in (arrow_batches, python_batches):
        with _open_csv(store, part["key"]) as csv_file, store.write(key) as sink:
            hashed = _Hashed(sink)
            try:
                written = _convert(csv_file, hashed, columns, part, reader)
                _check(written, part)
            except (CsvRefused, CountMismatch) as error:
                logger.info("CSV read again", key=part["key"], reason=str(error))
                refused = error
                continue
            sink.commit()
            return written, hashed
    raise refused or ResultError(f"{part['key']} cannot be read.")


def _convert(
    csv_file: BinaryIO, sink: "_Hashed", columns: Sequence[Column], part: Mapping[str, Any], reader: Reader
) -> Written:
    op = part.get("op")
    read = deletion_batches(reader) if op == DELETED else reader
    return convert(csv_file, sink, columns, _layout(part, columns), read, op=op, run=part.get("run", ""))


def _layout(part: Mapping[str, Any], columns: Sequence[Column]) -> Layout:
    ratio = _GZIP_RATIO if part["key"].endswith(".gz") else 1
    return Layout.of(len(columns), ratio * part["bytes"] / max(part["records"], 1))


def _check(written: Written, part: Mapping[str, Any]) -> None:
    if written.rows != part["records"]:
        raise CountMismatch(f"{part['key']} has {written.rows} records; its manifest says {part['records']}.")
    if part.get("crc32") not in {None, written.crc32}:
        raise ObjectConflict(
            f"{part['key']} has the CRC32 {written.crc32}; its manifest says {part['crc32']}."
        )
    expected, found = (part.get("ids") or {}).get("digest"), written.ids and written.ids.digest
    if expected is not None and expected != found:
        raise ObjectConflict(f"The ids in {part['key']} are not those of its manifest.")


@contextmanager
def _open_csv(store: LakeStore, key: str) -> Iterator[BinaryIO]:
    with store.open(key) as stored:
        if key.endswith(".gz"):
            yield cast(BinaryIO, igzip.IGzipFile(fileobj=stored, mode="rb"))  # type: ignore[no-untyped-call]
        else:
            yield stored


class _Hashed:
    """Counts and hashes what is written to a sink."""

    def __init__(self, sink: ObjectSink) -> None:
        self._sink = sink
        self.size, self.sha256 = 0, sha256()

    def write(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self.sha256.update(chunk)
        self._sink.write(chunk)


def _manifest(
    place: Place, parts: Sequence[Mapping[str, Any]], schema: Sequence[Column], table: Sequence[Column]
) -> dict[str, Any]:
    rescued: Counter[str] = Counter()
    for part in parts:
        rescued.update(part["rescued"])
    return {
        "source_manifest": place.source,
        "rows": sum(part["rows"] for part in parts),
        "files": [{name: part[name] for name in ("key", "rows", "bytes", "sha256")} for part in parts],
        "schema": _dicts(schema),
        "rescued": dict(rescued),
        "ids_digest": ids_digest([part["ids"] for part in parts if part["op"] != DELETED and part["rows"]]),
        "table": _dicts(table),
    }


def ids_digest(parts: Sequence[str | None]) -> str | None:
    """Return one digest for those of the parts' ids, in order; None if one of them is not known.

    It is BLAKE2b with 16 bytes, in hex, of the parts' own digests, so the export's manifest suffices to
    compare it.
    """
    known = [digest for digest in parts if digest is not None]
    if len(known) < len(parts):
        return None
    return blake2b(bytes.fromhex("".join(known)), digest_size=16).hexdigest()


def _write_tables(
    store: LakeStore,
    place: Place,
    manifest: Mapping[str, Any],
    table: Sequence[Column],
    synced: Sequence[Column] | None,
) -> None:
    """Write what other engines read. synced: the CSV's columns, if the export is a run of a sync."""
    files = [(store.url(file["key"]), file["bytes"]) for file in manifest["files"]]
    store.put_if(f"{place.folder}/redshift.manifest", _json(catalog.redshift_manifest(files)), None)
    name = catalog.table_name(place.module)
    ddl = catalog.full_ddl(name, table, store.url(place.symlink_key).removesuffix("manifest"))
    if synced is not None:
        location = store.url(place.changes_key).removesuffix("manifest")
        ddl += catalog.changes_ddl(name, with_ours(synced, is_change=True), location)
    store.put_if(f"{place.folder}/ddl.sql", ddl.encode(), None)


def previous_key(run: Mapping[str, Any]) -> str:
    """Return the key of the manifest of the run before a run of changes."""
    return str((run["sync"].get("previous") or {}).get("manifest_key"))


def _dicts(columns: Iterable[Column]) -> list[dict[str, str]]:
    return [column.to_dict() for column in columns]


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, indent=1).encode()
