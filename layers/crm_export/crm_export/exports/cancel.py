"""Cancels exports and deletes what they stored.

`cancel_export` is called by functions/bulk_read_submitter, `clean_up` by `download`.
"""

from crm_export.errors import ExportNotCancellable, QueueUnavailable
from crm_export.exports.announce import announce
from crm_export.exports.model import Caller, Export, ExportState
from crm_export.exports.pipeline import Pipeline
from crm_export.exports.view import find_export
from crm_export.telemetry import count, logger


def cancel_export(pipeline: Pipeline, caller: Caller, export_id: str) -> Export:
    """RUNNING → CANCELLED, and queue the deletion of what is stored. Return the export.

    A CANCELLED export is returned as it is. Raises ExportNotFound, and ExportNotCancellable if the export has
    ended otherwise or is sealed: then its manifest may already be there.
    """
    export = find_export(pipeline, caller, export_id)
    cancelled = pipeline.table.cancel(export_id, pipeline.clock())
    if cancelled is None:
        export = find_export(pipeline, caller, export_id)
        if export.state is not ExportState.CANCELLED:
            raise _not_cancellable(export)
        return export
    count("ExportsCancelled")
    logger.info("export cancelled", export_id=export_id)
    try:
        pipeline.enqueue_new(cancelled, cancelled.first_part)
    except QueueUnavailable as error:
        logger.warning("clean-up left to the reconciler", export_id=export_id, reason=error.message)
    return cancelled


def clean_up(pipeline: Pipeline, export: Export) -> None:
    """Delete the objects of a CANCELLED export, and announce its end. Safe to call repeatedly.

    Once is enough: no worker confirms an object of a CANCELLED export, and an object that was confirmed
    before is there already, or its upload is aborted. Raises StorageUnavailable, StorageRefused.
    """
    pipeline.results.remove_leftovers(export.folder, set())
    cleaned = pipeline.table.mark_cleaned(export.export_id, pipeline.clock())
    if cleaned is not None:
        logger.info("cancelled export cleaned up", export_id=export.export_id)
        announce(pipeline, cleaned)


def _not_cancellable(export: Export) -> ExportNotCancellable:
    if export.state is ExportState.RUNNING:
        why = "all its parts are stored, and its manifest is being written"
    else:
        why = f"it is {export.state}"
    return ExportNotCancellable(f"Export {export.export_id} cannot be cancelled: {why}.")
