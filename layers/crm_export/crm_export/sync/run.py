"""Starts the runs of a sync. Called by functions/bulk_read_submitter, for a message or for a request."""

from dataclasses import replace
from datetime import datetime, timedelta

from crm_export.errors import (
    CreditShareSpent,
    ExportError,
    QueueUnavailable,
    RunInProgress,
    StateUnavailable,
    TooManyOpenExports,
)
from crm_export.exports.model import Caller, Export, ExportState, Failure, Part, PartState
from crm_export.exports.pipeline import Pipeline, Zoho
from crm_export.exports.request import ExportRequest
from crm_export.exports.runs import FULL, Run
from crm_export.exports.start import begin, check_open_exports, new_export
from crm_export.sync.credits import book_rest, check_share, estimate
from crm_export.sync.model import Blocked, Sync, Syncs
from crm_export.sync.schedule import next_due
from crm_export.sync.window import needs_job, plan, signature_of, window_from
from crm_export.telemetry import count, logger, note
from crm_export.zoho.credits import metering

_SOON = 300  # seconds until a blocked sync is tried again, if its error does not say when
_LONGEST_PAUSE = timedelta(days=1)  # someone may have mended what keeps a run from starting


def run_due(syncs: Syncs, account_id: str, module: str) -> None:
    """Start the run of a sync if it is due; what keeps it from starting is noted in the sync.

    Raises only what the queue should deliver again.
    """
    note(account_id=account_id, zoho_module=module)
    sync = syncs.table.get(account_id, module)
    if sync is None or sync.due_at is None or sync.due_at > syncs.pipeline.clock():
        return
    try:
        start_run(syncs, sync)
    except (StateUnavailable, QueueUnavailable):
        raise
    except ExportError as error:
        _note_blocked(syncs, sync, error)


def start_run(syncs: Syncs, sync: Sync, requested: str | None = None) -> Export:
    """Start a run and return its export. requested: the kind that a user asked for.

    Raises RunInProgress if a run is not complete yet, CreditShareSpent, and as `start_export` does.
    """
    pipeline, table, limits = syncs.pipeline, syncs.table, syncs.limits
    ended = _ended_run(pipeline, sync)
    check_open_exports(pipeline, sync.account_id)
    zoho = pipeline.zoho(sync.account_id, sync.owner)
    version = pipeline.limits.api_version
    begins = window_from(sync, limits.lag)
    with metering() as meter:
        probe = zoho.changes.probe(version, sync.module, begins)
        run = plan(sync, probe.at, limits.lag, requested)
        if run.kind == FULL:
            run = replace(run, signature=_signature(zoho, version, sync))
    # If Zoho's clock was set back, the window begins earlier than the probe was asked about.
    has_changes = probe.has_changes or run.window_from != begins
    with_job = needs_job(sync, run, probe.at, has_changes=has_changes)
    spent = table.spent(sync.account_id, pipeline.clock())
    cost = estimate(sync, run, with_job=with_job)
    try:
        check_share(limits.credit_share, probe.credits_remaining, spent, cost)
    except CreditShareSpent:
        table.spend(sync.account_id, pipeline.clock(), meter.credits)
        raise
    table.spend(sync.account_id, pipeline.clock(), meter.credits + cost)
    run = replace(run, credits=meter.credits, booked=meter.credits + cost)
    return _start(syncs, sync, run, ended, with_job=with_job)


def _signature(zoho: Zoho, version: str, sync: Sync) -> str | None:
    """Return the signature of the names of the module's fields, or None if Zoho does not describe them."""
    try:
        return signature_of(sync.query, zoho.census.fields(version, sync.module), types=False)
    except ExportError as error:
        logger.info("fields not described", code=error.code, reason=error.message)
        return None


def _start(syncs: Syncs, sync: Sync, run: Run, ended: Export | None, *, with_job: bool) -> Export:
    pipeline, now = syncs.pipeline, syncs.pipeline.clock()
    request = ExportRequest(sync.module, sync.query, "csv")
    caller = Caller(sync.account_id, sync.owner)
    export = replace(new_export(pipeline, caller, request, sync.callback_base_url), sync=run)
    first = Part(export.export_id, 1, now)
    if not with_job:  # nothing to read: the deletions are next
        first = replace(first, state=PartState.STORED, records=0, stored_at=now)
    after = sync.next(open_run=export.export_id, due_at=next_due(sync, now), queued_at=None, blocked=None)
    if not syncs.table.start_run(export, first, after):
        raise RunInProgress(f"The sync of {sync.module} was changed or started by another request.")
    if ended is not None:  # once, because the sync does not name it any more
        book_rest(syncs.table, ended, now)
    logger.info("run started", export_id=export.export_id, kind=run.kind, reason=run.reason)
    count("SyncRunsStarted")
    return begin(pipeline, export, first)


def _ended_run(pipeline: Pipeline, sync: Sync) -> Export | None:
    """Return the sync's last export if it ended without completing; that changes nothing in the sync.

    Raises RunInProgress while it runs.
    """
    export = pipeline.table.get(sync.open_run) if sync.open_run else None
    if export is not None and export.state is ExportState.RUNNING:
        raise RunInProgress(
            f"The sync of {sync.module} has a run in progress, export {export.export_id}.", retry_after=_SOON
        )
    return export


def _note_blocked(syncs: Syncs, seen: Sync, error: ExportError) -> None:
    """Note why a run did not start, and when it is tried again, unless another worker has started it."""
    sync = syncs.table.get(seen.account_id, seen.module)
    if sync is None or sync.due_at is None or sync.open_run != seen.open_run:
        return
    now = syncs.pipeline.clock()
    again = _again_at(sync, error, now)
    blocked = None if isinstance(error, RunInProgress) else _blocked(sync, error, now)
    syncs.table.write(sync.next(blocked=blocked, due_at=again, queued_at=None))


def _blocked(sync: Sync, error: ExportError, now: datetime) -> Blocked:
    logger.warning("sync blocked", code=error.code, reason=error.message)
    count("SyncsBlocked")
    since = sync.blocked.since if sync.blocked and sync.blocked.code == error.code else now
    return Blocked(**vars(Failure.of(error)), since=since)


def _again_at(sync: Sync, error: ExportError, now: datetime) -> datetime:
    """Return when to try again: soon for what passes by itself, else in its rhythm, within a day."""
    passes = error.retryable or isinstance(error, CreditShareSpent | RunInProgress | TooManyOpenExports)
    if passes:
        return now + timedelta(seconds=max(error.retry_after or _SOON, _SOON))
    return min(next_due(sync, now) or now, now + _LONGEST_PAUSE)
