"""What becomes of a step that failed: tried again later, or the end of its export."""
# A part is leased while a step works on it, so that no two do the same at once.

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from crm_export.aws.part_queue import retry_delay
from crm_export.errors import ExportError, PartBusy, StepFailed, WorkerDied
from crm_export.exports.model import Export, Part
from crm_export.exports.pipeline import Clock, ExportStore, at
from crm_export.telemetry import count, logger

_MAX_GENERATIONS = 3


def fail_export(
    store: ExportStore,
    clock: Clock,
    export: Export,
    part: int | None,
    error: ExportError,
    *,
    refused: bool = False,
) -> None:
    """End an export in FAILED with the error as its reason. One that was refused, and its caller told so at
    once, is nothing to be woken up for.
    """
    if store.fail(export, part, error.as_failure(), at(clock)):
        count("ExportsRefused" if refused else "ExportsFailed")
        logger.error(
            "export failed", export_id=export.export_id, part=part, code=error.code, reason=error.message
        )


def restart_export(store: ExportStore, clock: Clock, export: Export, error: ExportError) -> int | None:
    """Begin an export anew, as what Zoho keeps of it is gone: one export never mixes two snapshots.

    Returns the number of its new first part, None where another has moved the export on. Raises the error
    that made it necessary when the export has begun anew too often.
    """
    if export.generation >= _MAX_GENERATIONS:
        raise error
    last = store.get_parts(export)[-1].part
    if not store.restart(export, Part(export.export_id, last + 1, at(clock))):
        return None
    count("ExportsRestarted")
    logger.warning("export begins anew", export_id=export.export_id, code=error.code, reason=error.message)
    return last + 1


@contextmanager
def settling(
    store: ExportStore, clock: Clock, export: Export, part: Part, owner: str, *, refused: bool = False
) -> Iterator[None]:
    """Record a failed step before its error goes on: the part is free again after a pause, or, when it
    was the last attempt, the export is FAILED. Any exception is recorded, none is kept.
    """
    try:
        yield
    except Exception as raised:
        error = raised if isinstance(raised, ExportError) else StepFailed(_describe(part, raised))
        if is_last_attempt(error, part):
            fail_export(store, clock, export, part.part, error, refused=refused)
        else:
            error.retry_after = retry_delay(error, part.attempts + 1)
            # A second less: the message that comes back after the pause must not come too early.
            pause_ends = at(clock, seconds=error.retry_after - 1)
            counts = error.max_attempts is not None
            store.release(part, owner, at(clock), not_before=pause_ends, strike=counts)
        raise


def is_last_attempt(error: ExportError, part: Part) -> bool:
    """Whether a step that failed so is not to be tried again. Only failures that count are counted."""
    return error.max_attempts is not None and part.strikes + 1 >= error.max_attempts


def _describe(part: Part, raised: Exception) -> str:
    return f"Part {part.part} ({part.state}) failed with {type(raised).__name__}."


LEASE_SECONDS = 90  # longer than any call, and than the longest pause within a result
_RENEW_SECONDS = 15
_MAX_CRASHES = 3
_LONGEST_BUSY = 60


def claim_part(
    store: ExportStore, clock: Clock, export: Export, part: Part, *, owner: str, seconds: float
) -> bool:
    """Lease a part for one step; False when another has it, or it is to be left alone for a while.

    Raises WorkerDied, and fails the export, when those before died on it.
    """
    # The last one is counted when its lease is taken over, which is not to happen any more.
    deaths = part.crashes + (part.lease_until is not None and part.lease_until < at(clock))
    if deaths >= _MAX_CRASHES:
        error = WorkerDied(
            f"The function died {deaths} times on part {part.part} ({part.state}) of export "
            f"{export.export_id}: it timed out or ran out of memory."
        )
        fail_export(store, clock, export, part.part, error)
        raise error
    return store.claim(part, owner, at(clock), at(clock, seconds=seconds))


def attempt_number(part: Part) -> int:
    """Which attempt at its step a claim of the part, as it was read before, begins: 1 is the first.

    No two have the same number: not even one that was given up for dead and is not.
    """
    return part.attempts + part.crashes + (part.lease_owner is not None) + 1


def busy(store: ExportStore, clock: Clock, part: Part) -> PartBusy | None:
    """Why a part could not be claimed, if it is worth coming back: another looks at it just now."""
    seen = store.get_part(part.export_id, part.part)
    if seen is None or seen.state is not part.state or seen.lease_until is None:
        return None
    wait = next(
        (s for s in range(5, _LONGEST_BUSY, 5) if at(clock, seconds=s) > seen.lease_until), _LONGEST_BUSY
    )
    return PartBusy(f"Part {part.part} of export {part.export_id} is being looked at.", retry_after=wait)


def keep_lease(store: ExportStore, clock: Clock, part: Part, owner: str) -> Callable[[], None]:
    """What is to be called while a long step goes on. The lease is short, so that a dead worker is soon
    followed; PartBusy is raised once it is another's.
    """
    renewed_at = clock()

    def keep() -> None:
        nonlocal renewed_at
        if (clock() - renewed_at).total_seconds() < _RENEW_SECONDS:
            return
        if not store.renew(part, owner, at(clock, seconds=LEASE_SECONDS)):
            raise PartBusy(f"Part {part.part} of export {part.export_id} is another worker's by now.")
        renewed_at = clock()

    return keep


def while_leased(keep: Callable[[], None], chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Hold the lease for as long as bytes come."""
    for chunk in chunks:
        keep()
        yield chunk
