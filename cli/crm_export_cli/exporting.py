"""`export MODULE...` and `exports resume`: start exports, and wait until they have ended.

The backend is imported when a command runs: `--help` and shell completion need no HTTP client.
"""
# ruff: noqa: PLC0415

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from crm_export.errors import ExportError
from crm_export_cli.backend import Backend, View
from crm_export_cli.exits import CliError, Exit, from_export_error
from crm_export_cli.options import JsonOption, TrustOption
from crm_export_cli.output import print_json

exports_app = typer.Typer(help="Exports that were started.", no_args_is_help=True, rich_markup_mode=None)

ToOption = Annotated[
    Path,
    typer.Option("--to", metavar="DIR", envvar="CRM_EXPORT_TO", help="the folder of the exports"),
]
DownloadsOption = Annotated[
    int,
    typer.Option(
        "--downloads-per-minute",
        min=1,
        help="Zoho allows an organisation 10 for all its programs; a further one waits",
    ),
]
_FORMATS = ("csv", "csv.gz", "ics")
_DOWNLOADS = 10


def export(
    *,
    modules: Annotated[
        list[str], typer.Argument(metavar="MODULE...", help="such as contacts or Price_Books")
    ],
    to: ToOption,
    fields: Annotated[
        str | None,
        typer.Option("--fields", metavar="A,B", help="API names of fields, or all; default: Zoho's choice"),
    ] = None,
    cvid: Annotated[
        str | None, typer.Option("--cvid", metavar="ID", help="only the records of this custom view")
    ] = None,
    file_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="csv, csv.gz, or ics for events")
    ] = "csv",
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="--no-wait: only start; `exports resume` does the rest")
    ] = True,
    trust_origin: TrustOption = None,
    downloads_per_minute: DownloadsOption = _DOWNLOADS,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export export contacts deals --to ./out

    Export whole modules into a folder: exports/account_id=.../module=.../export_id=.../part-00001.csv, and
    manifest.json when everything is there and verified.
    """
    from crm_export_cli.folder.backend import FolderBackend
    from crm_export_cli.folder.wiring import FolderSettings

    body = _body(fields, cvid, file_format)
    result_format = file_format if file_format != "ics" else "csv"
    settings = FolderSettings(tuple(trust_origin or ()), result_format, downloads_per_minute)
    FolderBackend.require_connection(to, settings)
    with FolderBackend.open(to, settings) as backend:
        started, refused = _start(backend, modules, body)
        views = _wait(backend, started) if wait else list(map(backend.view, started))
        return _report(backend, views, refused, as_json=as_json)


@exports_app.command(short_help="Continue exports where they stopped.")
def resume(
    *,
    export_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="default: all that are RUNNING", show_default=False)
    ] = None,
    to: ToOption,
    latest: Annotated[bool, typer.Option("--latest", help="the export that was started last")] = False,
    trust_origin: TrustOption = None,
    downloads_per_minute: DownloadsOption = _DOWNLOADS,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export exports resume --latest --to ./out

    Continue exports where they stopped: after Ctrl-C, after the machine went down, on the next day.
    """
    from crm_export_cli.folder.backend import FolderBackend
    from crm_export_cli.folder.wiring import Folder, FolderSettings

    if latest and export_id is not None:
        raise CliError("Both an ID and --latest are given; give one of them.", Exit.USAGE)
    if not Folder.exists(to):
        return _report_nothing(to, as_json=as_json)
    settings = FolderSettings(tuple(trust_origin or ()), downloads_per_minute=downloads_per_minute)
    with FolderBackend.open(to, settings) as backend:
        export_ids = _chosen(backend, export_id, latest=latest)
        if not any(backend.view(chosen)["state"] == "RUNNING" for chosen in export_ids):
            return _report_nothing(to, as_json=as_json)
        return _report(backend, _wait(backend, export_ids), [], as_json=as_json)


def _body(fields: str | None, cvid: str | None, file_format: str) -> dict[str, Any]:
    """Return the options as StartExport in docs/openapi.yaml."""
    if file_format not in _FORMATS:
        raise CliError(f"--format is {file_format!r}; allowed: {', '.join(_FORMATS)}.", Exit.USAGE)
    query: dict[str, Any] = {}
    if fields is not None:
        names = [name.strip() for name in fields.split(",")]
        query["fields"] = "all" if names == ["all"] else names
    if cvid is not None:
        query["cvid"] = cvid
    return {"query": query, "file_type": "ics" if file_format == "ics" else "csv"}


def _start(
    backend: Backend, modules: list[str], body: dict[str, Any]
) -> tuple[list[str], list[dict[str, Any]]]:
    """Start the exports. Return their ids, and of several modules those that are refused, with the reason."""
    started, refused = [], []
    for module in dict.fromkeys(modules):
        try:
            started.append(backend.start(module, body)["export_id"])
        except ExportError as error:
            failed = from_export_error(error)
            if len(modules) == 1 or failed.exit_code == Exit.NOT_CONNECTED:
                raise failed from error
            refused.append({"module": module, **failed.to_dict()})
    return started, refused


def _chosen(backend: Backend, export_id: str | None, *, latest: bool) -> list[str]:
    if latest:
        export_id = backend.latest()
        return [export_id] if export_id else []
    return [export_id] if export_id else backend.running()


def _wait(backend: Backend, export_ids: list[str]) -> list[View]:
    """Wait for exports. Ctrl-C and a full disk leave them RUNNING, and say how to continue."""
    from crm_export_cli.folder.errors import FolderFull
    from crm_export_cli.progress import progress

    if not export_ids:
        return []
    command = backend.resume_command(export_ids)
    try:
        with progress() as show:
            return backend.wait(export_ids, show)
    except KeyboardInterrupt:
        raise CliError(
            "Interrupted. Nothing is lost.", Exit.INTERRUPTED, remedy=f"To continue: {command}"
        ) from None
    except FolderFull as error:
        raise CliError(
            f"{error.message} Nothing is lost.",
            code=error.code,
            remedy=f"Free some space, then continue: {command}",
        ) from error


def _report(backend: Backend, views: list[View], refused: list[dict[str, Any]], *, as_json: bool) -> Exit:
    if as_json:
        print_json({"exports": views, "refused": refused})
    else:
        for view in views:
            _print(view, backend)
        for module in refused:
            print(
                f"error: {module['module']} was refused: {module['message']} {module['remedy']}",
                file=sys.stderr,
            )
    if any(view["state"] == "FAILED" for view in views) or not views:
        return Exit.FAILED
    return Exit.REFUSED if refused else Exit.DONE


def _print(view: View, backend: Backend) -> None:
    if view["state"] == "COMPLETED":
        words = (
            f"{view['records']:,} records, {_bytes_of(view):,} bytes, {_counted(len(view['parts']), 'part')}"
        )
        print(f"{view['module']}: {words}, verified: {view['parts'][0]['url'].rpartition('/')[0]}/")
    elif view["state"] == "FAILED":
        failure = view["failure"]
        print(
            f"error: the export of {view['module']} failed ({failure['code']}): {failure['message']} "
            f"{failure['remedy']}",
            file=sys.stderr,
        )
    else:
        print(f"{view['module']}: started. To continue: {backend.resume_command([view['export_id']])}")


def _bytes_of(view: View) -> int:
    return sum(part["bytes"] for part in view["parts"])


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _report_nothing(to: Path, *, as_json: bool) -> Exit:
    if as_json:
        print_json({"exports": [], "refused": []})
    else:
        print(f"There is nothing to resume in {to}.")
    return Exit.DONE
