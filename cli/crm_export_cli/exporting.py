"""`export MODULE...` and `exports resume`: start exports, and wait until they have ended.

The backend is imported when a command runs: `--help` and shell completion need no HTTP client.
"""
# ruff: noqa: PLC0415

import secrets
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from crm_export.errors import ExportError, ZohoPermissionDenied
from crm_export.system import utc_now
from crm_export_cli.backend import Backend, View
from crm_export_cli.completion import FORMATS, complete_exports, complete_formats, complete_modules
from crm_export_cli.exits import CliError, Exit, from_export_error
from crm_export_cli.options import (
    DEFAULT_DOWNLOADS,
    CriteriaOption,
    CvidOption,
    DownloadsOption,
    FieldsOption,
    JsonOption,
    TrustOption,
    WhereOption,
)
from crm_export_cli.output import print_json, tell
from crm_export_cli.targets import Target, with_target

exports_app = typer.Typer(help="Exports that were started.", no_args_is_help=True, rich_markup_mode=None)

_EXAMPLE = "Example: crm-export export contacts deals --to ./out"


@with_target
def export(
    *,
    modules: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODULE",
            help="such as contacts or Price_Books",
            show_default=False,
            autocompletion=complete_modules,
        ),
    ] = None,
    target: Target,
    all_modules: Annotated[
        bool, typer.Option("--all", help="all modules of the organisation that Zoho lets us export")
    ] = False,
    fields: FieldsOption = None,
    cvid: CvidOption = None,
    where: WhereOption = None,
    criteria: CriteriaOption = None,
    file_format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="csv, csv.gz, parquet (typed, next to the CSV), or ics for events",
            autocompletion=complete_formats,
        ),
    ] = "csv",
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="--no-wait: only start; `exports resume` does the rest")
    ] = True,
    trust_origin: TrustOption = None,
    downloads_per_minute: DownloadsOption = DEFAULT_DOWNLOADS,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export export contacts deals --to ./out

    Export whole modules into a folder: exports/account_id=.../module=.../export_id=.../part-00001.csv, and
    manifest.json when everything is there and verified. With --stack or --local the stack exports to its
    bucket, and --to downloads the files from there. --format parquet also writes DIR/lake/....
    """
    if bool(modules) == all_modules:
        raise CliError("Name modules, or give --all, but not both.", Exit.USAGE, remedy=_EXAMPLE)
    several = all_modules or len(modules or []) > 1
    body = _body(query_of(fields, cvid, where, criteria), file_format, several=several)
    if target.is_stack and file_format == "csv.gz":
        raise CliError(
            "--format is 'csv.gz', which is a setting of the stack.",
            Exit.USAGE,
            remedy="Leave --format out; the parameter ResultFormat decides.",
        )
    lake = _lake(target, wait=wait) if file_format == "parquet" else None
    from crm_export_cli.folder.wiring import FolderSettings

    result_format = file_format if file_format == "csv.gz" else "csv"
    settings = FolderSettings(tuple(trust_origin or ()), result_format, downloads_per_minute)
    with target.connected(settings) as backend:
        started, refused = _start(backend, modules or backend.modules(), body)
        return finish(backend, started, refused, target.downloads, wait=wait, as_json=as_json, lake=lake)


def _lake(target: Target, *, wait: bool) -> Path:
    """Return the folder in which Parquet is written. Raises CliError if that cannot work."""
    from crm_export_cli.lake import require_arrow

    require_arrow()
    if target.to is None:
        raise CliError(
            "Parquet is written from the files that are downloaded, and it is not known where to.",
            Exit.USAGE,
            remedy="Add --to DIR. The stack itself writes Parquet if its parameter LakeOutput is on.",
        )
    if not wait:
        raise CliError(
            "Parquet is written when an export is complete, so --format parquet does not go with --no-wait.",
            Exit.USAGE,
            remedy="Leave --format out, and run `crm-export lake write` later.",
        )
    return target.to


@exports_app.command(short_help="Continue exports where they stopped.")
@with_target
def resume(
    *,
    export_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]",
            help="default: all that are RUNNING",
            show_default=False,
            autocompletion=complete_exports("RUNNING"),
        ),
    ] = None,
    target: Target,
    latest: Annotated[bool, typer.Option("--latest", help="the export that was started last")] = False,
    trust_origin: TrustOption = None,
    downloads_per_minute: DownloadsOption = DEFAULT_DOWNLOADS,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export exports resume --latest --to ./out

    Continue exports where they stopped: after Ctrl-C, after the machine went down, on the next day. A stack
    goes on by itself: then this command waits for the end, and downloads the files if --to is given.
    """
    from crm_export_cli.folder.backend import FolderBackend
    from crm_export_cli.folder.wiring import Folder, FolderSettings

    if latest and export_id is not None:
        raise CliError("Both an ID and --latest are given; give one of them.", Exit.USAGE)
    if target.is_stack:
        with target.opened() as stack_backend:
            chosen = _chosen(stack_backend, export_id, latest=latest)
            if not chosen:
                return _report_nothing(stack_backend.options, as_json=as_json)
            return finish(stack_backend, chosen, [], target.downloads, wait=True, as_json=as_json)
    root = target.folder
    if not Folder.exists(root):
        return _report_nothing(str(root), as_json=as_json)
    settings = FolderSettings(tuple(trust_origin or ()), downloads_per_minute=downloads_per_minute)
    with FolderBackend.open(root, settings) as backend:
        export_ids = _chosen(backend, export_id, latest=latest)
        if not any(backend.view(chosen)["state"] == "RUNNING" for chosen in export_ids):
            return _report_nothing(str(root), as_json=as_json)
        return report(backend, wait_for(backend, export_ids), [], as_json=as_json)


