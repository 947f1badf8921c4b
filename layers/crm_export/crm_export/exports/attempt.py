"""One leased attempt at a step of a part, and what happens to the export when it fails.

A part is leased while a worker is busy with it, so that no two workers do the same step at the same time. The
lease is short and renewed, so that a dead worker's part is soon taken over, and a slow worker's is not.
"""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self

from crm_export import deadline
from crm_export.errors import ExportError, PartBusy, StateUnavailable, StepFailed, StepPostponed, WorkerDied
from crm_export.exports.announce import announce
from crm_export.exports.model import Export, ExportState, Failure, LastError, Part
from crm_export.exports.pipeline import Pipeline
from crm_export.telemetry import count, logger, note
from crm_export.zoho.credits import metering

LEASE_SECONDS = 90.0
_RENEW_SECONDS = 15.0
_MAX_DEATHS = 8
_MAX_GENERATIONS = 3
_FIRST_DELAY, _LONGEST_DELAY = 15, 900  # seconds
_BUSY_SECONDS = range(5, 61, 5)  # when to look again at a part that another worker holds
_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds to wait for the table before a failure goes unrecorded


class Attempt:
    """A context in which one step of a leased part runs.

    While it runs, the lease is renewed every 15 seconds, whatever the step waits for. An exception in it is
    recorded: the lease ends and the part waits for `retry_delay`, or, at the last attempt, the export becomes
    FAILED. If another attempt follows, an ExportError becomes StepPostponed with the error as its cause. All
    other exceptions propagate unchanged.
    """

    def __init__(
        self, pipeline: Pipeline, export: Export, part: Part, owner: str, *, refused: bool = False
    ) -> None:
        self.export = export
        self.part = part
        self._pipeline = pipeline
        self.owner = owner  # the name under which the lease is held
        self._refused = refused
        self._lost = False
        self._stop_renewing: Callable[[], None] = lambda: None
        self._ending = ExitStack()

    @classmethod
    def claim(
        cls, pipeline: Pipeline, export: Export, part: Part, *, owner: str, refused: bool = False
    ) -> Self | None:
        """Lease a part for one step; None if another worker holds it or it has to wait.

        refused: the caller gets a terminal error as the response, so it is counted without an alarm.
        Raises WorkerDied, and fails the export, if earlier workers died at this step too often.
        """
        now = pipeline.clock()
        # The owner of an expired lease joins `dead_owners` when the lease is taken over.
        expired = part.lease_owner if part.lease_until is not None and part.lease_until < now else None
        deaths = len(part.dead_owners | ({expired} if expired else set()))
        if deaths >= _MAX_DEATHS:
            error = WorkerDied(
                f"{deaths} workers were lost on part {part.part} ({part.state}) of export "
                f"{export.export_id}: each died (of a timeout, or out of memory), or its lease ran out "
                "during a slow call."
            )
            fail_export(pipeline, export, part.part, error)
            raise error
        # Repeated until its outcome is known: an unnoticed lease would look like the lease of a dead worker.
        claimed = patiently(
            pipeline, lambda: pipeline.table.claim(part, owner, now, pipeline.after(LEASE_SECONDS))
        )
        if claimed is None:
            return None
        return cls(pipeline, export, claimed, owner, refused=refused)

    def keep(self) -> None:
        """Raise PartBusy if another worker took the lease over."""
        if self._lost:
            raise PartBusy(
                f"The lease on part {self.part.part} of export {self.export.export_id} was taken over by "
                "another worker."
            )

    def confirm(self) -> None:
        """Renew the lease now, and check that the export still needs the part's object. Raises PartBusy."""
        table, export = self._pipeline.table, self.export
        now = table.get(export.export_id)
        needed = (
            now is not None
            and now.state is ExportState.RUNNING
            and now.generation == export.generation
            and now.completed_at is None
        )
        if not needed:
            raise PartBusy(f"Export {export.export_id} was changed by another worker.")
        self._lost = not table.renew(self.part, self.owner, self._pipeline.after(LEASE_SECONDS))
        self.keep()

    def release(self) -> None:
        """End the lease without a transition."""
        patiently(self._pipeline, self._release)

    def is_last(self, error: ExportError) -> bool:
        """True if `error` would use up the step's last attempt. Throttling and outages do not count."""
        strikes = self.part.strikes.get(error.code, 0)
        return error.max_attempts is not None and strikes + 1 >= error.max_attempts

    def __enter__(self) -> Self:
        # An attempt within this one counts its own.
        self._meter = self._ending.enter_context(metering(apart=True))
        self._stop_renewing = self._pipeline.system.repeat(_RENEW_SECONDS, self._renew)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_renewing()
        self._ending.close()
        self._note_credits()
        if isinstance(raised, Exception):
            self._settle(raised)

    def _renew(self) -> bool:
        """Renew the lease; return True if it is to be renewed again."""
        try:
            self._lost = not self._pipeline.table.renew(
                self.part, self.owner, self._pipeline.after(LEASE_SECONDS)
            )
        except StateUnavailable:
            return True  # the lease is longer than a few renewals
        return not self._lost

    def _note_credits(self) -> None:
        """Add what the step has cost to the run of a sync; lost with the worker, and not worth an error."""
        if self.export.sync is None or not self._meter.credits:
            return
        with suppress(StateUnavailable):
            self._pipeline.table.add_credits(self.export.export_id, self._meter.credits)

    def _settle(self, raised: Exception) -> None:
        part, pipeline = self.part, self._pipeline
        described = f"Part {part.part} ({part.state}) failed with {type(raised).__name__}."
        error = raised if isinstance(raised, ExportError) else StepFailed(described)
        if self.is_last(error):
            patiently(
                pipeline,
                lambda: fail_export(pipeline, self.export, part.part, error, refused=self._refused),
            )
            return
        delay = retry_delay(error, part.attempts + 1)
        patiently(pipeline, lambda: self._release(error, delay))
        if error is raised:
            raise StepPostponed(error.message, retry_after=delay) from raised

    def _release(self, error: ExportError | None = None, delay: float = 0) -> None:
        """End the lease. If another worker took it over meanwhile, this worker has not died after all."""
        pipeline, part, now = self._pipeline, self.part, self._pipeline.clock()
        if error is None:
            released = pipeline.table.release(part, self.owner, now)
        else:
            strikes = {error.code: part.strikes.get(error.code, 0) + 1}
            released = pipeline.table.release(
                part,
                self.owner,
                now,
                # A second less than the delay, so that the message does not arrive before the pause is over.
                not_before=pipeline.after(delay - 1),
                asked=error.retry_after is not None,
                last_error=LastError.of(error, now),
                strikes=None if error.max_attempts is None else part.strikes | strikes,
            )
        if not released:
            pipeline.table.cancel_death(part, self.owner)


