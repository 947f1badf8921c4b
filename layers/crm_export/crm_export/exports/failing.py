"""What becomes of a step that failed: tried again later, or the end of its export."""

from crm_export.errors import ExportError
from crm_export.exports.model import Export, Part
from crm_export.exports.ports import Clock, ExportStore, at
from crm_export.observability import count, logger


def fail_export(
    store: ExportStore, clock: Clock, export: Export, part: int | None, error: ExportError
) -> None:
    """End an export in FAILED with the error as its reason."""
    if store.fail(export.export_id, part, error.as_failure(), at(clock)):
        count("ExportsFailed")
        logger.error(
            "export failed", export_id=export.export_id, part=part, code=error.code, reason=error.message
        )


def settle_failure(
    store: ExportStore,
    clock: Clock,
    export: Export,
    part: Part,
    error: ExportError,
    *,
    owner: str,
    attempts_left: int,
) -> None:
    """After a failed attempt: free the part for the next one, or fail the export when none is left."""
    if error.retryable and attempts_left > 0:
        store.release(part, owner, at(clock), failed=True)
    else:
        fail_export(store, clock, export, part.part, error)
