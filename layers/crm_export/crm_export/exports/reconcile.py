"""Finds parts that went quiet and pushes them on. Called by functions/export_reconciler."""

from dataclasses import dataclass

from crm_export.errors import DeadlineExceeded
from crm_export.exports.attempt import fail_export
from crm_export.exports.complete import all_parts_stored
from crm_export.exports.model import Export, ExportState, Part, PartState
from crm_export.exports.pipeline import Clock, ExportStore, PartQueue, at
from crm_export.telemetry import count, logger


@dataclass(frozen=True)
class ReconcileServices:
    """What reconciling needs. A part is quiet after `quiet_seconds` without a change."""

    store: ExportStore
    submit_queue: PartQueue
    download_queue: PartQueue
    clock: Clock
    quiet_seconds: int


def reconcile(services: ReconcileServices) -> int:
    """Queue every quiet part of every open export for its next step; return how many."""
    pushed, problems = 0, list[Exception]()
    for export_id in services.store.open_export_ids():
        try:
            export = services.store.get(export_id)
            if export is not None and export.state is ExportState.RUNNING:
                pushed += _reconcile_export(services, export)
        except Exception as error:
            logger.exception("export not reconciled", export_id=export_id)
            problems.append(error)
    count("QuietParts", pushed)
    if problems:
        raise ExceptionGroup("Some exports could not be reconciled; all others were.", problems)
    return pushed


def _reconcile_export(services: ReconcileServices, export: Export) -> int:
    parts = services.store.get_parts(export)
    done = all_parts_stored(export, parts)
    if not done and at(services.clock) > export.deadline_at:
        waiting = next((part.part for part in parts if part.state is not PartState.STORED), None)
        error = DeadlineExceeded(
            f"Export {export.export_id} was not complete by {export.deadline_at}; part {waiting} was missing."
        )
        fail_export(services.store, services.clock, export, waiting, error)
        return 0
    # All stored but not COMPLETED: looking at the last part completes the export.
    waiting_parts = parts[-1:] if done else [part for part in parts if part.state is not PartState.STORED]
    quiet = [part for part in waiting_parts if _is_quiet(services, part)]
    for part in quiet:
        submit = part.state is PartState.PENDING and not part.hinted_job_id and not export.is_readable
        queue = services.submit_queue if submit else services.download_queue
        queue.send(part.export_id, part.part)
        logger.info("quiet part", export_id=part.export_id, part=part.part, state=part.state)
    return len(quiet)


def _is_quiet(services: ReconcileServices, part: Part) -> bool:
    now = at(services.clock)
    if (part.lease_until or "") > now or (part.not_before or "") > now:
        return False
    return part.updated_at <= at(services.clock, seconds=-services.quiet_seconds)
