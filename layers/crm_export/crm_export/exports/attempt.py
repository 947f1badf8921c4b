"""One leased attempt at a step of a part, and what happens to the export when it fails.

A part is leased while a worker is busy with it, so that no two workers do the same step at the same time. The
lease is short and renewed, so that a dead worker's part is soon taken over.
"""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from crm_export.errors import ExportError, PartBusy, StepFailed, StepPostponed, WorkerDied
from crm_export.exports.model import Export, Failure, Part
from crm_export.exports.pipeline import Pipeline
from crm_export.telemetry import count, logger

LEASE_SECONDS = 90.0  # longer than any call, and than the longest pause within a result
_RENEW_SECONDS = 15.0
_MAX_CRASHES = 3
_MAX_GENERATIONS = 3
_FIRST_DELAY, _LONGEST_DELAY = 15, 900  # seconds
_BUSY_SECONDS = range(5, 61, 5)  # when to look again at a part that another worker holds


class Attempt:
    """A context in which one step of a leased part runs.

    An exception in it is recorded: the lease ends and the part waits for `retry_delay`, or, at the last
    attempt, the export becomes FAILED. If another attempt follows, an ExportError becomes StepPostponed with
    the error as its cause. All other exceptions propagate unchanged.
    """

    def __init__(
        self, pipeline: Pipeline, export: Export, part: Part, owner: str, *, refused: bool = False
    ) -> None:
        self.export = export
        self.part = part
        self._pipeline = pipeline
        self.owner = owner  # the name under which the lease is held
        self._refused = refused
        self._renewed_at = pipeline.clock()

    @classmethod
    def claim(
        cls,
        pipeline: Pipeline,
        export: Export,
        part: Part,
        *,
        owner: str,
        seconds: float = LEASE_SECONDS,
        refused: bool = False,
    ) -> Self | None:
        """Lease a part for one step; None if another worker holds it or it has to wait.

        refused: the caller gets a terminal error as the response, so it is counted without an alarm.
        Raises WorkerDied, and fails the export, if earlier workers died at this step too often.
        """
        now = pipeline.clock()
        # `crashes` grows when an expired lease is taken over; this lease has expired but is not counted yet.
        crashes = part.crashes + (part.lease_until is not None and part.lease_until < now)
        if crashes >= _MAX_CRASHES:
            error = WorkerDied(
                f"The function died {crashes} times on part {part.part} ({part.state}) of export "
                f"{export.export_id}: it timed out or ran out of memory."
            )
            fail_export(pipeline, export, part.part, error)
            raise error
        if not pipeline.table.claim(part, owner, now, pipeline.after(seconds)):
            return None
        return cls(pipeline, export, part, owner, refused=refused)

    @property
    def number(self) -> int:
        """The attempt's number, from 1. Unique even if a worker presumed dead is still running."""
        part = self.part
        return part.attempts + part.crashes + (part.lease_owner is not None) + 1

    def keep(self) -> None:
        """Renew the lease if it is older than 15 seconds. Raises PartBusy if another worker took it over."""
        now = self._pipeline.clock()
        if (now - self._renewed_at).total_seconds() < _RENEW_SECONDS:
            return
        if not self._pipeline.table.renew(self.part, self.owner, self._pipeline.after(LEASE_SECONDS)):
            raise PartBusy(
                f"The lease on part {self.part.part} of export {self.export.export_id} was taken over by "
                "another worker."
            )
        self._renewed_at = now

    def while_leased(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the chunks and renew the lease between them when it is due. Raises PartBusy."""
        for chunk in chunks:
            self.keep()
            yield chunk

    def release(self) -> None:
        """End the lease without a transition."""
        self._pipeline.table.release(self.part, self.owner, self._pipeline.clock())

    def is_last(self, error: ExportError) -> bool:
        """True if `error` would use up the step's last attempt. Throttling and outages do not count."""
        return error.max_attempts is not None and self.part.strikes + 1 >= error.max_attempts

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(raised, Exception):
            self._settle(raised)

    def _settle(self, raised: Exception) -> None:
        part = self.part
        described = f"Part {part.part} ({part.state}) failed with {type(raised).__name__}."
        error = raised if isinstance(raised, ExportError) else StepFailed(described)
        if self.is_last(error):
            fail_export(self._pipeline, self.export, part.part, error, refused=self._refused)
            return
        delay = retry_delay(error, part.attempts + 1)
        self._pipeline.table.release(
            part,
            self.owner,
            self._pipeline.clock(),
            # One second less than the delay, so that the message does not arrive before the pause is over.
            not_before=self._pipeline.after(delay - 1),
            strike=error.max_attempts is not None,
            asked=error.retry_after is not None,
        )
        if error is raised:
            raise StepPostponed(error.message, retry_after=delay) from raised


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
    if pipeline.table.fail(export, part, Failure.of(error), pipeline.clock()):
        count("ExportsRefused" if refused else "ExportsFailed")
        logger.error(
            "export failed", export_id=export.export_id, part=part, code=error.code, reason=error.message
        )


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
