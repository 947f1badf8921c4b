"""The state of syncs in DynamoDB: an item <Module> under SYNC#<account>, and what they spend of its credits.

A sync is one JSON text, and each write names the revision that it replaces. An enabled sync is in the sparse
index `due`, ordered by the time when its next run starts.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from crm_export import strict_json
from crm_export.aws.export_table import DynamoExportTable, completion, creation
from crm_export.aws.table import Item, Key, Table, attribute, key, put_of
from crm_export.exports.model import Export, Part, timestamp
from crm_export.sync.model import Sync, SyncTable

_DAY = timedelta(hours=24)
_KEPT = timedelta(days=2)  # hours that nobody counts any more


class DynamoSyncTable(SyncTable):
    """The state of syncs in DynamoDB. Reads are strongly consistent; `due` looks in an index first."""

    def __init__(self, client: Any, table: str) -> None:
        self._table = Table(client, table)
        self._exports = DynamoExportTable(client, table)

    def get(self, account_id: str, module: str) -> Sync | None:
        item = self._table.get(_key(account_id, module))
        return _read(item) if item else None

    def list_of_account(self, account_id: str) -> list[Sync]:
        items = self._table.query("pk = :pk", {"ConsistentRead": True}, pk=_partition(account_id))
        return [_read(item) for item in items]

    def due(self, now: datetime) -> Iterator[Sync]:
        items = self._table.query("due = :DUE AND due_at <= :now", {"IndexName": "due"}, now=now)
        for item in items:
            sync = self.get(item["pk"]["S"].removeprefix("SYNC#"), item["sk"]["S"])
            if sync is not None and sync.due_at is not None and sync.due_at <= now:
                yield sync

    def write(self, sync: Sync) -> bool:
        condition, values = _replaces(sync)
        return self._table.put(_item(sync), condition, **values)

    def delete(self, sync: Sync) -> bool:
        return self._table.delete(_key(sync.account_id, sync.module), "revision = :seen", seen=sync.revision)

    def start_run(self, export: Export, first: Part, sync: Sync) -> bool:
        return self._table.transact(*creation(export, first), _put(sync), or_conflict=True)

    def complete_run(self, export_id: str, sync: Sync) -> Export | None:
        done = self._table.transact(completion(export_id), _put(sync), or_conflict=True)
        return self._exports.get(export_id) if done else None

    def spend(self, account_id: str, now: datetime, credits: int) -> None:
        self._table.update(
            _credits_key(account_id, now),
            "SET credits = if_not_exists(credits, :n0) + :credits, expires_at = :end",
            "",
            credits=credits,
            end=int((now + _KEPT).timestamp()),
        )

    def spent(self, account_id: str, now: datetime) -> int:
        items = self._table.query(
            "pk = :pk AND sk >= :since",
            {"ConsistentRead": True},
            pk=_credits_key(account_id, now)["pk"]["S"],
            since=_hour(now - _DAY),
        )
        return sum(int(item["credits"]["N"]) for item in items)


def _partition(account_id: str) -> str:
    return f"SYNC#{account_id}"


def _key(account_id: str, module: str) -> Key:
    return key(_partition(account_id), module)


def _credits_key(account_id: str, now: datetime) -> Key:
    return key(f"CREDITS#{account_id}", _hour(now))


def _hour(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H")


def _item(sync: Sync) -> Item:
    due = {} if sync.due_at is None else {"due": "DUE", "due_at": timestamp(sync.due_at)}
    values = {"sync": _text(sync), "revision": sync.revision, **due}
    return {
        **_key(sync.account_id, sync.module),
        **{name: attribute(value) for name, value in values.items()},
    }


def _text(sync: Sync) -> str:
    return strict_json.dumps(sync.to_dict())


def _replaces(sync: Sync) -> tuple[str, dict[str, Any]]:
    """Return the condition that a sync follows the revision that is there, or is there already."""
    written = {"written": _text(sync)}
    if sync.revision == 0:
        return "attribute_not_exists(pk) OR sync = :written", written
    return "revision = :seen OR sync = :written", {"seen": sync.revision - 1, **written}


def _put(sync: Sync) -> dict[str, dict[str, Any]]:
    condition, values = _replaces(sync)
    return {"Put": put_of(_item(sync), condition, **values)}


def _read(item: Item) -> Sync:
    return Sync.from_dict(json.loads(item["sync"]["S"]))
