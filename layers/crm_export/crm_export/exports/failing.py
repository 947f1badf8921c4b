"""What becomes of a step that failed: tried again later, or the end of its export."""

from collections.abc import Iterator
from contextlib import contextmanager

from crm_export.errors import ExportError, StepFailed
from crm_export.exports.model import Export, Part
from crm_export.exports.ports import Clock, ExportStore, at
from crm_export.exports.queues import retry_delay
from crm_export.observability import count, logger

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
