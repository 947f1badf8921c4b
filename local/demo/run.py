"""`python -m local demo`: one export from the request to the last record, explained and checked."""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from local.demo.api import Answer, Api
from local.demo.progress import Progress, UploadSizes, watch
from local.demo.report import Narrator
from local.demo.verify import Check, verify, verify_link
from local.stack.errors import LocalStackError
from local.stack.stack import Stack, StackOptions
from local.stack.state import State

_FOLDER = Path(".local/demo")
_GIVE_UP_SECONDS = 900.0
_MEGABYTE = 1_000_000
_PAGE = "/v1/e/zoho/export/contacts?page=1&limit=3"
_START = "/v1/e/zoho/bulk-read/contacts"


def demo(options: argparse.Namespace) -> int:
    """Run the demo; the exit code is 0 only if every check passed."""
    console = Console(highlight=False)
    narrator = Narrator(console)
    console.print("[bold]zoho-crm-export[/bold]: a whole module, from Zoho into S3, on this machine")
    narrator.heading("Deploying template.yaml, without AWS, Docker or a Zoho account")
    own_zoho = options.zoho is None
    stack_options = StackOptions(
        logs=_FOLDER / "logs", zoho_url=options.zoho, records=options.records if own_zoho else None
    )
    with Stack(stack_options) as stack:
        _tell_stack(narrator, stack, options.records if own_zoho else None)
        checks = _guide(narrator, stack, options.records if own_zoho else None)
        narrator.heading("What Lambda would have reported")
        narrator.reports(list(stack.lambdas.reports))
    _tell_end(narrator, checks)
    return 0 if checks and all(check.passed for check in checks) else 1


def _tell_stack(narrator: Narrator, stack: Stack, records: int | None) -> None:
    state = stack.state
    zoho = state.zoho_url if records is None else f"{state.zoho_url}, a simulator with {records:,} contacts"
    narrator.line(
        f"up in {stack.startup_seconds:.1f} s: {len(state.functions)} functions, {len(state.queues)} queues"
    )
    narrator.line(f"API   {state.api_url}")
    narrator.line(f"Zoho  {zoho}")
    narrator.line(f"S3    s3://{state.results_bucket}")


def _guide(narrator: Narrator, stack: Stack, records: int | None) -> list[Check]:
    api = Api(stack.state.api_url, stack.state.token)
    s3 = stack.aws.client("s3", read_timeout=120)
    page = _show_page(narrator, api)
    export, progress, watched = _run_export(narrator, api, s3, stack.state)
    if export.get("state") != "COMPLETED":
        failure = json.dumps(export.get("failure")) if export.get("failure") else "it did not end in time"
        return [page, Check("the export is COMPLETED", False, failure)]
    manifest = _show_objects(narrator, s3, stack.state, export)
    narrator.heading("Reading everything back, to be sure")
    narrator.line(
        "Each object is streamed through a CSV parser and compared with what Zoho and the manifest say."
    )
    started = time.monotonic()
    with _showing(narrator.console) as show:
        checks = [page, *verify(s3, stack.state.results_bucket, manifest, records, show)]
    checks.append(verify_link(export["parts"][0]["url"], manifest["parts"][0]["header"]))
    read = time.monotonic() - started
    narrator.checks(checks)
    _show_manifest(narrator, manifest)
    narrator.heading("Timings")
    narrator.line(f"request to manifest   {watched:6.1f} s   {progress.rate:5.1f} MB/s")
    narrator.line(f"reading it back       {read:6.1f} s   {manifest['bytes'] / _MEGABYTE / read:5.1f} MB/s")
    return checks


@contextmanager
def _showing(console: Console) -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is going on; say nothing anywhere else."""
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("") as status:
        yield status.update


def _show_page(narrator: Narrator, api: Api) -> Check:
    narrator.heading("One page of contacts over HTTP")
    answer = api.call("GET", _PAGE)
    _tell_call(narrator, "GET", _PAGE, answer)
    rows = answer.data if isinstance(answer.data, list) else []
    for row in rows:
        narrator.line(f"{row.get('id', ''):<22}{row.get('Full_Name') or '':<28}{row.get('Email') or ''}")
    passed = answer.status == 200 and len(rows) > 0
    said = f"{len(rows)} records" if passed else json.dumps(answer.body)
    return Check("page of contacts", passed, f"HTTP {answer.status}, {said}")


def _tell_call(narrator: Narrator, method: str, path: str, answer: Answer) -> None:
    narrator.line(f"{method} {path}  →  {answer.status} in {answer.milliseconds:.0f} ms")


def _run_export(
    narrator: Narrator, api: Api, s3: Any, state: State
) -> tuple[dict[str, Any], Progress, float]:
    narrator.heading("All contacts, by Bulk Read")
    narrator.line(
        "Zoho makes one file of at most 200,000 records at a time: a part. As soon as one is READY the"
    )
    narrator.line(
        "next is asked for, while its own file is unzipped, counted and stored in S3 as it streams in."
    )
    started = time.monotonic()
    answer = api.call("POST", _START)
    _tell_call(narrator, "POST", _START, answer)
    if answer.status != 202:
        raise LocalStackError(f"the export was not started: HTTP {answer.status} {json.dumps(answer.body)}")
    export_id = answer.data["export_id"]
    narrator.line(f"export {export_id}: from here on Zoho calls back, and queues do the rest")
    sizes = UploadSizes(s3, state.results_bucket)
    export, progress = watch(api, export_id, sizes, narrator.console, _GIVE_UP_SECONDS)
    return export, progress, time.monotonic() - started


def _show_objects(narrator: Narrator, s3: Any, state: State, export: dict[str, Any]) -> dict[str, Any]:
    narrator.heading("What is in S3 now")
    key = export["manifest_key"]
    folder = key.rpartition("/")[0] + "/"
    narrator.line(f"s3://{state.results_bucket}/{folder}")
    listed = s3.list_objects_v2(Bucket=state.results_bucket, Prefix=folder).get("Contents", [])
    narrator.table(
        ("object", "bytes"), [(item["Key"].removeprefix(folder), f"{item['Size']:,}") for item in listed]
    )
    manifest: dict[str, Any] = json.load(s3.get_object(Bucket=state.results_bucket, Key=key)["Body"])
    return manifest


def _show_manifest(narrator: Narrator, manifest: dict[str, Any]) -> None:
    narrator.heading("The manifest, written last: downstream jobs start on it")
    shown = manifest | {"parts": [part | {"header": _short(part["header"])} for part in manifest["parts"]]}
    for line in json.dumps(shown, indent=2, ensure_ascii=False).splitlines():
        narrator.line(line)


def _short(header: list[str]) -> list[str]:
    return header if len(header) <= 4 else [*header[:3], f"… {len(header) - 3} more"]


def _tell_end(narrator: Narrator, checks: list[Check]) -> None:
    failed = [check for check in checks if not check.passed]
    narrator.heading("Where to look next")
    narrator.line(f"logs        {_FOLDER}/logs/ResultDownloader.log and its neighbours")
    narrator.line(
        "code        functions/result_downloader/app.py, then layers/crm_export/crm_export/exports/"
    )
    narrator.line("the why     docs/decisions.md")
    narrator.line("play        make local: the same stack, until Ctrl-C")
    if failed or not checks:
        narrator.console.print("\n[bold red]Not all checks passed:[/bold red]")
        narrator.checks(failed)
    else:
        narrator.console.print(f"\n[bold green]All {len(checks)} checks passed.[/bold green]")
