"""The state of exports in SQLite: one row for an export, one for each part, with their fields as JSON.

A transaction of SQLite has the file for itself, so each change reads the row, decides and writes it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from crm_export.exports.model import (
    BoundKey,
    Export,
    ExportState,
    Failure,
    LastError,
    Part,
    PartState,
    RequestKey,
    Stored,
    timestamp,
)
from crm_export.exports.pipeline import ExportTable
from crm_export.exports.witness import Witness
from crm_export.zoho.bulk_read import Job
from crm_export.zoho.records import Cursor
from crm_export_cli.folder.bodies import body_of, read
from crm_export_cli.folder.database import Database
from crm_export_cli.folder.locks import Processes

# What every transition of a part resets.
_RESET: dict[str, Any] = {
    "attempts": 0, "not_before": None, "lease_owner": None, "lease_until": None, "strikes": {},
    "dead_owners": frozenset(),
}  # fmt: skip
_POSITION = "reconciler"


@dataclass(frozen=True)
class _Row:
    """A part, and what only its row has: the process of its lease, and whether Zoho asked for its pause."""

    part: Part
    process: str | None = None
    wait_asked: bool = False
    callbacks: int = 0


class SqliteExportTable(ExportTable):
    """The state of exports in SQLite.

    The lease of a process that has died is void: another worker may claim the part at once, and the dead
    owner does not count as one of the part's dead workers, because it was probably stopped on purpose.
    """

    def __init__(self, database: Database, processes: Processes) -> None:
        self._database = database
        self._processes = processes

    # --- Reads -------------------------------------------------------------------------------

    def get(self, export_id: str) -> Export | None:
        rows = self._database.rows("SELECT body FROM exports WHERE export_id = ?", export_id)
        return read(Export, rows[0][0]) if rows else None

    def get_part(self, export_id: str, part: int) -> Part | None:
        row = self._row(export_id, part)
        return row.part if row else None

    def get_with_part(self, export_id: str, part: int) -> tuple[Export, Part] | None:
        with self._database.transaction():
            export, row = self.get(export_id), self._row(export_id, part)
        return (export, row.part) if export and row else None

    def get_parts(self, export: Export) -> list[Part]:
        rows = self._database.rows(
            "SELECT body FROM parts WHERE export_id = ? AND part >= ? ORDER BY part",
            export.export_id,
            export.first_part,
        )
        return [read(Part, body) for (body,) in rows]

    def unfinished_parts(self, export: Export) -> list[tuple[Part, str | None]]:
        """Return the parts of the export's generation that are not stored, with the process of their lease.

        If all are stored, return the last one.
        """
        rows = self._database.rows(
            "SELECT body, process FROM parts WHERE export_id = ? AND part >= ? "
            "AND (state <> 'STORED' OR part = (SELECT max(part) FROM parts WHERE export_id = ?)) "
            "ORDER BY part",
            export.export_id,
            export.first_part,
            export.export_id,
        )
        found = [(read(Part, body), process) for body, process in rows]
        waiting = [(part, process) for part, process in found if part.state is not PartState.STORED]
        return waiting or found

    def list_of_account(
        self, account_id: str, limit: int, after: tuple[str, str] | None, run_id: str | None = None
    ) -> tuple[list[Export], tuple[str, str] | None]:
        rows = self._database.rows(
            "SELECT body, requested_at, export_id FROM exports WHERE account_id = ? "
            "AND (? IS NULL OR (requested_at, export_id) < (?, ?)) "
            "AND (? IS NULL OR body ->> 'run_id' = ?) "
            "ORDER BY requested_at DESC, export_id DESC LIMIT ?",
            account_id,
            after and after[0],
            *(after or (None, None)),
            run_id,
            run_id,
            limit + 1,
        )
        exports = [read(Export, row[0]) for row in rows[:limit]]
        return exports, (rows[limit - 1][1], rows[limit - 1][2]) if len(rows) > limit else None

    def open_export_ids(self) -> Iterator[str]:
        rows = self._database.rows("SELECT export_id FROM exports WHERE is_open ORDER BY requested_at")
        return (export_id for (export_id,) in rows)

    def running_of_account(self, account_id: str, since: datetime) -> Iterator[str]:
        rows = self._database.rows(
            "SELECT export_id FROM exports WHERE account_id = ? AND requested_at > ? AND state = 'RUNNING'",
            account_id,
            timestamp(since),
        )
        return (export_id for (export_id,) in rows)

    def reconciled_up_to(self) -> str:
        rows = self._database.rows("SELECT value FROM position WHERE name = ?", _POSITION)
        return rows[0][0] if rows else ""

    def note_reconciled(self, export_id: str) -> None:
        self._database.execute("REPLACE INTO position VALUES (?, ?)", _POSITION, export_id)

    # --- An export ---------------------------------------------------------------------------

    def create(
        self, export: Export, first: Part, key: RequestKey | None = None, replaces: str | None = None
    ) -> bool:
        with self._database.transaction():
            bound = self.bound_key(key) if key else None
            if bound is not None and bound.export_id != replaces:
                return False
            if key is not None:
                self._bind(key, export.export_id)
            self._write(export)
            self._write_part(_Row(first))
        return True

    def _bind(self, key: RequestKey, export_id: str) -> None:
        self._database.execute(
            "REPLACE INTO request_keys VALUES (?, ?, ?, ?, ?)",
            key.account_id,
            key.key_hash,
            key.request_hash,
            export_id,
            timestamp(key.expires_at),
        )

    def bound_key(self, key: RequestKey) -> BoundKey | None:
        rows = self._database.rows(
            "SELECT request_hash, export_id, expires_at FROM request_keys "
            "WHERE account_id = ? AND key_hash = ?",
            key.account_id,
            key.key_hash,
        )
        return BoundKey(rows[0][0], rows[0][1], datetime.fromisoformat(rows[0][2])) if rows else None

    def amend(self, export: Export, **values: Any) -> Export | None:
        amended = self._change(
            export.export_id, lambda found: _is_unchanged(found, export) and replace(found, **values)
        )
        return replace(export, **values) if amended else None

    def add_credits(self, export_id: str, credits: int) -> None:
        self._change(
            export_id,
            lambda found: (
                found.state is ExportState.RUNNING and replace(found, credits=found.credits + credits)
            ),
        )

    def restart(self, export: Export, first: Part) -> bool:
        with self._database.transaction():
            if self._row(first.export_id, first.part) is not None:
                return False
            restarted = self._change(
                export.export_id,
                lambda found: (
                    _is_unchanged(found, export)
                    and replace(
                        found,
                        generation=export.generation + 1,
                        first_part=first.part,
                        sync=found.restarted_run,
                    )
                ),
            )
            if restarted is not None:
                self._write_part(_Row(first))
        return restarted is not None

    def seal(
        self, export: Export, completed_at: datetime, records: int, witness: Witness | None = None
    ) -> Export | None:
        return self._change(
            export.export_id,
            lambda found: (
                _is_same(found, export)
                and replace(
                    found,
                    completed_at=found.completed_at or completed_at,
                    records=records,
                    witness=found.witness or witness,
                )
            ),
        )

    def complete(self, export_id: str) -> Export | None:
        return self._change(
            export_id,
            lambda found: (
                found.state is ExportState.RUNNING
                and found.completed_at is not None
                and replace(found, state=ExportState.COMPLETED, failure=None)
            ),
        )

    def give_up(self, export: Export, failure: Failure, now: datetime) -> bool:
        given_up = self._change(
            export.export_id,
            lambda found: (
                _is_sealed(found, export)
                and replace(found, gave_up_at=found.gave_up_at or now, failure=failure)
            ),
        )
        return given_up is not None

    def fail_sealed(self, export: Export, failure: Failure, now: datetime) -> Export | None:
        return self._change(
            export.export_id, lambda found: _is_sealed(found, export) and _failed(found, failure, now)
        )

    def cancel(self, export_id: str, now: datetime) -> Export | None:
        return self._change(
            export_id,
            lambda found: (
                found.state is ExportState.RUNNING
                and found.completed_at is None
                and replace(found, state=ExportState.CANCELLED, completed_at=now)
            ),
        )

    def mark_cleaned(self, export_id: str, now: datetime) -> Export | None:
        return self._change(
            export_id,
            lambda found: (
                found.state is ExportState.CANCELLED
                and found.cleaned_at is None
                and replace(found, cleaned_at=now)
            ),
        )

    def mark_announced(self, export_id: str) -> None:
        self._database.execute(
            "UPDATE exports SET is_open = 0 WHERE export_id = ? AND state <> 'RUNNING'", export_id
        )

    def fail(self, export: Export, part: int | None, failure: Failure, now: datetime) -> Export | None:
        with self._database.transaction():
            failed = self._change(
                export.export_id, lambda found: _is_unchanged(found, export) and _failed(found, failure, now)
            )
            if failed is not None and part is not None:
                self._change_part(
                    export.export_id,
                    part,
                    lambda found: (
                        found.state is not PartState.STORED
                        and replace(found, state=PartState.FAILED, updated_at=now)
                    ),
                )
        return failed

    # --- The lease and the hint of a part ----------------------------------------------------

    def claim(self, part: Part, owner: str, now: datetime, until: datetime) -> Part | None:
        def claimed(row: _Row) -> _Row | None:
            found = row.part
            is_void = row.process is not None and not self._processes.is_alive(row.process)
            expired = part.lease_owner if part.lease_owner not in {None, owner} else None
            if found.state is not part.state or (found.not_before and found.not_before > now):
                return None
            if not is_void and found.lease_owner != owner and not _is_free(found, expired, now):
                return None
            died = {expired} if expired and not is_void else set[str]()
            lease: dict[str, Any] = {
                "lease_owner": owner,
                "lease_until": until,
                "updated_at": now,
                "not_before": None,
            }
            leased = replace(found, **lease, dead_owners=found.dead_owners | died)
            return replace(row, part=leased, process=self._processes.own)

        row = self._change_row(part.export_id, part.part, claimed)
        return row.part if row else None

    def renew(self, part: Part, owner: str, until: datetime) -> bool:
        renewed = self._change_part(
            part.export_id,
            part.part,
            lambda found: _holds(found, part, owner) and replace(found, lease_until=until),
        )
        return renewed is not None

    def release(
        self,
        part: Part,
        owner: str,
        now: datetime,
        *,
        not_before: datetime | None = None,
        asked: bool = False,
        last_error: LastError | None = None,
        strikes: dict[str, int] | None = None,
    ) -> bool:
        given = {"not_before": not_before, "last_error": last_error, "strikes": strikes}
        values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}

        def released(row: _Row) -> _Row | None:
            if not _holds(row.part, part, owner):
                return None
            attempts = row.part.attempts + bool(not_before)
            ended: dict[str, Any] = {
                "lease_owner": None,
                "lease_until": None,
                "updated_at": now,
                "attempts": attempts,
            }
            return _Row(replace(row.part, **ended, **values), None, asked, row.callbacks)

        return self._change_row(part.export_id, part.part, released) is not None

    def cancel_death(self, part: Part, owner: str) -> None:
        self._change_part(
            part.export_id,
            part.part,
            lambda found: (
                found.state is part.state and replace(found, dead_owners=found.dead_owners - {owner})
            ),
        )

    def count_callback(self, export_id: str, part: int, most: int) -> Part | None:
        counted = self._change_row(
            export_id,
            part,
            lambda row: replace(row, callbacks=row.callbacks + 1) if row.callbacks < most else None,
        )
        return counted.part if counted is not None else None

    def note_hint(self, export_id: str, part: int, job_id: str) -> None:
        def hinted(row: _Row) -> _Row | None:
            found = row.part
            is_known = found.hinted_job_id not in {None, job_id} or job_id in found.failed_job_ids
            if found.state is not PartState.PENDING or is_known:
                return None
            # The part need not wait any longer, as a job exists; unless Zoho asked for the pause.
            not_before = found.not_before if row.wait_asked else None
            return replace(row, part=replace(found, hinted_job_id=job_id, not_before=not_before))

        self._change_row(export_id, part, hinted)

    def note_queued(self, part: Part, now: datetime) -> bool:
        queued = self._change_part(
            part.export_id,
            part.part,
            lambda found: (
                (found.state, found.updated_at) == (part.state, part.updated_at)
                and found.queued_at in {part.queued_at, now}
                and replace(found, queued_at=now)
            ),
        )
        return queued is not None

    def forget_hint(self, part: Part, now: datetime) -> None:
        self._change_part(
            part.export_id,
            part.part,
            lambda found: (
                found.state is PartState.PENDING
                and found.hinted_job_id == part.hinted_job_id
                and replace(found, hinted_job_id=None, updated_at=now)
            ),
        )

    # --- Transitions of a part ---------------------------------------------------------------

    def mark_submitted(self, part: Part, job_id: str, now: datetime) -> Part | None:
        return self._change_part(
            part.export_id,
            part.part,
            lambda found: (
                (found.state is PartState.PENDING or _has_job(found, PartState.SUBMITTED, job_id))
                and replace(
                    found,
                    **_RESET,
                    state=PartState.SUBMITTED,
                    job_id=job_id,
                    submitted_at=found.submitted_at or now,
                    updated_at=now,
                    hinted_job_id=None,
                )
            ),
        )

    def mark_ready(self, export: Export, part: Part, job: Job, now: datetime) -> Part | None:
        def ready(found: Part) -> Part | bool:
            return _has_job(found, PartState.SUBMITTED, job.job_id) and found.become_ready(job, now)

        following = part.become_ready(job, now).following(now) if job.more_records else None
        return self._change_with_next(part, ready, following)

    def mark_pending_again(self, part: Part, now: datetime, not_before: datetime) -> bool:
        pending = self._change_part(
            part.export_id,
            part.part,
            lambda found: (
                _has_job(found, PartState.SUBMITTED, part.job_id)
                and replace(
                    found,
                    **_RESET | {"not_before": not_before},
                    state=PartState.PENDING,
                    updated_at=now,
                    job_id=None,
                    submitted_at=None,
                    failed_job_ids=found.failed_job_ids | {str(part.job_id)},
                )
            ),
        )
        return pending is not None

    def mark_stored(self, part: Part, stored: Stored, now: datetime) -> Part | None:
        return self._change_part(
            part.export_id,
            part.part,
            lambda found: _has_job(found, PartState.READY, part.job_id) and _stored(found, stored, now),
        )

    def mark_read(
        self,
        export: Export,
        part: Part,
        owner: str,
        stored: Stored,
        now: datetime,
        *,
        following: Cursor | None,
        one_response: bool = False,
    ) -> bool:
        def was_read(found: Part) -> Part | bool:
            is_ours = found.state is PartState.PENDING and found.lease_owner == owner
            return is_ours and replace(
                _stored(found, stored, now),
                expected_records=stored.records,
                more_records=following is not None,
                one_response=one_response,
            )

        next_part = Part(part.export_id, part.part + 1, now, cursor=following)
        changed = self._change_with_next(part, was_read, next_part if following is not None else None)
        return changed is not None

    # --- Rows --------------------------------------------------------------------------------

    def _change_with_next(
        self, part: Part, change: Callable[[Part], Part | bool], following: Part | None
    ) -> Part | None:
        with self._database.transaction():
            if following is not None and self._row(following.export_id, following.part) is not None:
                return None
            changed = self._change_part(part.export_id, part.part, change)
            if changed is not None and following is not None:
                self._write_part(_Row(following))
        return changed

    def _change(self, export_id: str, change: Callable[[Export], Export | bool]) -> Export | None:
        """Replace an export by what `change` makes of it; False leaves it as it is."""
        with self._database.transaction():
            found = self.get(export_id)
            changed = change(found) if found is not None else False
            if not isinstance(changed, Export):
                return None
            self._write(changed)
            return changed

    def _change_part(self, export_id: str, part: int, change: Callable[[Part], Part | bool]) -> Part | None:
        def changed(row: _Row) -> _Row | None:
            result = change(row.part)
            if not isinstance(result, Part):
                return None
            return replace(row, part=result, process=row.process if result.lease_owner else None)

        row = self._change_row(export_id, part, changed)
        return row.part if row else None

    def _change_row(self, export_id: str, part: int, change: Callable[[_Row], _Row | None]) -> _Row | None:
        with self._database.transaction():
            found = self._row(export_id, part)
            changed = change(found) if found is not None else None
            if changed is not None:
                self._write_part(changed)
            return changed

    def _row(self, export_id: str, part: int) -> _Row | None:
        rows = self._database.rows(
            "SELECT body, process, wait_asked, callbacks FROM parts WHERE export_id = ? AND part = ?",
            export_id,
            part,
        )
        for body, process, wait_asked, callbacks in rows:
            return _Row(read(Part, body), process, bool(wait_asked), callbacks)
        return None

    def _write(self, export: Export) -> None:
        self._database.execute(
            "INSERT INTO exports VALUES (?, ?, ?, 1, ?, ?) ON CONFLICT (export_id) "
            "DO UPDATE SET state = excluded.state, body = excluded.body",
            export.export_id,
            export.account_id,
            timestamp(export.requested_at),
            export.state,
            body_of(export),
        )

    def _write_part(self, row: _Row) -> None:
        part = row.part
        self._database.execute(
            "REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)",
            part.export_id,
            part.part,
            part.state,
            body_of(part),
            row.process,
            row.wait_asked,
            row.callbacks,
        )


# --- Conditions -------------------------------------------------------------------------------


def _is_same(found: Export, seen: Export) -> bool:
    return found.state is ExportState.RUNNING and found.generation == seen.generation


def _is_unchanged(found: Export, seen: Export) -> bool:
    return _is_same(found, seen) and found.completed_at is None


def _is_sealed(found: Export, seen: Export) -> bool:
    return _is_same(found, seen) and found.completed_at is not None


def _is_free(found: Part, expired: str | None, now: datetime) -> bool:
    """True if no worker holds the part, or `expired`, whose lease the claimant has read, held it too long."""
    if expired is None or found.lease_until is None:
        return expired is None and found.lease_owner is None
    return found.lease_owner == expired and found.lease_until < now


def _holds(found: Part, seen: Part, owner: str) -> bool:
    return found.state is seen.state and found.lease_owner == owner


def _has_job(found: Part, state: PartState, job_id: str | None) -> bool:
    return found.state is state and found.job_id == job_id


def _failed(found: Export, failure: Failure, now: datetime) -> Export:
    return replace(found, state=ExportState.FAILED, failure=failure, completed_at=now)


def _stored(found: Part, stored: Stored, now: datetime) -> Part:
    changes: dict[str, Any] = (
        _RESET | vars(stored) | {"state": PartState.STORED, "stored_at": now, "updated_at": now}
    )
    return replace(found, **changes)
