"""Completes an export when every part is stored: first the manifest, then COMPLETED."""

from typing import Any

from crm_export import PRODUCT
from crm_export.exports.model import RECORDS, Export, Part, all_parts_stored, is_snapshot, timestamp
from crm_export.exports.pipeline import Pipeline
from crm_export.telemetry import count, logger


def complete_export(pipeline: Pipeline, export: Export) -> None:
    """RUNNING → COMPLETED if all parts are stored, else nothing. Safe to call at any time and repeatedly.

    The export is sealed first, so that no deadline can fail an export whose manifest exists.
    """
    parts = pipeline.table.get_parts(export)
    if not all_parts_stored(export, parts):
        return
    if not pipeline.table.seal(export, pipeline.clock(), sum(int(part.records or 0) for part in parts)):
        return
    sealed = pipeline.table.get(export.export_id)
    if sealed is None:
        return
    if sealed.generation > 1 or sealed.source == RECORDS or sealed.file_format == "csv.gz":
        # Delete objects of earlier generations and dead attempts, so that the folder holds only this export.
        pipeline.results.delete_other_parts(sealed.folder, {str(part.key) for part in parts})
    pipeline.results.write_manifest(export.manifest_key, manifest(sealed, parts))
    if pipeline.table.complete(export.export_id):
        count("ExportsCompleted")
        logger.info("export completed", export_id=export.export_id, records=sealed.records)


def manifest(export: Export, parts: list[Part]) -> dict[str, Any]:
    """Return the manifest of a sealed export, docs/manifest.schema.json. Repeated calls return the same."""
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
        "fields_dropped": [vars(dropped) for dropped in export.fields_dropped],
        "snapshot": is_snapshot(export, parts),
        "requested_at": timestamp(export.requested_at),
        "completed_at": export.completed_at and timestamp(export.completed_at),
        "records": sum(int(part.records or 0) for part in parts),
        "bytes": sum(int(part.bytes or 0) for part in parts),
        "parts": [_manifest_part(part) for part in parts],
    }


def _manifest_part(part: Part) -> dict[str, Any]:
    return {
        "part": part.part,
        "key": part.key,
        "job_id": part.job_id,
        "records": part.records,
        "bytes": part.bytes,
        "crc32": part.crc32,
        "header": part.header,
        "stored_at": part.stored_at and timestamp(part.stored_at),
    }
