"""The folder as a backend of the commands."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from crm_export.errors import ConnectionMalformed, ConnectionNotFound, ExportNotFound, UntrustedOrigin
from crm_export.exports.cancel import cancel_export, clean_up
from crm_export.exports.looking import list_fields, list_modules, read_page
from crm_export.exports.model import Caller
from crm_export.exports.pipeline import Pipeline
from crm_export.exports.request import StartRequest
from crm_export.exports.start import start_export
from crm_export.exports.view import describe_export, summarize
from crm_export.sync.manage import (
    delete_sync,
    describe_sync,
    find_sync,
    put_sync,
    request_run,
)
from crm_export.sync.model import Sync, Syncs
from crm_export.sync.run import run_due
from crm_export.zoho.metadata import Field
from crm_export.zoho.records import PageRequest, PageResponse
from crm_export_cli.backend import Backend, Ids, View, Views
from crm_export_cli.exits import CliError, Exit, folder_remedy
from crm_export_cli.folder import ACCOUNT, OWNER
from crm_export_cli.folder.glance import keep_modules
from crm_export_cli.folder.wiring import Folder, FolderSettings, connections_of, make_pipeline, zoho_clients
from crm_export_cli.folder.worker import Worker

_CALLER = Caller(ACCOUNT, OWNER)


class FolderBackend(Backend):
    """Exports into a folder, by this process."""

    @staticmethod
    def require_connection(root: Path, settings: FolderSettings) -> None:
        """Raise CliError if the folder has no connection; then nothing is created there."""
        try:
            connections_of(root, settings.trusted_origins).get(ACCOUNT, OWNER)
        except ConnectionNotFound as error:
            raise CliError(
                f"The folder {root} has no connection to Zoho.",
                Exit.NOT_CONNECTED,
                code=error.code,
                remedy=f"Run `crm-export connect --to {shlex.quote(str(root))}`.",
            ) from error
        except ConnectionMalformed as error:
            raise CliError(error.message, Exit.NOT_CONNECTED, code=error.code, remedy=error.remedy) from error
        except UntrustedOrigin as error:
            raise CliError(
                error.message,
                Exit.NOT_CONNECTED,
                code=error.code,
                remedy="If this host is to be trusted, name it with --trust-origin.",
            ) from error

    def __init__(self, folder: Folder, settings: FolderSettings) -> None:
        self._folder = folder
        self._client = partial(zoho_clients(folder, settings, settings.system), ACCOUNT, OWNER)
        self._worker = Worker(folder.table(), folder.processes)
        self._pipeline: Pipeline = make_pipeline(
            folder, settings, wake=self._worker.wake, keep_on=self._worker.keep_on
        )
        self._syncs = Syncs(self._pipeline, folder.sync_table(), settings.syncs)

    @classmethod
    @contextmanager
    def open(cls, root: Path, settings: FolderSettings) -> Iterator["FolderBackend"]:
        """Open a folder, and create it if needed. Raises CliError."""
        with Folder.open(root) as folder:
            yield cls(folder, settings)

    def start(self, module: str, body: dict[str, Any]) -> View:
        request = StartRequest(module, lambda: body, base_url="", idempotency_key=None)
        started = start_export(self._pipeline, _CALLER, request)
        return summarize(started.export)

    def modules(self) -> list[str]:
        names = list_modules(self._client())
        keep_modules(self._folder.root, names)
        return names

    def fields(self, module: str) -> list[Field]:
        return list_fields(self._client(), module)

    def page(self, module: str, request: PageRequest) -> PageResponse:
        return read_page(self._client(), module, request)

    def view(self, export_id: str) -> View:
        try:
            view = describe_export(self._pipeline, _CALLER, export_id)
        except ExportNotFound as error:
            raise CliError(
                f"The folder {self._folder.root} has no export {export_id}.",
                code=error.code,
                remedy="Use an id that the command which started the export printed, or --latest.",
            ) from error
        if failure := view.get("failure"):
            failure["remedy"] = folder_remedy(failure["code"], failure["remedy"])
        return {**view, "bytes_in_transfer": self._bytes_in_transfer(export_id, view["module"])}

    def _bytes_in_transfer(self, export_id: str, module: str) -> int:
        folder = f"exports/account_id={ACCOUNT}/module={module}/export_id={export_id}"
        sizes = 0
        for path in (self._folder.root / folder).glob(".part-*.tmp"):
            try:
                sizes += path.stat().st_size
            except FileNotFoundError:  # it has just become a part
                continue
        return sizes

    def list(self, limit: int, run_id: str | None = None) -> Views:
        exports, _ = self._folder.table().list_of_account(ACCOUNT, limit, None, run_id)
        return [summarize(export) for export in exports]

    def cancel(self, export_id: str) -> View:
        self.view(export_id)  # raises the error of this backend if there is none
        cancelled = cancel_export(self._pipeline, _CALLER, export_id)
        self._clean_up_cancelled()
        return summarize(cancelled)

    def _clean_up_cancelled(self) -> None:
        """Delete the files of cancelled exports, also of those whose process died before it did that."""
        for export_id in self._folder.table().open_export_ids():
            export = self._folder.table().get(export_id)
            if export is not None and export.state == "CANCELLED" and export.cleaned_at is None:
                clean_up(self._pipeline, export)

    @contextmanager
    def open_file(self, url: str, offset: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        with Path(url).open("rb") as file:
            file.seek(offset)
            yield offset, iter(lambda: file.read(1 << 20), b"")

    @property
    def options(self) -> str:
        return f"--to {shlex.quote(str(self._folder.root))}"

    def running(self) -> Ids:
        table, ids = self._folder.table(), []
        for export_id in table.open_export_ids():
            export = table.get(export_id)
            if export is not None and export.state == "RUNNING":
                ids.append(export_id)
        return ids

    def latest(self) -> str | None:
        exports, _ = self._folder.table().list_of_account(ACCOUNT, 1, None)
        return exports[0].export_id if exports else None

    def wait(self, export_ids: Ids, show: Callable[[Views], None]) -> Views:
        self._clean_up_cancelled()
        self._sweep()

        def look() -> None:
            show([self.view(export_id) for export_id in export_ids])

        self._worker.run(self._pipeline, export_ids, look)
        self._sweep()  # what another process left behind that was killed meanwhile
        return [self.view(export_id) for export_id in export_ids]

    def _sweep(self) -> None:
        self._folder.results().sweep()

    def resume_command(self, export_ids: Ids) -> str:
        which = f"{export_ids[0]} " if len(export_ids) == 1 else ""
        return f"crm-export exports resume {which}--to {shlex.quote(str(self._folder.root))}"

    # --- syncs ---

    def put_sync(self, module: str, body: dict[str, Any]) -> View:
        sync, _ = put_sync(self._syncs, _CALLER, StartRequest(module, lambda: body, base_url=""))
        return self._describe(sync)

    def syncs(self) -> Views:
        return [self._describe(sync) for sync in self._syncs.table.list_of_account(ACCOUNT)]

    def sync(self, module: str) -> View:
        return self._describe(find_sync(self._syncs, _CALLER, module))

    def _describe(self, sync: Sync) -> View:
        view = describe_sync(self._syncs, sync)
        if blocked := view["blocked"]:
            blocked["remedy"] = folder_remedy(blocked["code"], blocked["remedy"])
        return view

    def delete_sync(self, module: str) -> None:
        delete_sync(self._syncs, _CALLER, module)

    def start_run(self, module: str, kind: str) -> View:
        return summarize(request_run(self._syncs, _CALLER, module, {"kind": kind}))

    def open_runs(self) -> dict[str, str]:
        return {view["module"]: view["run"]["export_id"] for view in self.syncs() if view["run"]}

    def start_due(self, modules: Ids | None = None) -> tuple[Ids, Views]:
        table, started, blocked = self._syncs.table, list[str](), list[View]()
        for sync in list(table.due(self._pipeline.clock())):
            if (modules is not None and sync.module not in modules) or self._describe(sync)["run"]:
                continue
            run_due(self._syncs, ACCOUNT, sync.module)
            after = self._describe(table.get(ACCOUNT, sync.module) or sync)
            if after["run"] is not None:
                started.append(after["run"]["export_id"])
            elif after["blocked"] is not None:
                blocked.append({"module": sync.module, **after["blocked"]})
        return started, blocked
