"""Folds the chain of a sync into its current rows: the one implementation of the rule in docs/sync.md.

Begin with the rows of the full run. Then, for each run of changes in order: put its rows by Id, and after
that remove the rows of its deletions whose Deleted_Time is not earlier than the row's Modified_Time.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crm_export.errors import ChainBroken, CountMismatch
from crm_export.exports.pipeline import Results
from crm_export.exports.runs import Link
from crm_export.strict_json import moment
from crm_export.sync.chain import Chain, follow, latest_key

_ID, _MODIFIED = "Id", "Modified_Time"

type Row = list[str]


@dataclass(frozen=True)
class Folded:
    """The current rows of a chain, as text of CSV. header: their columns; Id is the first one.

    runs: how many manifests were read. watermark: the rows are as they were then, by Zoho's clock.
    """

    header: tuple[str, ...]
    rows: Iterator[Row]
    runs: int
    watermark: str | None


def read_chain(results: Results, account_id: str, module: str) -> Chain:
    """Return the chain that latest.json lists, after its links were verified. Raises ChainBroken."""
    key = latest_key(account_id, module)
    found = results.read_latest(key)
    if found is None:
        raise ChainBroken(f"There is no {key}: no run of a sync of {module} is complete.")
    keys = [found[0].get("full"), *(found[0].get("changes") or [])]
    chain = follow(results.read_manifest, Link("", str(keys[-1]), ""))
    _verify_links(results, chain)
    return chain


def _verify_links(results: Results, chain: Chain) -> None:
    for manifest in chain.changes:
        link = manifest["sync"]["previous"]
        if results.digest(link["manifest_key"]) != link["sha256"]:
            raise ChainBroken(f"{link['manifest_key']} was changed after the next run had named it.")


def fold(results: Results, chain: Chain) -> Folded:
    """Return the current rows of a chain.

    Rows that changed since the full run are kept in a temporary database, the others are streamed. Reading
    the rows raises CountMismatch if a part has not as many rows as its manifest says, and ResultError.
    """
    manifests = [chain.full, *chain.changes]
    header = _columns(manifests)
    rows = _rows(results, chain, header)
    return Folded(header, rows, len(manifests), manifests[-1]["sync"]["window"]["to"])


def _columns(manifests: list[dict[str, Any]]) -> tuple[str, ...]:
    """Return the columns of all runs in the order in which they appear: later ones are appended.

    Bulk Read's own column may also be named `id`, and need not be the first one.
    """
    names = (name for manifest in manifests for part in manifest["parts"] for name in part["header"])
    return tuple(dict.fromkeys([_ID, *(name for name in names if name.lower() != _ID.lower())]))


def _rows(results: Results, chain: Chain, header: tuple[str, ...]) -> Iterator[Row]:
    with closing(sqlite3.connect("")) as database:  # a temporary file that SQLite deletes
        changed = _Changed(database, header.index(_MODIFIED) if _MODIFIED in header else None)
        for manifest in chain.changes:
            for row in _rows_of(results, manifest, header):
                changed.put(row)
            for record_id, deleted_time in _deletions(results, manifest):
                changed.remove(record_id, deleted_time)
        for row in _rows_of(results, chain.full, header):
            if not changed.replaces(row):
                yield row
        yield from changed.rows()


def _rows_of(results: Results, manifest: dict[str, Any], header: tuple[str, ...]) -> Iterator[Row]:
    for part in manifest["parts"]:
        if not part["header"]:
            continue
        number = 0
        for number, row in enumerate(results.read_columns(part["key"], header), 1):  # noqa: B007
            yield list(row)
        if number != part["records"]:
            raise CountMismatch(f"{part['key']} has {number} rows; its manifest says {part['records']}.")


def _deletions(results: Results, manifest: dict[str, Any]) -> Iterator[tuple[str, datetime]]:
    key = manifest["sync"]["deleted_key"]
    if key is not None:
        for record_id, deleted_time in results.read_columns(key, (_ID, "Deleted_Time")):
            yield record_id, datetime.fromisoformat(deleted_time)


class _Changed:
    """What the runs of changes say about rows: a row, or the time from which on it is gone."""

    def __init__(self, database: sqlite3.Connection, modified: int | None) -> None:
        """Create the table. modified: the place of Modified_Time in a row."""
        self._database = database
        self._modified = modified
        database.execute(
            "CREATE TABLE changed (id TEXT PRIMARY KEY, modified REAL, deleted REAL, body TEXT) WITHOUT ROWID"
        )

    def put(self, row: Row) -> None:
        """Replace a row."""
        values = (row[0], self._time(row), None, json.dumps(row))
        self._database.execute("REPLACE INTO changed VALUES (?, ?, ?, ?)", values)

    def remove(self, record_id: str, deleted_time: datetime) -> None:
        """Remove a row, unless it was modified after it had been deleted: then it was restored.

        A row of the full run that another one has replaced is gone whatever its own Modified_Time is.
        """
        self._database.execute(
            "INSERT INTO changed VALUES (:id, NULL, :at, NULL) ON CONFLICT (id) DO UPDATE "
            "SET deleted = iif(body IS NULL, max(deleted, :at), 9e999), body = NULL, modified = NULL "
            "WHERE body IS NULL OR modified <= :at",
            {"id": record_id, "at": deleted_time.timestamp()},
        )

    def replaces(self, row: Row) -> bool:
        """Return True if a row of the full run is not current any more."""
        found = self._database.execute(
            "SELECT body IS NOT NULL, deleted FROM changed WHERE id = ?", (row[0],)
        ).fetchone()
        if found is None:
            return False
        is_replaced, deleted = found
        modified = self._time(row)
        return bool(is_replaced) or modified is None or modified <= deleted

    def _time(self, row: Row) -> float | None:
        found = None if self._modified is None else moment(row[self._modified])
        return found.timestamp() if found else None

    def rows(self) -> Iterator[Row]:
        """Yield the rows that have changed and are there, by id."""
        for (body,) in self._database.execute(
            "SELECT body FROM changed WHERE body IS NOT NULL ORDER BY length(id), id"
        ):
            yield json.loads(body)