def finish(
    backend: Backend, started: list[str], refused: list[dict[str, Any]], downloads: Path | None, *,
    wait: bool, as_json: bool, lake: Path | None = None,
) -> Exit:  # fmt: skip
    """Wait for exports that were started, download them to `downloads`, and report. Return the exit code.

    lake: the folder in which they are also written as Parquet.
    """
    from crm_export_cli.lake import land, write_command

    if not wait:
        return report(backend, [backend.view(export_id) for export_id in started], refused, as_json=as_json)
    resume_command = backend.resume_command(started)
    if lake is not None:
        resume_command = f"{resume_command} && {write_command(started, backend.options, lake)}"
    views = wait_for(backend, started, resume_command)
    if downloads is not None:
        views = [
            download_export(backend, view["export_id"], downloads) if view["state"] == "COMPLETED" else view
            for view in views
        ]
    if lake is not None:
        views = [land(backend, view, lake) if view["state"] == "COMPLETED" else view for view in views]
    return report(backend, views, refused, as_json=as_json)


def download_export(backend: Backend, export_id: str, to: Path) -> View:
    """Download one export with a line of progress; return its view with the `folder` of its files."""
    from crm_export_cli.download import download
    from crm_export_cli.progress import transfer

    try:
        with transfer() as show:
            folder = download(lambda: backend.view(export_id), backend.open_file, to, show)
    except KeyboardInterrupt:
        where = f"--to {shlex.quote(str(to))}"
        raise CliError(
            "Interrupted. What has arrived is kept.",
            Exit.INTERRUPTED,
            remedy=f"To continue: crm-export exports download {export_id} {backend.options} {where}",
        ) from None
    return {**backend.view(export_id), "folder": str(folder)}


def chosen_export(backend: Backend, export_id: str | None, *, latest: bool) -> str:
    """Return the id of the one export that a command is about. Raises CliError."""
    if latest == (export_id is not None):
        given = "Both an ID and --latest are given" if latest else "No export is named"
        raise CliError(f"{given}; give an ID, or --latest.", Exit.USAGE)
    chosen = backend.latest() if latest else export_id
    if chosen is None:
        raise CliError("There are no exports.", code="EXPORT_NOT_FOUND")
    return chosen


