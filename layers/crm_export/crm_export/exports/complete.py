"""Ends an export: when every part is stored, the manifest, then COMPLETED."""

from typing import Any

from crm_export import PRODUCT
from crm_export.exports.model import RECORDS, Export, Part, PartState
from crm_export.exports.pipeline import Clock, ExportStore, ResultStore, at
from crm_export.telemetry import count, logger


def all_parts_stored(export: Export, parts: list[Part]) -> bool:
    """Whether the parts from first to last are all STORED, and Zoho said which is the last."""
    return (
        [part.part for part in parts] == list(range(export.first_part, export.first_part + len(parts)))
        and all(part.state is PartState.STORED for part in parts)
        and [part.more_records for part in parts] == [True] * (len(parts) - 1) + [False]
    )


def complete_export(store: ExportStore, results: ResultStore, clock: Clock, export: Export) -> None:
    """RUNNING → COMPLETED if all parts are stored, else nothing. May be called at any time, twice too.

    Sealed first, so that no deadline can fail an export whose manifest is there.
    """
    parts = store.get_parts(export)
    if not all_parts_stored(export, parts):
        return
    if not store.seal(export, at(clock), sum(int(part.records or 0) for part in parts)):
        return
    sealed = store.get(export.export_id)
    if sealed is None:
        return
    if sealed.generation > 1 or sealed.source == RECORDS or sealed.file_format == "csv.gz":
        # Objects of earlier generations and of attempts that died: who lists the folder shall not read them.
        results.delete_others(sealed.folder, {str(part.key) for part in parts})
    results.put_manifest(export.manifest_key, manifest(sealed, parts))
    if store.complete(export.export_id):
        count("ExportsCompleted")
        logger.info("export completed", export_id=export.export_id, records=sealed.records)


def manifest(export: Export, parts: list[Part]) -> dict[str, Any]:
    """The proof of an export: what was asked, and what lies where. The same however often it is made."""
    return {
        "manifest_version": 1,
        "created_by": PRODUCT,
        "export_id": export.export_id,
        "account_id": export.account_id,
        "owner": export.owner,
        "module": export.module,
        "source": export.source,
        "generation": export.generation,
        "file_format": export.file_format,
        "api_version": export.api_version,
        "query": export.query,
        "fields_dropped": export.fields_dropped,
        "requested_at": export.requested_at,
        "completed_at": export.completed_at,
        "records": sum(int(part.records or 0) for part in parts),
        "bytes": sum(int(part.bytes or 0) for part in parts),
        "parts": [
            {
                "part": part.part,
                "key": part.key,
                "job_id": part.job_id,
                "records": part.records,
                "bytes": part.bytes,
                "crc32": part.crc32,
                "header": part.header,
                "stored_at": part.stored_at,
            }
            for part in parts
        ],
    }
