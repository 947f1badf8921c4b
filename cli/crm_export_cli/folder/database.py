"""The SQLite file of a folder: DIR/.crm-export/state.db. Several processes may write to it."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

from crm_export.errors import StateUnavailable
from crm_export_cli.exits import CliError
from crm_export_cli.folder.errors import FolderFull

_BUSY_SECONDS = 20.0  # how long a write waits for those of other processes
# SQLite's codes for a disk or a quota that is full; a quota shows as a failed write.
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
# The statements of each version of the file, in order; those of later ones change what earlier ones made.
_SCHEMA = (
    """
CREATE TABLE exports (
  export_id TEXT PRIMARY KEY, account_id TEXT NOT NULL, requested_at TEXT NOT NULL, is_open INTEGER NOT NULL,
  state TEXT NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX by_account ON exports (account_id, requested_at, export_id);
CREATE TABLE parts (
  export_id TEXT NOT NULL, part INTEGER NOT NULL, state TEXT NOT NULL, body TEXT NOT NULL,
  process TEXT, wait_asked INTEGER NOT NULL DEFAULT 0, callbacks INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (export_id, part)) WITHOUT ROWID;
CREATE TABLE request_keys (
  account_id TEXT NOT NULL, key_hash TEXT NOT NULL, request_hash TEXT NOT NULL, export_id TEXT NOT NULL,
  expires_at TEXT NOT NULL, PRIMARY KEY (account_id, key_hash)) WITHOUT ROWID;
CREATE TABLE tokens (
  access_key TEXT PRIMARY KEY, token TEXT, usable_until REAL NOT NULL DEFAULT 0,
  not_before REAL NOT NULL DEFAULT 0, lease_owner TEXT, lease_until REAL NOT NULL DEFAULT 0,
  process TEXT) WITHOUT ROWID;
CREATE TABLE downloads (account_id TEXT NOT NULL, taken_at REAL NOT NULL);
CREATE TABLE position (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
""",
    """
CREATE TABLE syncs (
  account_id TEXT NOT NULL, module TEXT NOT NULL, due_at TEXT, revision INTEGER NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (account_id, module)) WITHOUT ROWID;
CREATE TABLE credits (
  account_id TEXT NOT NULL, hour TEXT NOT NULL, credits INTEGER NOT NULL,
  PRIMARY KEY (account_id, hour)) WITHOUT ROWID;
""",
)


class Database:
    """One connection, which the threads of this process share in turn.

    Every method raises StateUnavailable while other processes keep the file locked, and FolderFull if there
    is no space left.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, and create it if needed. Raises CliError for a file of a later version."""
        self._folder = path.parent.parent
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._lock = RLock()
        self._connection = sqlite3.connect(
            path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            self.execute("PRAGMA journal_mode = WAL")
            self.execute("PRAGMA synchronous = FULL")
            self._create_tables(path)
        except BaseException:
            self.close()
            raise

    def _create_tables(self, path: Path) -> None:
        with self.transaction():
            (version,) = self.rows("PRAGMA user_version")[0]
            for statements in _SCHEMA[version:]:
                for statement in statements.split(";")[:-1]:
                    self.execute(statement)
            if version < len(_SCHEMA):
                self.execute(f"PRAGMA user_version = {len(_SCHEMA)}")
            elif version > len(_SCHEMA):
                raise CliError(f"{path} is of a later version of crm-export.", remedy="Use that version.")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all writes of the context, or of the outermost one, or none; nobody else writes meanwhile."""
        with self._lock, self._errors():
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def rows(self, statement: str, *values: Any) -> list[Any]:
        """Return the rows of a query."""
        with self._lock, self._errors():
            return self._connection.execute(statement, values).fetchall()

    def execute(self, statement: str, *values: Any) -> int:
        """Execute a write; return the number of rows that it changed."""
        with self._lock, self._errors():
            return self._connection.execute(statement, values).rowcount

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in _FULL:
                raise FolderFull(self._folder, str(error)) from error
            raise StateUnavailable(f"The state in {self._folder} cannot be used now: {error}.") from error