def note_part(export: Export, part: Part) -> None:
    """Let the log lines that follow name the export and the part."""
    note(
        account_id=export.account_id,
        owner=export.owner,
        export_id=export.export_id,
        part=part.part,
        job_id=part.job_id,
    )


def patiently[T](pipeline: Pipeline, write: Callable[[], T]) -> T:
    """Write to the table; if it is unavailable, wait for it, as long as there is time."""
    for pause in _PAUSES:
        try:
            return write()
        except StateUnavailable:
            if deadline.remaining() < pause + 1:
                raise
            pipeline.system.sleep(pause)
    return write()


def retry_delay(error: ExportError, attempt: int) -> int:
    """Return the seconds to wait after failed attempt 1, 2, …: the error's own, else 15, 30, 60 up to 900."""
    return min(error.retry_after or _FIRST_DELAY * 2 ** min(attempt - 1, 6), _LONGEST_DELAY)


def busy(pipeline: Pipeline, part: Part) -> PartBusy | None:
    """Return why a part could not be claimed if another worker holds its lease, else None."""
    seen = pipeline.table.get_part(part.export_id, part.part)
    if seen is None or seen.state is not part.state or seen.lease_until is None:
        return None
    lease_ends = seen.lease_until
    wait = next((s for s in _BUSY_SECONDS if pipeline.after(s) > lease_ends), _BUSY_SECONDS[-1])
    return PartBusy(
        f"Part {part.part} of export {part.export_id} is locked by another worker.", retry_after=wait
    )


def fail_export(
    pipeline: Pipeline, export: Export, part: int | None, error: ExportError, *, refused: bool = False
) -> None:
    """End an export in FAILED with `error` as its reason. `refused` is explained at Attempt.claim."""
    failed = pipeline.table.fail(export, part, Failure.of(error), pipeline.clock())
    if failed is not None:
        report_failure(pipeline, failed, part, error, refused=refused)


def report_failure(
    pipeline: Pipeline, export: Export, part: int | None, error: ExportError, *, refused: bool = False
) -> None:
    """Count, log and announce an export that has just become FAILED."""
    count("ExportsRefused" if refused else "ExportsFailed")
    logger.error(
        "export failed", export_id=export.export_id, part=part, code=error.code, reason=error.message
    )
    announce(pipeline, export)


def restart_export(pipeline: Pipeline, export: Export, error: ExportError) -> None:
    """Restart an export as a new generation, so that it never mixes two snapshots or two lists of fields.

    Its new first part is queued, unless another worker changed the export first. Raises `error` if this was
    the last generation.
    """
    if export.generation >= _MAX_GENERATIONS:
        raise error
    first = pipeline.table.get_parts(export)[-1].part + 1
    if pipeline.table.restart(export, Part(export.export_id, first, pipeline.clock())):
        count("ExportsRestarted")
        logger.warning("export restarts", export_id=export.export_id, code=error.code, reason=error.message)
        pipeline.enqueue_new(export, first)
