"""What the commands need from a backend: a folder (`crm_export_cli.folder`), or a stack."""

from collections.abc import Callable
from typing import Any, Protocol

type View = dict[str, Any]  # an export as docs/openapi.yaml's Export; a folder adds `bytes_in_transfer`


class Backend(Protocol):
    """Starts exports, shows them and waits for them."""

    def start(self, module: str, body: dict[str, Any]) -> View:
        """Start an export of a module; `body` is StartExport in docs/openapi.yaml.

        Raises ExportError if the module or the query is refused, and CliError.
        """

    def view(self, export_id: str) -> View:
        """Return an export with its parts. Raises CliError if there is none."""

    def running(self) -> list[str]:
        """Return the ids of the exports that are RUNNING, oldest first."""

    def latest(self) -> str | None:
        """Return the id of the newest export, or None."""

    def wait(self, export_ids: list[str], show: Callable[[list[View]], None]) -> list[View]:
        """Wait until all exports have ended, and return them; `show` is called about once a second.

        A folder does the exports' work meanwhile.
        """

    def resume_command(self, export_ids: list[str]) -> str:
        """Return the command that continues these exports."""
