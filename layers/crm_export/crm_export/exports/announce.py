"""Announces an export that has ended, as an event on EventBridge, so that nobody has to poll.

Called where an export ends (`attempt`, `complete`), and by `reconcile` for what could not be announced then.
"""

from datetime import timedelta
from typing import Any

from crm_export import deadline
from crm_export.errors import EventNotSent, StateUnavailable
from crm_export.exports.model import Export, ExportState, timestamp
from crm_export.exports.pipeline import Pipeline
from crm_export.telemetry import count, logger

COMPLETED, FAILED = "Export Completed", "Export Failed"
# After that an event is worth less than the calls of every tick.
_GIVE_UP_AFTER = timedelta(days=1)
_LONGEST_SEND = 20.0  # seconds: three attempts that time out, and the write


def announce(pipeline: Pipeline, export: Export) -> None:
    """Send the event of an export that has ended, at least once, and note that it was sent.

    If the event cannot be sent or noted, or the function's time is almost over, nothing else happens: the
    export stays in the index of open exports, and a later tick of the reconciler announces it.
    """
    if deadline.remaining() < _LONGEST_SEND:
        return
    try:
        detail_type, detail = ended_event(export, pipeline.results_bucket)
        pipeline.events.send(detail_type, detail)
        pipeline.table.mark_announced(export.export_id)
        logger.info("export announced", export_id=export.export_id)
    except (EventNotSent, StateUnavailable) as error:
        count("EventsNotSent")
        logger.warning("export not announced yet", export_id=export.export_id, reason=error.message)


def announce_late(pipeline: Pipeline, export: Export) -> None:
    """Announce an export that has ended and is still in the index of open exports.

    Not within a few minutes of its end, while the worker that ended it may be doing so; and not after a day.
    """
    since = pipeline.clock() - (export.completed_at or export.requested_at)
    if since < pipeline.limits.quiet:
        return
    if since < _GIVE_UP_AFTER:
        announce(pipeline, export)
        return
    logger.error("export never announced", export_id=export.export_id)
    pipeline.table.mark_announced(export.export_id)


def ended_event(export: Export, bucket: str) -> tuple[str, dict[str, Any]]:
    """Return the detail-type and the detail of the event: docs/operations.md, "Events"."""
    detail: dict[str, Any] = {
        "export_id": export.export_id,
        "account_id": export.account_id,
        "owner": export.owner,
        "module": export.module,
        "state": export.state.value,
        "requested_at": timestamp(export.requested_at),
        "completed_at": export.completed_at and timestamp(export.completed_at),
    }
    if export.state is ExportState.COMPLETED:
        return COMPLETED, {
            **detail,
            "records": export.records,
            "bucket": bucket,
            "manifest_key": export.manifest_key,
        }
    return FAILED, {**detail, **(vars(export.failure) if export.failure else {})}
