"""Queues quiet parts and fails overdue exports. Called by functions/export_reconciler."""

from crm_export.errors import DeadlineExceeded
from crm_export.exports.attempt import fail_export
from crm_export.exports.model import Export, ExportState, Part, PartState, all_parts_stored, timestamp
from crm_export.exports.pipeline import Pipeline
from crm_export.telemetry import count, logger


def reconcile(pipeline: Pipeline) -> int:
    """Queue every quiet part (docs/design.md, glossary) of every running export; return their number.

    An export past its deadline becomes FAILED. Raises an ExceptionGroup if some exports could not be
    reconciled, after all others were.
    """
    queued, problems = 0, list[Exception]()
    for export_id in pipeline.table.running_export_ids():
        try:
            export = pipeline.table.get(export_id)
            if export is not None and export.state is ExportState.RUNNING:
                queued += _reconcile_export(pipeline, export)
        except Exception as error:
            logger.exception("export not reconciled", export_id=export_id)
            problems.append(error)
    count("QuietParts", queued)
    if problems:
        raise ExceptionGroup("Some exports could not be reconciled; all others were.", problems)
    return queued


def _reconcile_export(pipeline: Pipeline, export: Export) -> int:
    parts = pipeline.table.get_parts(export)
    # If all parts are stored and the export is not COMPLETED, looking at the last part completes it.
    waiting = [part for part in parts if part.state is not PartState.STORED]
    if all_parts_stored(export, parts):
        waiting = parts[-1:]
    elif pipeline.clock() > export.deadline_at:
        number = waiting[0].part if waiting else None
        error = DeadlineExceeded(
            f"Export {export.export_id} was not complete by {timestamp(export.deadline_at)}; "
            f"part {number} was not stored."
        )
        fail_export(pipeline, export, number, error)
        return 0
    quiet = [part for part in waiting if _is_quiet(pipeline, part)]
    for part in quiet:
        pipeline.enqueue(export, part)
        logger.info("quiet part", export_id=part.export_id, part=part.part, state=part.state)
    return len(quiet)


def _is_quiet(pipeline: Pipeline, part: Part) -> bool:
    now = pipeline.clock()
    is_leased = part.lease_until is not None and part.lease_until > now
    is_paused = part.not_before is not None and part.not_before > now
    return not is_leased and not is_paused and part.updated_at <= now - pipeline.limits.quiet
