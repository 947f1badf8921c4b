"""An export from the request to the last record, explained and verified. Called by `run`."""

import json
import os
import time
from collections.abc import Iterable
from datetime import date
from typing import Any

import requests
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from local.demo.lake import QUERY, read_lake, wait_for_lake
from local.demo.verify import Check, verify
from local.host.http import CLIENT
from local.host.processes import LocalStackError
from local.runtime.runtime_api import Report
from local.serving import Stack
from zoho_simulator.data.builder import first_day_before

_GIVE_UP_SECONDS = 900
_MEGABYTE = 1_000_000
_BULK_READ = "/v1/e/zoho/bulk-read"
_REFUSED = {"query": {"fields": ["Last_Name", "No_Such_Field"]}}


class Tour:
    """Calls the API as a user does, explains each step on the console, and collects the checks."""

    def __init__(self, console: Console, stack: Stack, records: int | None) -> None:
        """Prepare a tour of `stack`; `records` is the number of contacts to simulate."""
        self._console, self._stack, self._state, self._records = console, stack, stack.state, records
        self._s3 = stack.aws.client("s3", read_timeout=120)
        self._checks: list[Check] = []
        self._section = 1

    def show_stack(self) -> None:
        """Show where everything is."""
        state, simulated = self._state, ""
        if self._records is not None:
            first_day = str(first_day_before(date.today(), self._records))
            config = {"records": {"Contacts": self._records}, "first_day": first_day}
            CLIENT.patch(f"{state.zoho_url}/__sim__/config", json=config, timeout=30).raise_for_status()
            simulated = f" (simulated, {self._records:,} contacts)"
        self._print(
            f"{len(state.functions)} functions and {len(state.queues)} queues in "
            f"{self._stack.startup_seconds:.1f} s",
            f"API   {state.api_url}",
            f"Zoho  {state.zoho_url}{simulated}",
            f"S3    s3://{state.results_bucket}",
        )

    def show_page(self) -> None:
        """Read one page of contacts."""
        self._rule("One page of contacts over HTTP")
        response = self._call("GET", "/v1/e/zoho/export/contacts?page=1&limit=3")
        rows = (response.json().get("data") or []) if response.content else []
        self._table([row["id"], row.get("Full_Name") or "", row.get("Email") or ""] for row in rows)
        has_them = bool(rows) or self._records == 0
        self._check("page of contacts", response.ok and has_them, f"{len(rows)} records")

    def show_refusal(self) -> None:
        """Send a query that Zoho refuses."""
        self._rule("A query that cannot work is refused at once, with the reason")
        response = self._call("POST", f"{_BULK_READ}/contacts", _REFUSED)
        self._console.print(Padding(Text(response.json()["message"]), (0, 0, 0, 3)))
        self._check("query refused", response.status_code == 422, f"HTTP {response.status_code}")

    def export_contacts(self) -> None:
        """Export all contacts through Bulk Read, read everything back, and verify it."""
        self._rule("All contacts, by Bulk Read")
        self._print(
            "Zoho makes files of at most 200,000 records: parts. As soon as one is READY,",
            "the next is requested, while the file is unzipped, counted and stored in S3.",
        )
        started = time.monotonic()
        export = self._export("contacts")
        exported = time.monotonic() - started
        if (manifest := self._manifest(export)) is None:
            return
        self._print(f"from request to manifest: {_speed(manifest, exported)}")
        self._rule("Reading everything back from S3")
        started = time.monotonic()
        self._verify("", manifest, self._records)
        link = CLIENT.get(export["parts"][0]["url"], headers={"Range": "bytes=0-19"}, timeout=60).text
        expected = ",".join(manifest["parts"][0]["header"])[:20]
        self._check("presigned link of part 1", link == expected, f"begins with {link[:20]!r}")
        self._print(f"reading it back: {_speed(manifest, time.monotonic() - started)}")
        self._rule("The manifest, written last: downstream jobs start on it")
        part, *others = manifest["parts"]
        header = [*part["header"][:3], f"… {len(part['header']) - 3} more"]
        part["key"] = f"…/{part['key'].rpartition('/')[2]}"
        parts = [part | {"header": header}, *([f"… {len(others)} more"] if others else [])]
        self._console.print_json(data=manifest | {"parts": parts})
        self._show_lake(export["manifest_key"], manifest["records"])

    def _show_lake(self, manifest_key: str, records: int) -> None:
        """Show the same records as Parquet: the types, and a query."""
        self._rule("The same records as Parquet, with Zoho's types (LakeOutput)")
        self._print("The manifest's event has invoked a function that writes it next to the CSV.")
        bucket, give_up = self._state.results_bucket, time.monotonic() + _GIVE_UP_SECONDS
        with self._console.status("reading"):
            landed = wait_for_lake(self._s3, bucket, manifest_key, give_up)
            lake = read_lake(self._s3, bucket, landed, records) if landed else None
        if lake is None:
            self._check("Parquet", False, f"not there after {_GIVE_UP_SECONDS} s")
            return
        self._table(((name, f"{size:,} bytes") for name, size in lake.files), Column(), _right())
        self._table(
            (map(escape, row) for row in lake.types),
            Column("column"),
            Column("type"),
            Column("field in Zoho"),
        )
        self._print("", *QUERY.splitlines())
        self._table(lake.rows, *map(_right, lake.names))
        for check in lake.checks:
            self._check(check.name, check.passed, check.detail)

    def export_notes(self) -> None:
        """Export all notes, which Bulk Read does not offer, with a request that is sent twice."""
        self._rule("All notes, which Bulk Read does not offer, requested twice with one key")
        key = {"Idempotency-Key": "demo"}
        first = self._call("POST", f"{_BULK_READ}/notes", **key).json()["data"]["export_id"]
        export = self._export("notes", **key)
        self._check("requested twice, started once", export["export_id"] == first, first)
        if manifest := self._manifest(export):
            self._verify("notes: ", manifest, manifest["records"])

    def show_reports(self) -> None:
        """Show the figures of Lambda's REPORT lines, by function."""
        self._rule("What Lambda would have reported")
        by_function: dict[str, list[Report]] = {}
        for report in list(self._stack.lambdas.reports):
            by_function.setdefault(report.function, []).append(report)
        rows = [
            (
                function,
                str(len(reports)),
                f"{max(report.duration_ms for report in reports):,.0f} ms",
                f"{max(report.init_ms or 0 for report in reports):,.0f} ms",
                f"{max(report.max_memory_mb or 0 for report in reports)} of {reports[0].memory_mb} MB",
            )
            for function, reports in sorted(by_function.items())
        ]
        numbers = map(_right, ("invocations", "longest", "init", "memory"))
        self._table(rows, Column("function"), *numbers)

    def conclude(self) -> int:
        """Show where to look next and the checks that failed; returns the exit code."""
        self._rule("Where to look next")
        self._print(
            f"logs   {os.path.relpath(self._state.logs)}/ResultDownloader.log and the files next to it",
            "code   functions/result_downloader/app.py, then layers/crm_export/crm_export/",
            "lake   docs/lake.md: Athena, Redshift, Spark, DuckDB, pandas, polars",
            "why    docs/decisions.md",
            "play   make local: the same stack, until Ctrl-C",
        )
        failed = [check for check in self._checks if not check.passed]
        if failed:
            self._console.print(f"\n[bold red]{len(failed)} checks failed:[/]")
            for check in failed:
                self._print(f"{check.name}: {check.detail}")
            return 1
        self._console.print(f"\n[bold green]All {len(self._checks)} checks passed.[/]")
        return 0

    def _export(self, module: str, **headers: str) -> dict[str, Any]:
        """Start an export and show its progress. Returns the API's description of it when it has ended."""
        response = self._call("POST", f"{_BULK_READ}/{module}", **headers)
        if response.status_code != 202:
            raise LocalStackError(f"the export was not started: HTTP {response.status_code} {response.text}")
        path = f"{_BULK_READ}/exports/{response.json()['data']['export_id']}"
        columns = (
            TextColumn("   part {task.description}"),
            BarColumn(20),
            TextColumn("{task.fields[state]:<9}  {task.fields[size]}"),
            TimeElapsedColumn(),
        )
        deadline = time.monotonic() + _GIVE_UP_SECONDS
        with Progress(*columns, console=self._console) as progress:
            while True:
                export: dict[str, Any] = self._request("GET", path).json()["data"]
                _show_parts(progress, export["parts"])
                if export["state"] != "RUNNING" or time.monotonic() > deadline:
                    break
                time.sleep(0.25)
        self._check(f"export of {module}", export["state"] == "COMPLETED", export["state"])
        return export

    def _manifest(self, export: dict[str, Any]) -> dict[str, Any] | None:
        """Show the objects of a completed export and return its manifest; None if it failed."""
        if export["state"] != "COMPLETED":
            self._print(json.dumps(export["failure"]))
            return None
        bucket, key = self._state.results_bucket, export["manifest_key"]
        folder = key.removesuffix("manifest.json")
        self._print(f"s3://{bucket}/", *(f"  {name}/" for name in folder.strip("/").split("/")))
        objects = self._s3.list_objects_v2(Bucket=bucket, Prefix=folder)["Contents"]
        rows = [(item["Key"].removeprefix(folder), f"{item['Size']:,} bytes") for item in objects]
        self._table(rows, Column(), _right())
        manifest: dict[str, Any] = json.load(self._s3.get_object(Bucket=bucket, Key=key)["Body"])
        return manifest

    def _verify(self, prefix: str, manifest: dict[str, Any], records: int | None) -> None:
        expected = manifest["records"] if records is None else records
        with self._console.status("reading"):
            for check in verify(self._s3, self._state.results_bucket, manifest, expected):
                self._check(prefix + check.name, check.passed, check.detail)

    def _call(self, method: str, path: str, body: object = None, **headers: str) -> requests.Response:
        response = self._request(method, path, body, **headers)
        milliseconds = response.elapsed.total_seconds() * 1000
        self._print(f"{method} {path}  →  {response.status_code} in {milliseconds:.0f} ms")
        return response

    def _request(self, method: str, path: str, body: object = None, **headers: str) -> requests.Response:
        headers["Authorization"] = f"Bearer {self._state.token}"
        return CLIENT.request(method, self._state.api_url + path, json=body, headers=headers, timeout=60)

    def _check(self, name: str, passed: bool, detail: str) -> None:
        self._checks.append(Check(name, passed, detail))
        mark = "[green]ok  [/]" if passed else "[red]FAIL[/]"
        self._console.print(f"   {mark}  {name:<34}{escape(detail)}", soft_wrap=True)

    def _rule(self, title: str) -> None:
        self._section += 1
        self._console.print()
        self._console.rule(f"[bold]{self._section}  {title}", align="left")

    def _print(self, *lines: str) -> None:
        for line in lines:
            self._console.print(f"   {line}", markup=False, soft_wrap=True)

    def _table(self, rows: Iterable[Iterable[str]], *columns: Column) -> None:
        table = Table(*columns, box=None, show_header=any(column.header for column in columns))
        for row in rows:
            table.add_row(*row)
        self._console.print(Padding(table, (0, 0, 0, 2)))


def _right(header: str = "") -> Column:
    return Column(header, justify="right")


def _speed(manifest: dict[str, Any], seconds: float) -> str:
    return f"{seconds:.1f} s, {manifest['bytes'] / _MEGABYTE / seconds:.1f} MB/s"


def _show_parts(progress: Progress, parts: list[dict[str, Any]]) -> None:
    """Show a bar for each part, which pulses until the part is stored."""
    for part in parts:
        tasks = {task.description: task.id for task in progress.tasks}
        number = str(part["part"])
        if number not in tasks:
            tasks[number] = progress.add_task(number, total=None, state="", size="")
        progress.update(tasks[number], state=part["state"])
        if part["state"] == "STORED":
            size = f"{part['records']:,} records, {part['bytes'] / _MEGABYTE:.1f} MB"
            progress.update(tasks[number], total=1, completed=1, size=size)
