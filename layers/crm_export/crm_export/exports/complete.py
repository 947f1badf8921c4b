"""Completes an export when every part is stored: first the manifest, then COMPLETED."""

from datetime import timedelta
from typing import Any

from crm_export import PRODUCT
from crm_export.errors import ExportError, HeadersDiffer, ManifestConflict, PartsOverlap, StorageRefused
from crm_export.exports.announce import announce
from crm_export.exports.attempt import fail_export, report_failure, restart_export
from crm_export.exports.fit import check_parts, ids_are_unique
from crm_export.exports.model import Export, Failure, Part, all_parts_stored, is_snapshot, timestamp
from crm_export.exports.pipeline import Pipeline
from crm_export.telemetry import count, logger

# How long after its deadline an export waits for a manifest that S3 refuses.
_GRACE = timedelta(hours=1)
# Longer than a function runs: no worker that began before `gave_up_at` can still write a manifest.
_LONGEST_WRITE = timedelta(minutes=20)


def complete_export(pipeline: Pipeline, export: Export) -> None:
    """RUNNING → COMPLETED if all parts are stored, else nothing. Safe to call at any time and repeatedly.

    The export is sealed first, so that no deadline can fail an export whose manifest exists. If the parts do
    not fit together, the export restarts or fails. Raises StorageUnavailable, StorageRefused.
    """
    parts = pipeline.table.get_parts(export)
    if not all_parts_stored(export, parts):
        return
    if export.completed_at is None and not _fit_together(pipeline, export, parts):
        return
    sealed = pipeline.table.seal(export, pipeline.clock(), sum(int(part.records or 0) for part in parts))
    if sealed is None:
        return
    if sealed.gave_up_at is not None:
        _end_given_up(pipeline, sealed, parts)
        return
    try:
        _publish(pipeline, sealed, parts)
    except ManifestConflict as error:
        _fail_sealed(pipeline, sealed, error)
        return
    except StorageRefused as error:
        if pipeline.clock() > sealed.deadline_at + _GRACE:
            pipeline.table.give_up(sealed, Failure.of(error), pipeline.clock())
        raise
    _complete(pipeline, sealed)


def _fit_together(pipeline: Pipeline, export: Export, parts: list[Part]) -> bool:
    """Return True if the parts have the same columns and no record twice. Else restart or fail the export."""
    try:
        check_parts(parts, pipeline.results.read_ids)
    except HeadersDiffer as error:
        try:
            restart_export(pipeline, export, error)
        except HeadersDiffer:  # of the last generation, too
            fail_export(pipeline, export, None, error)
        return False
    except PartsOverlap as error:
        fail_export(pipeline, export, None, error)
        return False
    return True


def _publish(pipeline: Pipeline, export: Export, parts: list[Part]) -> None:
    """Write the manifest. Raises ManifestConflict, before anything is changed, if there is another one."""
    document = manifest(export, parts)
    if export.generation > 1:  # only then can the folder hold other parts
        _check_manifest(export, pipeline.results.read_manifest(export.manifest_key), document)
        pipeline.results.remove_leftovers(export.folder, {str(part.key) for part in parts})
    if not pipeline.results.write_manifest(export.manifest_key, document):
        _check_manifest(export, pipeline.results.read_manifest(export.manifest_key), document)


def _check_manifest(export: Export, found: dict[str, Any] | None, document: dict[str, Any]) -> None:
    if found is not None and not _same(found, document):
        raise ManifestConflict(
            f"{export.manifest_key} exists and describes other parts than the state of the export does; it "
            "was left as it is."
        )


def _same(found: dict[str, Any], document: dict[str, Any]) -> bool:
    names = ("export_id", "generation", "records", "bytes")
    return all(found.get(name) == document[name] for name in names) and [
        (part.get("key"), part.get("crc32")) for part in found.get("parts", [])
    ] == [(part["key"], part["crc32"]) for part in document["parts"]]


def _complete(pipeline: Pipeline, export: Export) -> None:
    completed = pipeline.table.complete(export.export_id)
    if completed is not None:
        count("ExportsCompleted")
        logger.info("export completed", export_id=export.export_id, records=export.records)
        announce(pipeline, completed)


def _end_given_up(pipeline: Pipeline, export: Export, parts: list[Part]) -> None:
    """End a sealed export whose manifest S3 refused beyond the deadline: FAILED, if there is no manifest."""
    if export.gave_up_at is None or pipeline.clock() < export.gave_up_at + _LONGEST_WRITE:
        return
    try:
        found = pipeline.results.read_manifest(export.manifest_key)
    except StorageRefused as error:  # nobody can read a manifest that S3 refuses to show
        _fail_sealed(pipeline, export, error)
        return
    if found is None:
        refused = export.failure.message if export.failure else "S3 refused the manifest."
        _fail_sealed(pipeline, export, StorageRefused(refused))
    elif _same(found, manifest(export, parts)):
        _complete(pipeline, export)
    else:
        _fail_sealed(pipeline, export, ManifestConflict(f"{export.manifest_key} describes other parts."))


def _fail_sealed(pipeline: Pipeline, export: Export, error: ExportError) -> None:
    failed = pipeline.table.fail_sealed(export, Failure.of(error), pipeline.clock())
    if failed is not None:
        report_failure(pipeline, failed, None, error)


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
        "ids_unique": ids_are_unique(parts),
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
        "ids": part.ids and part.ids.to_dict(),
        "stored_at": part.stored_at and timestamp(part.stored_at),
    }
