"""The folder as a backend of the commands."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crm_export.errors import ConnectionMalformed, ConnectionNotFound, ExportNotFound, UntrustedOrigin
from crm_export.exports.model import Caller
from crm_export.exports.pipeline import Pipeline
from crm_export.exports.request import StartRequest
from crm_export.exports.start import start_export
from crm_export.exports.view import describe_export, summarize
from crm_export_cli.backend import Backend, View
from crm_export_cli.exits import CliError, Exit
from crm_export_cli.folder import ACCOUNT, OWNER
from crm_export_cli.folder.wiring import Folder, FolderSettings, connections_of, make_pipeline
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
        self._worker = Worker(folder.table(), folder.processes)
        self._pipeline: Pipeline = make_pipeline(
            folder, settings, wake=self._worker.wake, keep_on=self._worker.keep_on
        )

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

    def view(self, export_id: str) -> View:
        try:
            view = describe_export(self._pipeline, _CALLER, export_id)
        except ExportNotFound as error:
            raise CliError(
                f"The folder {self._folder.root} has no export {export_id}.",
                code=error.code,
                remedy="Use an id that the command which started the export printed, or --latest.",
            ) from error
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

    def running(self) -> list[str]:
        table, ids = self._folder.table(), []
        for export_id in table.open_export_ids():
            export = table.get(export_id)
            if export is not None and export.state == "RUNNING":
                ids.append(export_id)
        return ids

    def latest(self) -> str | None:
        exports, _ = self._folder.table().list_of_account(ACCOUNT, 1, None)
        return exports[0].export_id if exports else None

    def wait(self, export_ids: list[str], show: Callable[[list[View]], None]) -> list[View]:
        self._pipeline.results.sweep()  # type: ignore[attr-defined]

        def look() -> None:
            show([self.view(export_id) for export_id in export_ids])

        self._worker.run(self._pipeline, export_ids, look)
        return [self.view(export_id) for export_id in export_ids]

    def resume_command(self, export_ids: list[str]) -> str:
        which = f"{export_ids[0]} " if len(export_ids) == 1 else ""
        return f"crm-export exports resume {which}--to {shlex.quote(str(self._folder.root))}"