def _criteria(where: str | None, file: Path | None) -> dict[str, Any] | None:
    """Return the criteria of --where or --criteria, checked. Raises CliError and QueryRefused.

    A decimal number becomes a string, so that every digit reaches Zoho: a float would round it.
    """
    from crm_export import strict_json
    from crm_export.zoho.criteria import check_criteria
    from crm_export_cli.where import parse_where

    if where is not None and file is not None:
        raise CliError("--where and --criteria are both given; give one of them.", Exit.USAGE)
    if where is not None:
        return check_criteria(parse_where(where))
    if file is None:
        return None
    try:
        return check_criteria(strict_json.loads_with_text(file.read_bytes()))
    except OSError as error:
        raise CliError(f"--criteria {file} cannot be read: {error.strerror}.", Exit.USAGE) from error
    except ValueError as error:
        raise CliError(f"--criteria {file} is not JSON: {error}.", Exit.USAGE) from error


def query_of(
    fields: str | None, cvid: str | None, where: str | None, criteria: Path | None
) -> dict[str, Any]:
    """Return the options that choose records as StartExport's query. Raises CliError and QueryRefused."""
    query: dict[str, Any] = {}
    if fields is not None:
        names = [name.strip() for name in fields.split(",")]
        query["fields"] = "all" if names == ["all"] else names
    if cvid is not None:
        query["cvid"] = cvid
    found = _criteria(where, criteria)
    return query if found is None else {**query, "criteria": found}


def _body(query: dict[str, Any], file_format: str, *, several: bool) -> dict[str, Any]:
    """Return the options as StartExport in docs/openapi.yaml."""
    if file_format not in FORMATS:
        raise CliError(f"--format is {file_format!r}; allowed: {', '.join(FORMATS)}.", Exit.USAGE)
    run = {"run_id": f"{utc_now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"} if several else {}
    return {"query": query, "file_type": "ics" if file_format == "ics" else "csv", **run}


def _start(
    backend: Backend, modules: list[str], body: dict[str, Any]
) -> tuple[list[str], list[dict[str, Any]]]:
    """Start the exports. Return their ids, and of several modules those that are refused, with the reason."""
    started, refused = [], []
    for module in dict.fromkeys(modules):
        try:
            started.append(backend.start(module, body)["export_id"])
        except KeyboardInterrupt:
            raise _interrupted(backend, started) from None
        except (ExportError, CliError) as error:  # of a folder, or as a stack reports it
            failed = from_export_error(error) if isinstance(error, ExportError) else error
            if len(modules) == 1 or concerns_all(failed):
                raise with_started(failed, backend, started) from error
            refused.append({"module": module, **failed.to_dict()})
    return started, refused


def concerns_all(error: CliError) -> bool:
    """Return True if the other modules would fail, too: the connection or the stack does not work."""
    is_one = error.code == ZohoPermissionDenied.code  # Zoho's users may be allowed to see some modules only
    return not is_one and (error.exit_code == Exit.NOT_CONNECTED or error.code.startswith(("AWS_", "STACK_")))


def with_started(error: CliError, backend: Backend, export_ids: list[str]) -> CliError:
    """Return the error, and the command that continues what was started before it."""
    if not export_ids:
        return error
    rest = f"To continue what was started: {backend.resume_command(export_ids)}"
    remedy = f"{error.to_dict()['remedy'] or ''} {rest}".strip()
    return CliError(error.message, error.exit_code, code=error.code, remedy=remedy)


def _interrupted(backend: Backend, export_ids: list[str]) -> CliError:
    """Return what Ctrl-C reports while exports are started."""
    if not export_ids:
        return CliError("Interrupted before an export was started.", Exit.INTERRUPTED)
    return interrupted(backend.resume_command(export_ids))


def interrupted(command: str) -> CliError:
    """Return what Ctrl-C reports: the command that continues what was started."""
    return CliError("Interrupted. Nothing is lost.", Exit.INTERRUPTED, remedy=f"To continue: {command}")


def _chosen(backend: Backend, export_id: str | None, *, latest: bool) -> list[str]:
    if latest:
        export_id = backend.latest()
        return [export_id] if export_id else []
    return [export_id] if export_id else backend.running()


