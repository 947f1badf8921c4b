"""Ends the runs of a sync: reads deletions when all rows are stored, compares, and moves the watermark.

`exports.complete` calls `RunEnds` through `Pipeline.runs`, in functions/result_downloader.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from crm_export.errors import ChainBroken, ObjectConflict, ResultError, StateUnavailable
from crm_export.exports.model import RECORDS, Export, Part
from crm_export.exports.pipeline import Pipeline, Results, Runs
from crm_export.exports.runs import (
    CHANGES,
    DELETES_UNREADABLE,
    FIRST,
    FULL,
    SCHEMA,
    Link,
    Run,
    RunResult,
)
from crm_export.sync.chain import publish_latest, updated
from crm_export.sync.compare import Rows, compare_changes, compare_full, header_of
from crm_export.sync.credits import book_rest
from crm_export.sync.deletions import StoredDeletions, read_deletions
from crm_export.sync.model import Lag, LastRun, Sync, SyncTable
from crm_export.sync.window import grown, overlap_of, signature_of
from crm_export.telemetry import count, logger

_TRIES = 5


@dataclass(frozen=True)
class RunEnds(Runs):
    """What `exports.complete` needs for the exports that are runs of a sync."""

    table: SyncTable
    lag: Lag = Lag()

    def find(
        self, pipeline: Pipeline, export: Export, run: Run, parts: list[Part], keep: Callable[[], None]
    ) -> Run:
        """Read what was deleted, compare the rows with the chain, and return the run with what was found.

        Called when all rows are stored, and again after a failure: files that an earlier attempt wrote stay.
        keep: called now and then, and before a file appears; raises if another worker has taken over, or the
        export was cancelled. Raises ExportError.
        """
        sync = self.table.get(export.account_id, export.module)
        if sync is None or sync.open_run != export.export_id:
            return replace(run, result=RunResult())  # the sync was deleted or changed: an export like others
        if export.source == RECORDS and export.read_order != "Modified_Time":
            run = replace(run, kind=FULL, reason=DELETES_UNREADABLE)  # it could only read all records
        rows_stored_at = parts[-1].stored_at or export.requested_at
        deletions = read_deletions(pipeline, export, run, keep, rows_stored_at)
        rows = Rows(pipeline.results, parts, keep)
        if run.kind == CHANGES:
            result = compare_changes(run, rows, deletions)
        else:
            result = _audited(export, run, sync, rows, deletions)
        count("SyncLateRows", result.late)
        if result.drift is not None:
            count("SyncDriftRows", sum(asdict(result.drift).values()))
        return replace(run, result=result)

    def complete(self, pipeline: Pipeline, export: Export) -> Export | None:
        """Add the run to latest.json, then RUNNING → COMPLETED together with the sync's new watermark.

        Called when the manifest is written. Return the export, or None if another worker completed it.
        """
        run = export.sync
        for _ in range(_TRIES):
            sync = self.table.get(export.account_id, export.module)
            if run is None or sync is None or sync.open_run != export.export_id or sync.query != export.query:
                return self._complete_alone(pipeline, export, sync)
            after = self._after(pipeline, sync, export, run)
            try:
                publish_latest(pipeline.results, export, run, updated(export))
            except ChainBroken as error:  # a chain that nobody can read ends here, and another one begins
                logger.warning("chain broken", export_id=export.export_id, reason=error.message)
                after = replace(after, full_reason=FIRST, due_at=after.due_at and pipeline.clock())
            completed = self.table.complete_run(export.export_id, after)
            if completed is not None:
                book_rest(self.table, completed, pipeline.clock())
                return completed
        raise StateUnavailable(f"The sync of {export.module} was changed again and again by others.")

    def _complete_alone(self, pipeline: Pipeline, export: Export, sync: Sync | None) -> Export | None:
        """Complete an export whose sync was deleted, or given another query, while it ran."""
        completed = pipeline.table.complete(export.export_id)
        if sync is not None and sync.open_run == export.export_id:
            self.table.write(sync.next(open_run=None))  # else the next run finds that the export has ended
        return completed

    def _after(self, pipeline: Pipeline, sync: Sync, export: Export, run: Run) -> Sync:
        """Return the sync after a run that is complete."""
        result, results = run.result or RunResult(), pipeline.results
        manifest = results.read_manifest(export.manifest_key) or {}
        link = Link(export.export_id, export.manifest_key, results.digest(export.manifest_key))
        deletes_read_at = run.watermark if result.deleted is not None else None
        signature = _signature(run, manifest)
        changes: dict[str, Any] = {
            "watermark": max(run.watermark, sync.watermark or run.watermark),
            "overlap": grown(overlap_of(sync, self.lag), result.late),
            "previous": link,
            "deletes_read_at": deletes_read_at,
            "signature": signature or sync.signature,
            "full_reason": None,
            "open_run": None,
            "last_run": _last_run(export, run, result),
        }
        if manifest.get("parts"):
            changes["job_at"] = run.watermark
        if run.kind == FULL:
            changes |= {"full": link, "full_at": run.watermark, "full_records": int(export.records or 0)}
        elif _is_other(signature, sync.signature) or _has_new_column(results, manifest, sync.full):
            # Records that did not change have a value in a new field, too.
            changes |= {"full_reason": SCHEMA, "due_at": sync.due_at and pipeline.clock()}
        elif deletes_read_at is None:
            changes["full_reason"] = DELETES_UNREADABLE
        return sync.next(**changes)


def _audited(
    export: Export,
    run: Run,
    sync: Sync,
    rows: Rows,
    deletions: StoredDeletions,
) -> RunResult:
    """Compare a full run with the chain before it; if that is not whole, the run is no worse for it."""
    if sync.full is None or sync.previous is None:
        return RunResult(deleted=deletions.count)
    try:
        return compare_full(export, run, sync.previous, rows, deletions)
    except (ChainBroken, ResultError) as error:
        if isinstance(error, ObjectConflict):
            raise
        logger.warning("not audited", export_id=export.export_id, code=error.code, reason=error.message)
        count("SyncAuditsImpossible")
        return RunResult(deleted=deletions.count)


def _is_other(signature: str | None, before: str | None) -> bool:
    return signature is not None and before is not None and signature != before


def _has_new_column(results: Results, manifest: dict[str, Any], full: Link | None) -> bool:
    """Return True if a run has a column that the last full run has not.

    The fields do not show it if the connection may not read them, or if one was added during the full run.
    """
    columns = header_of(manifest)
    known = header_of(results.read_manifest(full.manifest_key) or {}) if columns and full else None
    return bool(columns and known and set(columns) - set(known))


def _last_run(export: Export, run: Run, result: RunResult) -> LastRun:
    return LastRun(
        export_id=export.export_id,
        kind=run.kind,
        completed_at=export.completed_at or export.requested_at,
        records=int(export.records or 0),
        deleted=result.deleted,
        late=result.late,
        drift=asdict(result.drift) if result.drift else None,
        credits=run.credits + export.credits,
    )


def _signature(run: Run, manifest: dict[str, Any]) -> str | None:
    """Return the signature of the fields that a run has read; None without metadata.

    If a field is new since a full run began, its rows may lack it: then no later signature is the same.
    """
    query, fields = manifest.get("query") or {}, manifest.get("fields") or []
    signature = signature_of(query, fields)
    is_steady = run.signature in {None, signature_of(query, fields, types=False)}
    return signature if signature is None or is_steady else f"{signature}, changed"
