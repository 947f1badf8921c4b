"""Completes an export when every part is stored: first the manifest, then COMPLETED."""

from datetime import timedelta
from typing import Any

from crm_export import PRODUCT, deadline
from crm_export.errors import ExportError, HeadersDiffer, ManifestConflict, PartsOverlap, StorageRefused
from crm_export.exports.announce import announce
from crm_export.exports.attempt import Attempt, busy, fail_export, report_failure, restart_export
from crm_export.exports.fit import check_parts, ids_are_unique
from crm_export.exports.model import Export, Failure, Part, all_parts_stored, is_snapshot, timestamp
from crm_export.exports.pipeline import Pipeline
from crm_export.exports.runs import Run
from crm_export.exports.witness import GAP, Witness, testify
from crm_export.telemetry import count, logger
from crm_export.zoho.credits import metering

# How long after its deadline an export waits for a manifest that S3 refuses.
_GRACE = timedelta(hours=1)
# Longer than a function runs: no worker that began before `gave_up_at` can still write a manifest.
_LONGEST_WRITE = timedelta(minutes=20)
_SECONDS_FOR_FIELDS, _SECONDS_TO_WRITE = 10.0, 15.0  # of the function's time


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
    if export.sync is not None and export.sync.result is None and export.completed_at is None:
        finished = _finish_run(pipeline, export, export.sync, parts)
        if finished is None:
            return
        export = finished
    records = sum(int(part.records or 0) for part in parts)
    witness = _witness(pipeline, export, records) if export.completed_at is None else None
    sealed = pipeline.table.seal(export, pipeline.clock(), records, witness)
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


def _witness(pipeline: Pipeline, export: Export, records: int) -> Witness | None:
    with metering(apart=True) as meter:
        witness = testify(pipeline, export, records)
    if export.sync is not None and meter.credits:
        pipeline.table.add_credits(export.export_id, meter.credits)
    return witness


def _finish_run(pipeline: Pipeline, export: Export, run: Run, parts: list[Part]) -> Export | None:
    """Let the sync read deletions and compare; None if another worker does so, or has changed the export.

    It is a step like those of parts, with the lease of the last one. Raises PartBusy, StepPostponed.
    """
    last = parts[-1]
    attempt = Attempt.claim(pipeline, export, last, owner=pipeline.system.random_hex(16))
    if attempt is None:
        reason = busy(pipeline, last)
        if reason is None:
            return None
        raise reason
    with attempt:
        found = pipeline.runs.find(pipeline, export, run, parts, attempt.confirm)
        finished = pipeline.table.amend(export, sync=found)
    attempt.release()
    return finished


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
    with metering(apart=True) as meter:
        fields = _field_types(pipeline, export)
    document = manifest(export, parts, fields, meter.credits)
    # Only then can the folder hold other parts, or an index that another attempt has stored.
    if export.generation > 1 or export.sync is not None:
        _check_manifest(export, pipeline.results.read_manifest(export.manifest_key), document)
        pipeline.results.remove_leftovers(export.folder, _keys_of(export, parts))
    if not pipeline.results.write_manifest(export.manifest_key, document):
        _check_manifest(export, pipeline.results.read_manifest(export.manifest_key), document)


def _keys_of(export: Export, parts: list[Part]) -> set[str]:
    """Return the keys of all objects that belong to an export."""
    keys = {key for part in parts for key in (part.key, part.index)}
    result = export.sync.result if export.sync else None
    if result is not None:
        keys |= {result.deleted_key, result.removed_key, result.diff_key}
    return {key for key in keys if key is not None}


def _field_types(pipeline: Pipeline, export: Export) -> list[dict[str, Any]] | None:
    """Return the types of the module's fields, or None if Zoho does not say them within ten seconds."""
    with deadline.ends_in(min(_SECONDS_FOR_FIELDS, deadline.remaining() - _SECONDS_TO_WRITE)):
        try:
            return pipeline.zoho_for(export).census.fields(export.api_version, export.module) or None
        except ExportError as error:
            logger.info("fields not described", code=error.code, reason=error.message)
            return None


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
    if export.sync is not None:
        completed = pipeline.runs.complete(pipeline, export)
    else:
        completed = pipeline.table.complete(export.export_id)
    if completed is not None:
        count("ExportsCompleted")
        logger.info("export completed", export_id=export.export_id, records=export.records)
        if completed.witness is not None and completed.witness.verdict == GAP:
            count("WitnessGaps")
            logger.error("records are missing", export_id=export.export_id, reason=completed.witness.why)
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


def manifest(
    export: Export, parts: list[Part], fields: list[dict[str, Any]] | None = None, credits: int = 0
) -> dict[str, Any]:
    """Return the manifest of a sealed export, docs/manifest.schema.json.

    But for `fields`, the types of the module's fields, and `credits`, what reading them cost, repeated calls
    return the same.
    """
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
        "fields": fields,
        "witness": export.witness and export.witness.to_dict(),
        "snapshot": is_snapshot(export, parts),
        "ids_unique": ids_are_unique(parts),
        "requested_at": timestamp(export.requested_at),
        "completed_at": export.completed_at and timestamp(export.completed_at),
        "records": sum(int(part.records or 0) for part in parts),
        "bytes": sum(int(part.bytes or 0) for part in parts),
        "sync": export.sync
        and {**export.sync.in_manifest(), "credits": export.sync.credits + export.credits + credits},
        "parts": [_manifest_part(part) for part in parts if part.key is not None],
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
        "index": part.index,
        "stored_at": part.stored_at and timestamp(part.stored_at),
    }
