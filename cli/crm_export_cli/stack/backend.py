"""A stack as a backend of the commands."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests

from crm_export import strict_json
from crm_export_cli.backend import Backend, Ids, View, Views
from crm_export_cli.exits import CliError
from crm_export_cli.stack.functions import Stack

if TYPE_CHECKING:
    from crm_export.zoho.checks import Report
    from crm_export.zoho.metadata import Field
    from crm_export.zoho.records import PageRequest, PageResponse

_BULK_READ = "/v1/e/zoho/bulk-read"
_SYNCS = "/v1/e/zoho/syncs"
_LOOK_SECONDS = 1.0
_LONGEST_PAGE = 100
_TIMEOUT = (10, 60)
_CHUNK = 1 << 16  # a chunk that is cut off is lost


class StackBackend(Backend):
    """Exports by a stack, for one account and owner. The stack does the work; this process only looks on."""

    def __init__(
        self,
        stack: Stack,
        caller: tuple[str, str],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.stack = stack
        self._caller = caller
        self._sleep = sleep
        self._session = requests.Session()

    def start(self, module: str, body: dict[str, Any]) -> View:
        data: View = self._request("POST", f"{_BULK_READ}/{module}", body=body)["data"]
        return data

    def modules(self) -> list[str]:
        names: list[str] = self._request("GET", "/operator/modules")["data"]
        return names

    def fields(self, module: str) -> "list[Field]":
        from crm_export.zoho.metadata import Field  # noqa: PLC0415 - exports do not load it

        found = self._request("GET", "/operator/fields", module=module)["data"]
        return [Field(**field) for field in found]

    def page(self, module: str, request: "PageRequest") -> "PageResponse":
        from crm_export.zoho.records import PageResponse  # noqa: PLC0415

        found = self._request(
            "GET",
            "/operator/page",
            loads=strict_json.loads_exact,
            module=module,
            page=None if request.page_token else request.page,
            limit=request.per_page,
            page_token=request.page_token,
            fields=",".join(request.fields) or None,
        )
        return PageResponse(found["data"], found["pagination"])

    def check(self) -> "Report":
        """Let the stack try the connection. Raises CliError."""
        from crm_export.zoho.checks import Report  # noqa: PLC0415

        return Report.from_document(self._request("GET", "/operator/check")["data"])

    def _request(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        return self.stack.request(self._caller, method, path, **more)

    def view(self, export_id: str) -> View:
        data: View = self._request("GET", f"{_BULK_READ}/exports/{export_id}")["data"]
        return data

    def list(self, limit: int, run_id: str | None = None) -> Views:
        found: Views = []
        token = None
        while len(found) < limit:
            page = self._request(
                "GET",
                f"{_BULK_READ}/exports",
                limit=min(limit, _LONGEST_PAGE),
                page_token=token,
                run_id=run_id,
            )
            found += page["data"]
            token = page["pagination"]["next_page_token"]
            if token is None:
                break
        return found[:limit]

    def running(self) -> Ids:
        views = self.list(10 * _LONGEST_PAGE)
        return [view["export_id"] for view in reversed(views) if view["state"] == "RUNNING"]

    def latest(self) -> str | None:
        return next((view["export_id"] for view in self.list(1)), None)

    def cancel(self, export_id: str) -> View:
        data: View = self._request("POST", f"{_BULK_READ}/exports/{export_id}/cancel")["data"]
        return data

    def wait(self, export_ids: Ids, show: Callable[[Views], None]) -> Views:
        while True:
            views = [self.view(export_id) for export_id in export_ids]
            show(views)
            if all(view["state"] != "RUNNING" for view in views):
                return views
            self._sleep(_LOOK_SECONDS)

    def resume_command(self, export_ids: Ids) -> str:
        which = f"{export_ids[0]} " if len(export_ids) == 1 else ""
        return f"crm-export exports resume {which}{self.options}"

    @property
    def options(self) -> str:
        account_id, owner = self._caller
        return f"{self.stack.option} --account {account_id} --owner {owner}"

    @contextmanager
    def open_file(self, url: str, offset: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        headers = {"Range": f"bytes={offset}-", "Accept-Encoding": "identity"}
        try:
            with self._session.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
                if response.status_code == requests.codes.requested_range_not_satisfiable:
                    yield offset, iter(())
                    return
                response.raise_for_status()
                starts_at = offset if response.status_code == requests.codes.partial_content else 0
                yield starts_at, response.iter_content(_CHUNK)
        except requests.RequestException as error:  # its text may contain the link
            raise CliError(
                f"A file could not be read from S3 ({type(error).__name__}).",
                code="DOWNLOAD_FAILED",
                remedy="Run the command again: it continues where it stopped.",
            ) from error

    def put_sync(self, module: str, body: dict[str, Any]) -> View:
        data: View = self._request("PUT", f"{_SYNCS}/{module}", body=body)["data"]
        return data

    def syncs(self) -> Views:
        found: Views = self._request("GET", _SYNCS)["data"]
        return found

    def sync(self, module: str) -> View:
        data: View = self._request("GET", f"{_SYNCS}/{module}")["data"]
        return data

    def delete_sync(self, module: str) -> None:
        self._request("DELETE", f"{_SYNCS}/{module}")

    def start_run(self, module: str, kind: str) -> View:
        data: View = self._request("POST", f"{_SYNCS}/{module}/runs", body={"kind": kind})["data"]
        return data

    def open_runs(self) -> dict[str, str]:
        return {}

    def start_due(self, modules: Ids | None = None) -> tuple[Ids, Views]:
        return [], []
