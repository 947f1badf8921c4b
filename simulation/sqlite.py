"""The state of exports in SQLite, as a folder has it (`crm_export_cli.folder.table`), in a world.

Each method is one call, which may find the file locked. What it has written is mirrored in the items of
DynamoDB, which the invariants look at. An invocation is a process: when it has ended, its leases are void.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import Any, NoReturn, override

from crm_export.aws.export_table import encode, item_key
from crm_export.aws.table import attribute
from crm_export.errors import StateUnavailable
from crm_export.exports.model import Export
from crm_export_cli.folder.database import Database
from crm_export_cli.folder.locks import Processes
from crm_export_cli.folder.table import SqliteExportTable
from simulation.calls import Calls
from simulation.dynamodb import TableData
from simulation.expressions import Item
from simulation.scheduler import Task, current

_TAKES = 0.01


class MemoryDatabase(Database):
    """A database without a file."""

    def __init__(self) -> None:
        self._folder = Path()
        self._lock = RLock()
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._create_tables(Path())


class Invocations(Processes):
    """The invocations as processes."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}

    @property
    def own(self) -> str:  # type: ignore[override]
        """The running invocation."""
        task = current.get()
        assert task is not None
        self._tasks[task.name] = task
        return task.name

    @override
    def is_alive(self, process: str) -> bool:
        task = self._tasks[process]
        return not (task.dead or task.ended)


class MirroredTable(SqliteExportTable):
    """Notes what a method writes; `mirror` writes it to the items, at one moment."""

    def __init__(self, database: MemoryDatabase, items: TableData) -> None:
        super().__init__(database, Invocations())
        self._items = items
        self._news: dict[tuple[str, str], Item] = {}

    def mirror(self) -> None:
        """Write what was noted."""
        news, self._news = self._news, {}
        if news:
            self._items.write(news)

    def _write(self, export: Export) -> None:
        super()._write(export)
        key = item_key(export.export_id)
        old = self._items.items.get((key["pk"]["S"], key["sk"]["S"]))
        is_open = {"open": attribute("OPEN")} if old is None or "open" in old else {}
        self._note(key, encode(vars(export)) | is_open)

    def _write_part(self, row: Any) -> None:
        super()._write_part(row)
        self._note(item_key(row.part.export_id, row.part.part), encode(vars(row.part)))

    def mark_announced(self, export_id: str) -> None:
        super().mark_announced(export_id)
        export = self.get(export_id)
        if export is not None and export.state != "RUNNING":
            self._note(item_key(export_id), encode(vars(export)))

    def _note(self, key: Item, values: Item) -> None:
        self._news[key["pk"]["S"], key["sk"]["S"]] = key | values


class CalledTable:
    """Makes each method of the table one call."""

    def __init__(self, table: MirroredTable, calls: Calls) -> None:
        self._table = table
        self._calls = calls

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._table, name)

        def call(*arguments: Any, **options: Any) -> Any:
            def effect() -> Any:
                result = method(*arguments, **options)
                self._table.mirror()
                return result

            refused = self._calls.faults.happens("table unreachable")
            return self._calls.make(f"dynamodb {name}", _locked if refused else effect, seconds=_TAKES)

        return call


def _locked() -> NoReturn:
    raise StateUnavailable("The state cannot be used now: database is locked.")
