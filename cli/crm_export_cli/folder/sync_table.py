"""The state of syncs in SQLite: a row for each sync, with its fields as JSON, and for each hour's credits."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from crm_export import strict_json
from crm_export.exports.model import Export, Part, timestamp
from crm_export.sync.model import Sync, SyncTable
from crm_export_cli.folder.database import Database
from crm_export_cli.folder.table import SqliteExportTable

_DAY = timedelta(hours=24)


class SqliteSyncTable(SyncTable):
    """The state of syncs in SQLite, in the file that has the exports."""

    def __init__(self, database: Database, exports: SqliteExportTable) -> None:
        self._database = database
        self._exports = exports

    def get(self, account_id: str, module: str) -> Sync | None:
        rows = self._database.rows(
            "SELECT body FROM syncs WHERE account_id = ? AND module = ?", account_id, module
        )
        return _read(rows[0][0]) if rows else None

    def list_of_account(self, account_id: str) -> list[Sync]:
        rows = self._database.rows("SELECT body FROM syncs WHERE account_id = ? ORDER BY module", account_id)
        return [_read(body) for (body,) in rows]

    def due(self, now: datetime) -> Iterator[Sync]:
        rows = self._database.rows(
            "SELECT body FROM syncs WHERE due_at <= ? ORDER BY due_at, account_id, module", timestamp(now)
        )
        return (_read(body) for (body,) in rows)

    def write(self, sync: Sync) -> bool:
        row = (sync.due_at and timestamp(sync.due_at), sync.revision, strict_json.dumps(sync.to_dict()))
        key = (sync.account_id, sync.module)
        if sync.revision == 0:
            insert = "INSERT OR IGNORE INTO syncs VALUES (?, ?, ?, ?, ?)"
            return self._database.execute(insert, *key, *row) == 1
        update = "UPDATE syncs SET due_at = ?, revision = ?, body = ? WHERE account_id = ? AND module = ?"
        return self._database.execute(f"{update} AND revision = ?", *row, *key, sync.revision - 1) == 1

    def delete(self, sync: Sync) -> bool:
        delete = "DELETE FROM syncs WHERE account_id = ? AND module = ? AND revision = ?"
        done = self._database.execute(delete, sync.account_id, sync.module, sync.revision) == 1
        return done or self.get(sync.account_id, sync.module) is None

    def start_run(self, export: Export, first: Part, sync: Sync) -> bool:
        with self._database.transaction():
            return self.write(sync) and self._exports.create(export, first)

    def complete_run(self, export_id: str, sync: Sync) -> Export | None:
        with self._database.transaction():
            export = self._exports.get(export_id)
            is_sealed = export is not None and export.state == "RUNNING" and export.completed_at is not None
            if not is_sealed or not self.write(sync):
                return None
            return self._exports.complete(export_id)

    def spend(self, account_id: str, now: datetime, credits: int) -> None:
        self._database.execute(
            "INSERT INTO credits VALUES (?, ?, ?) "
            "ON CONFLICT (account_id, hour) DO UPDATE SET credits = credits + excluded.credits",
            account_id,
            _hour(now),
            credits,
        )

    def spent(self, account_id: str, now: datetime) -> int:
        rows = self._database.rows(
            "SELECT coalesce(sum(credits), 0) FROM credits WHERE account_id = ? AND hour >= ?",
            account_id,
            _hour(now - _DAY),
        )
        return int(rows[0][0])


def _hour(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H")


def _read(body: str) -> Sync:
    return Sync.from_dict(json.loads(body))
