"""Reads what was deleted since a run's window began, and stores it next to the run's parts."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from crm_export.errors import ObjectConflict, ZohoError
from crm_export.exports.model import Export
from crm_export.exports.pipeline import Pipeline
from crm_export.exports.runs import CHANGES, Run
from crm_export.telemetry import logger
from crm_export.zoho.catalog import has_deleted
from crm_export.zoho.changes import Deleted

HEADER = ("Id", "Deleted_Time", "Type")
# A list that cannot be read to its end today cannot tomorrow either, when it is longer.
_PATIENCE = timedelta(hours=2)


@dataclass(frozen=True)
class StoredDeletions:
    """What was deleted: the time by id. count: None if it could not be read. key: of deleted-00001.csv."""

    times: dict[int, datetime]
    count: int | None = None
    key: str | None = None


def deleted_key(export: Export) -> str:
    """Return the key of a run's deletions; each generation has its own, read after its own rows."""
    return f"{export.folder}/deleted-{export.first_part:05d}.csv"


def read_deletions(
    pipeline: Pipeline, export: Export, run: Run, keep: Callable[[], None], rows_stored_at: datetime
) -> StoredDeletions:
    """Read the deletions since the window began, and store those of a run of changes.

    If an earlier attempt stored some, those are the run's: they were read after the rows as well. If Zoho
    refuses to list them, or fails to for two hours, they are not read, and the next run is full.
    """
    if not has_deleted(export.module):
        return StoredDeletions({})
    since = run.window_from or run.watermark
    try:
        found = pipeline.zoho_for(export).changes.deletions(export.api_version, export.module, since)
    except ZohoError as error:
        is_outage = error.max_attempts is None
        if is_outage and pipeline.clock() - rows_stored_at < _PATIENCE:
            raise
        logger.warning(
            "deletions not read", export_id=export.export_id, code=error.code, reason=error.message
        )
        return StoredDeletions({})
    key = deleted_key(export)
    if run.kind != CHANGES or not found.rows:
        return StoredDeletions(
            _times((row.record_id, row.deleted_time) for row in found.rows), len(found.rows)
        )
    try:
        pipeline.results.write_object(key, _chunks(found.rows), keep)
    except ObjectConflict:
        stored = list(pipeline.results.read_columns(key, ("Id", "Deleted_Time")))
        times = _times((record_id, datetime.fromisoformat(time)) for record_id, time in stored)
        return StoredDeletions(times, len(stored), key)
    return StoredDeletions(
        _times((row.record_id, row.deleted_time) for row in found.rows), len(found.rows), key
    )


def _times(rows: Iterable[tuple[str, datetime]]) -> dict[int, datetime]:
    return {int(record_id): moment for record_id, moment in rows if record_id.isdecimal()}


def _chunks(rows: Iterable[Deleted]) -> Iterator[bytes]:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(HEADER)
    for row in rows:
        writer.writerow((row.record_id, row.deleted_time.isoformat(timespec="seconds"), row.kind))
    yield out.getvalue().encode()
