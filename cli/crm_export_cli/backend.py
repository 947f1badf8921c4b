"""What the commands need from a backend: a folder (`crm_export_cli.folder`), or a stack."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # `--help` needs no HTTP client
    from crm_export.zoho.metadata import Field
    from crm_export.zoho.records import PageRequest, PageResponse

type Views = list[dict[str, Any]]
type Ids = list[str]
type View = dict[str, Any]  # an export as docs/openapi.yaml's Export; a folder adds `bytes_in_transfer`


class Backend(Protocol):
    """Starts exports, shows them and waits for them."""

    def start(self, module: str, body: dict[str, Any]) -> View:
        """Start an export of a module; `body` is StartExport in docs/openapi.yaml.

        Raises ExportError if the module or the query is refused, and CliError.
        """

    def modules(self) -> list[str]:
        """Return the API names of all modules. Raises ExportError and CliError, as the next two do."""

    def fields(self, module: str) -> "list[Field]":
        """Return the fields of a module, in Zoho's order."""

    def page(self, module: str, request: "PageRequest") -> "PageResponse":
        """Return one page of a module's records."""

    def view(self, export_id: str) -> View:
        """Return an export with its parts. Raises CliError if there is none."""

    def list(self, limit: int, run_id: str | None = None) -> Views:
        """Return exports, newest first, without their parts; with `run_id` those of this run."""

    def cancel(self, export_id: str) -> View:
        """Cancel an export that is RUNNING, and delete its files. Raises ExportError and CliError."""

    def open_file(self, url: str, offset: int) -> AbstractContextManager[tuple[int, Iterator[bytes]]]:
        """Open the file of a link in a view; yield where its bytes begin (`offset` or 0), and the bytes."""

    @property
    def options(self) -> str:
        """Return the options with which a command finds this backend."""

    def running(self) -> Ids:
        """Return the ids of the exports that are RUNNING, oldest first."""

    def latest(self) -> str | None:
        """Return the id of the newest export, or None."""

    def wait(self, export_ids: Ids, show: Callable[[Views], None]) -> Views:
        """Wait until all exports have ended, and return them; `show` is called about once a second.

        A folder does the exports' work meanwhile.
        """

    def resume_command(self, export_ids: Ids) -> str:
        """Return the command that continues these exports."""

    # --- syncs ---

    def put_sync(self, module: str, body: dict[str, Any]) -> View:
        """Create or change a sync; `body` is PutSync in docs/openapi.yaml, and the result Sync.

        Raises ExportError if Zoho or the query refuses it, and CliError.
        """

    def syncs(self) -> Views:
        """Return all syncs, by module."""

    def sync(self, module: str) -> View:
        """Return a sync. Raises SyncNotFound or CliError, as `delete_sync` and `start_run` do."""

    def delete_sync(self, module: str) -> None:
        """Delete a sync; its files stay."""

    def start_run(self, module: str, kind: str) -> View:
        """Start a run, `changes` or `full`, and return its export. Raises ExportError and CliError."""

    def open_runs(self) -> dict[str, str]:
        """Return the exports of the runs in progress, by module, that this process has to continue."""

    def start_due(self, modules: Ids | None = None) -> tuple[Ids, Views]:
        """Start the runs that are due, of all syncs or of some; a stack does that by itself.

        Return their exports, and the syncs that are blocked, as {"module", "code", "message", "remedy"}.
        """
