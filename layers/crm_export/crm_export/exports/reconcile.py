"""Queues quiet parts, fails overdue exports, and announces what was not announced when it ended.

Called by functions/export_reconciler.
"""

from collections.abc import Iterator
from datetime import timedelta
from threading import Lock, Semaphore

from crm_export import deadline
from crm_export.errors import DeadlineExceeded
from crm_export.exports.announce import announce_late
from crm_export.exports.attempt import fail_export
from crm_export.exports.model import (
    Export,
    ExportState,
    Part,
    PartState,
    all_parts_stored,
    awaits_run,
    timestamp,
)
from crm_export.exports.pipeline import Pipeline
from crm_export.telemetry import count, logger, note, noting

_WORKERS = 10  # as many as boto3 keeps connections
_SHARE_OF_TIME = 0.75  # the rest is for the exports that are being looked at when it is over
_LONGEST_PATIENCE = timedelta(hours=1)


def reconcile(pipeline: Pipeline) -> int:
    """Queue every quiet part (docs/design.md, glossary) of every running export; return their number.

    An export past its deadline becomes FAILED. An export that ended and was not announced is announced.
    Several threads share the work. If the time is over before all exports were looked at, the next tick
    continues with the others. Raises an ExceptionGroup if some exports could not be reconciled, after all
    others were.
    """
    tick = _Tick(pipeline, _in_turn(pipeline))
    tick.run()
    pipeline.table.note_reconciled(tick.last if tick.stopped else "")
    count("QuietParts", tick.queued)
    if tick.problems:
        raise ExceptionGroup("Some exports could not be reconciled; all others were.", tick.problems)
    return tick.queued


def _in_turn(pipeline: Pipeline) -> Iterator[str]:
    """Return all open exports by id, beginning after the last one that the previous tick looked at."""
    position = pipeline.table.reconciled_up_to()
    ids = sorted(pipeline.table.open_export_ids())
    return iter([*(i for i in ids if i > position), *(i for i in ids if i <= position)])


class _Tick:
    """One run of the reconciler. `last` is the last export that was begun."""

    def __init__(self, pipeline: Pipeline, export_ids: Iterator[str]) -> None:
        self._pipeline = pipeline
        self._export_ids = export_ids
        self._lock = Lock()
        self._ends_at = pipeline.system.monotonic() + _SHARE_OF_TIME * deadline.remaining()
        self.queued = 0
        self.last = ""
        self.stopped = False
        self.problems: list[Exception] = []

    def run(self) -> None:
        """Let all workers work, and wait for them."""
        ended = Semaphore(0)

        def work() -> None:
            try:
                while (export_id := self._next()) is not None:
                    self._reconcile(export_id)
            finally:
                ended.release()

        for _ in range(_WORKERS):
            self._pipeline.system.start_thread(work)
        for _ in range(_WORKERS):
            ended.acquire()

    def _next(self) -> str | None:
        with self._lock:
            if self._pipeline.system.monotonic() > self._ends_at:
                self.stopped = True
                return None
            export_id = next(self._export_ids, None)
            self.last = export_id or self.last
            return export_id

    def _reconcile(self, export_id: str) -> None:
        with noting(export_id=export_id):
            try:
                queued = _reconcile_export(self._pipeline, export_id)
            except Exception as error:
                logger.exception("export not reconciled")
                with self._lock:
                    self.problems.append(error)
                return
        with self._lock:
            self.queued += queued


def _reconcile_export(pipeline: Pipeline, export_id: str) -> int:
    export = pipeline.table.get(export_id)
    if export is None:
        return 0
    note(account_id=export.account_id, owner=export.owner)
    if export.state is ExportState.CANCELLED and export.cleaned_at is None:
        return _queue_clean_up(pipeline, export)
    if export.state is not ExportState.RUNNING:
        announce_late(pipeline, export)
        return 0
    return _reconcile_parts(pipeline, export)


def _queue_clean_up(pipeline: Pipeline, export: Export) -> int:
    """Queue the deletion of a cancelled export's objects again, which goes on while they are there."""
    if export.completed_at is not None and pipeline.clock() - export.completed_at < pipeline.limits.quiet:
        return 0
    pipeline.enqueue_new(export, export.first_part)
    logger.info("clean-up queued again")
    return 1


def _reconcile_parts(pipeline: Pipeline, export: Export) -> int:
    parts = pipeline.table.get_parts(export)
    # If all parts are stored and the export is not COMPLETED, looking at the last part completes it.
    waiting = [part for part in parts if part.state is not PartState.STORED]
    overdue = pipeline.clock() > export.deadline_at
    is_stored = all_parts_stored(export, parts)
    if is_stored:
        waiting = parts[-1:]
    if overdue and (not is_stored or awaits_run(export)):
        first = waiting[0] if waiting else None
        fail_export(pipeline, export, first.part if first else None, _deadline_exceeded(export, first))
        return 0
    queued = 0
    for part in waiting:
        # An overdue export whose parts are all stored ends at once, whatever was queued before.
        if _is_quiet(pipeline, part) and (overdue or not _is_in_flight(pipeline, part)):
            queued += _queue(pipeline, export, part)
    return queued


def _queue(pipeline: Pipeline, export: Export, part: Part) -> bool:
    if not pipeline.table.note_queued(part, pipeline.clock()):
        return False  # it has just changed, or another tick queues it
    pipeline.enqueue(export, part)
    logger.info("quiet part", part=part.part, state=part.state, job_id=part.job_id)
    return True


def _deadline_exceeded(export: Export, part: Part | None) -> DeadlineExceeded:
    """Describe the failure of an export that is not complete in time, with the last error of its part."""
    why = ""
    if part is not None:
        is_stored = part.state is PartState.STORED
        left = f"part {part.part} was not stored ({part.state})"
        why = "; all parts are stored, but the sync could not end the run" if is_stored else f"; {left}"
        if error := part.last_error:
            why += f". Its last error, {error.at}: {error.code}: {error.message}"
    return DeadlineExceeded(
        f"Export {export.export_id} was not complete by {timestamp(export.deadline_at)}{why.rstrip('.')}."
    )


def _is_quiet(pipeline: Pipeline, part: Part) -> bool:
    now = pipeline.clock()
    is_leased = part.lease_until is not None and part.lease_until > now
    is_paused = part.not_before is not None and part.not_before > now
    return not is_leased and not is_paused and part.updated_at <= now - pipeline.limits.quiet


def _is_in_flight(pipeline: Pipeline, part: Part) -> bool:
    """True if the message of an earlier tick is probably still in the queue.

    Probably for as long as the part had been quiet when it was sent, at most an hour: so a lost message costs
    little, and a backlog does not fill up with copies.
    """
    if part.queued_at is None or part.queued_at < part.updated_at:
        return False
    patience = min(part.queued_at - part.updated_at, _LONGEST_PATIENCE)
    return pipeline.clock() < part.queued_at + patience
