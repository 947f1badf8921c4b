"""Opens a folder, and builds the Pipeline that works on it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from crm_export.connections.broker import TokenBroker, refresher
from crm_export.connections.model import Connection
from crm_export.exports.pipeline import Callback, EventBus, Limits, PartQueue, Pipeline, Zoho
from crm_export.sync.finish import RunEnds
from crm_export.sync.model import SyncLimits
from crm_export.system import MACHINE, System
from crm_export.zoho.bulk_read import BulkRead
from crm_export.zoho.census import Census
from crm_export.zoho.changes import Changes
from crm_export.zoho.client import ZohoClient
from crm_export.zoho.metadata import known_modules
from crm_export.zoho.records import RecordsReader
from crm_export.zoho.transport import make_session
from crm_export_cli.exits import CliError, Exit
from crm_export_cli.folder import STATE
from crm_export_cli.folder.connections import FolderConnections
from crm_export_cli.folder.database import Database
from crm_export_cli.folder.errors import FolderFull
from crm_export_cli.folder.locks import Processes
from crm_export_cli.folder.results import FolderResults
from crm_export_cli.folder.sync_table import SqliteSyncTable
from crm_export_cli.folder.table import SqliteExportTable
from crm_export_cli.folder.tokens import SqliteDownloadBudget, SqliteTokenCache
from crm_export_cli.logs import logged_to

# A pause of a few days is no reason to fail; Zoho's own results and page tokens last one day.
_LIMITS = Limits(deadline=timedelta(days=10), retention=timedelta(days=365), quiet=timedelta(seconds=30))


class WakingQueue(PartQueue):
    """Wakes the worker, which finds the part in the table; the table has its pause, too."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def send(
        self, export_id: str, part: int, *, group: str, delay: int = 0, callback: Callback | None = None
    ) -> None:
        self._wake()

    def send_sync(self, account_id: str, module: str, *, delay: int = 0) -> None:
        self._wake()

    def postpone(self, receipt_handle: str, seconds: int) -> None:
        """Do nothing: there are no messages."""


class _NoEvents(EventBus):
    """Nobody listens: the command itself waits for the end of its exports."""

    def send(self, detail_type: str, detail: dict[str, Any]) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Folder:
    """A folder that this process has open."""

    root: Path
    database: Database
    processes: Processes

    @classmethod
    @contextmanager
    def open(cls, root: Path) -> Iterator["Folder"]:
        """Open a folder, and create it if needed. Raises CliError if it cannot be used."""
        state = root / STATE
        with ExitStack() as stack:
            try:
                state.mkdir(mode=0o700, parents=True, exist_ok=True)
                state.chmod(0o700)
                stack.enter_context(logged_to(state / "log.jsonl"))
                database = Database(state / "state.db")
                stack.callback(database.close)
                processes = stack.enter_context(Processes(state / "processes"))
            except OSError as error:
                raise CliError(
                    f"The folder {root} cannot be used: {error.strerror} ({error.filename}).",
                    Exit.USAGE,
                    code="FOLDER_UNUSABLE",
                    remedy="Choose another folder with --to.",
                ) from error
            yield cls(root, database, processes)

    @staticmethod
    def exists(root: Path) -> bool:
        """Return True if exports were started in a folder."""
        return (root / STATE / "state.db").exists()

    def connections(self, trusted_origins: tuple[str, ...]) -> FolderConnections:
        """Return the folder's connections."""
        return connections_of(self.root, trusted_origins)

    def table(self) -> SqliteExportTable:
        """Return the state of the folder's exports."""
        return SqliteExportTable(self.database, self.processes)

    def results(self) -> FolderResults:
        """Return the files of the folder's exports and syncs."""
        return FolderResults(self.root, self.processes)

    def sync_table(self) -> SqliteSyncTable:
        """Return the state of the folder's syncs."""
        return SqliteSyncTable(self.database, self.table())


def connections_of(root: Path, trusted_origins: tuple[str, ...]) -> FolderConnections:
    """Return the connections of a folder."""
    return FolderConnections(root / STATE / "connections.json", trusted_origins)


@dataclass(frozen=True)
class FolderSettings:
    """The options of a command that the Pipeline needs."""

    trusted_origins: tuple[str, ...] = ()
    result_format: str = "csv"
    downloads_per_minute: int = 10
    limits: Limits = _LIMITS
    syncs: SyncLimits = SyncLimits()
    system: System = MACHINE


def make_pipeline(
    folder: Folder,
    settings: FolderSettings,
    *,
    wake: Callable[[], None] = lambda: None,
    keep_on: Callable[[], None] = lambda: None,
) -> Pipeline:
    """Build the Pipeline. wake: called when a part may be due; keep_on: may raise to stop a transfer."""
    system = replace(settings.system, repeat=_tolerating_full_disk)
    queue = WakingQueue(wake)
    return Pipeline(
        table=folder.table(),
        submit_queue=queue,
        download_queue=queue,
        zoho=_zoho(folder, settings, system),
        results=FolderResults(folder.root, folder.processes, keep_on),
        budget=SqliteDownloadBudget(folder.database, settings.downloads_per_minute),
        events=_NoEvents(),
        runs=RunEnds(folder.sync_table(), settings.syncs.lag),
        link=lambda key: str(folder.root / key),
        system=system,
        limits=replace(settings.limits, result_format=settings.result_format),
    )


def _zoho(folder: Folder, settings: FolderSettings, system: System) -> Callable[[str, str], Zoho]:
    """Return a function of account and owner."""
    client_of = zoho_clients(folder, settings, system)
    of_thread = threading.local()

    def zoho(account_id: str, owner: str) -> Zoho:
        known: dict[ZohoClient, Zoho] = of_thread.__dict__.setdefault("known", {})
        client = client_of(account_id, owner)
        if client not in known:
            modules = partial(known_modules, client)
            readers = (RecordsReader(client), Census(client), Changes(client))
            known[client] = Zoho(BulkRead(client), *readers, modules)
        return known[client]

    return zoho


def zoho_clients(
    folder: Folder, settings: FolderSettings, system: System
) -> Callable[[str, str], ZohoClient]:
    """Return a function of account and owner. Each thread has an HTTP session of its own."""
    store = folder.connections(settings.trusted_origins)
    cache = SqliteTokenCache(folder.database, folder.processes)
    of_thread = threading.local()

    def client_of(account_id: str, owner: str) -> ZohoClient:
        clients: dict[Connection, ZohoClient] = of_thread.__dict__.setdefault("clients", {})
        connection = store.get(account_id, owner)
        if connection not in clients:
            session = make_session()
            refresh = refresher(session, None, system)
            tokens = TokenBroker(connection, store, refresh, cache, system)
            clients[connection] = ZohoClient(session, connection.api_domain, tokens, system)
        return clients[connection]

    return client_of


def _tolerating_full_disk(seconds: float, work: Callable[[], bool]) -> Callable[[], None]:
    """Do as `System.repeat`: a lease that cannot be renewed on a full disk ends with the process."""

    def tolerant() -> bool:
        try:
            return work()
        except FolderFull:
            return True

    return MACHINE.repeat(seconds, tolerant)