def wait_for(backend: Backend, export_ids: list[str], command: str | None = None) -> list[View]:
    """Wait for exports. Ctrl-C and a full disk leave them RUNNING, and say how to continue.

    command: the one that continues them; by default `exports resume`.
    """
    from crm_export_cli.folder.errors import FolderFull
    from crm_export_cli.progress import progress

    if not export_ids:
        return []
    command = command or backend.resume_command(export_ids)
    try:
        with progress() as show:
            return backend.wait(export_ids, show)
    except KeyboardInterrupt:
        raise interrupted(command) from None
    except FolderFull as error:
        raise CliError(
            f"{error.message} Nothing is lost.",
            code=error.code,
            remedy=f"Free some space, then continue: {command}",
        ) from error


def report(backend: Backend, views: list[View], refused: list[dict[str, Any]], *, as_json: bool) -> Exit:
    if as_json:
        print_json({"exports": views, "refused": refused})
    else:
        for view in views:
            print_end(view, backend)
        for module in refused:
            tell(f"error: {module['module']} was refused: {module['message']} {module['remedy'] or ''}")
    if any(view["state"] in {"FAILED", "CANCELLED"} for view in views) or not views:
        return Exit.FAILED
    return Exit.REFUSED if refused else Exit.DONE


def print_end(view: View, backend: Backend) -> None:
    """Print a line about an export: how it has ended, or how to continue it."""
    if view["state"] == "COMPLETED":
        print(f"{view['module']}: {_words(view)}, {_place(view)}")
        if lake := view.get("lake"):
            print(f"{view['module']}: {_parquet(lake)}")
        for warning in _warnings(view):
            print(f"warning: {view['module']}: {warning}", file=sys.stderr)
    elif view["state"] == "CANCELLED":
        print(f"error: the export of {view['module']} was cancelled.", file=sys.stderr)
    elif view["state"] == "FAILED":
        failure = view["failure"]
        tell(
            f"error: the export of {view['module']} failed ({failure['code']}): {failure['message']} "
            f"{failure['remedy']}"
        )
    else:
        print(f"{view['module']}: started. To continue: {backend.resume_command([view['export_id']])}")


def _words(view: View) -> str:
    """Return what a COMPLETED export has; of a run of a sync also its kind and the deletions."""
    run = view.get("sync")
    kind = f"{run['kind']} run, " if run else ""
    deleted = f"{run['deleted']:,} deleted, " if run and run["deleted"] is not None else ""
    parts = [part for part in view["parts"] if part["key"]]  # a run that finds no changes stores no file
    size = sum(part["bytes"] for part in parts)
    return f"{kind}{view['records']:,} records, {deleted}{size:,} bytes, {_counted(len(parts), 'part')}"


def _warnings(view: View) -> list[str]:
    """Return what a COMPLETED export has, and should not have."""
    run, found = view.get("sync") or {}, list[str]()
    if (view.get("witness") or {}).get("verdict") == "gap":
        found.append(view["witness"]["why"])
    if any((run.get("drift") or {}).values()):
        drift = ", ".join(f"{count:,} {kind}" for kind, count in run["drift"].items())
        found.append(f"the chain differed from Zoho in rows that no run had seen change: {drift}.")
    if run.get("late"):
        found.append(f"{_counted(run['late'], 'row')} came late; the next windows reach further back.")
    return found


def _parquet(lake: dict[str, Any]) -> str:
    files = _counted(lake["files"], "file")
    rescued = ", ".join(f"{name} {count:,}" for name, count in lake["rescued"].items())
    unfit = f"; values in _rescued: {rescued}" if rescued else ""
    return f"{lake['rows']:,} rows as Parquet, {lake['bytes']:,} bytes, {files}: {lake['folder']}/{unfit}"


def _place(view: View) -> str:
    """Say where the files are: in a folder, where they were verified when they were written, or in S3."""
    if folder := view.get("folder"):
        return f"verified: {folder}/"
    url = view["manifest_url"]
    return f"in S3: {view['manifest_key']}" if "://" in url else f"verified: {url.rpartition('/')[0]}/"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _report_nothing(where: str, *, as_json: bool) -> Exit:
    if as_json:
        print_json({"exports": [], "refused": []})
    else:
        print(f"There is nothing to resume in {where}.")
    return Exit.DONE
