"""`exports list|show|watch|retry|cancel|download|verify`: what was started, in a folder or a stack."""

# ruff: noqa: PLC0415 (the backend is imported when a command runs)
from pathlib import Path
from typing import Annotated, Any

import typer

from crm_export_cli.backend import View
from crm_export_cli.completion import complete_exports
from crm_export_cli.exits import CliError, Exit
from crm_export_cli.exporting import chosen_export, download_export, exports_app, finish, report, wait_for
from crm_export_cli.options import JsonOption
from crm_export_cli.output import fitted, print_json
from crm_export_cli.targets import FolderOrDownloads, Target, with_target

app = exports_app


def _id(*states: str) -> Any:
    """Return the argument ID of one export, which the shell completes from those in some states."""
    return typer.Argument(
        metavar="[ID]",
        help="of the export; or --latest",
        show_default=False,
        autocompletion=complete_exports(*states),
    )


LatestOption = Annotated[bool, typer.Option("--latest", help="the export that was started last")]


@app.command("list", short_help="List exports, newest first.")
@with_target
def list_exports(
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 20,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="only those that one command started together")
    ] = None,
    target: Target,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export exports list --to ./out

    List exports, newest first.
    """
    with target.opened() as backend:
        views = backend.list(limit, run)
    if as_json:
        print_json({"exports": views})
    for view in [] if as_json else views:
        records = "" if view["records"] is None else f"{view['records']:,} records"
        run = view.get("sync")
        kind = f"  {run['kind']} run" if run else ""
        line = f"{view['export_id']}  {view['state']:<9}  {view['module']:<16}  {records}{kind}"
        print(fitted(line.rstrip(), 4))
    return Exit.DONE


@app.command(short_help="Show one export with its parts.")
@with_target
def show(
    *,
    export_id: Annotated[str | None, _id()] = None,
    latest: LatestOption = False,
    target: Target,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export exports show --latest --to ./out

    Show one export: its state, its parts and what they wait for, and why it failed.
    """
    with target.opened() as backend:
        view = backend.view(chosen_export(backend, export_id, latest=latest))
    if as_json:
        print_json(view)
    else:
        _print_view(view)
    return Exit.DONE


@app.command(short_help="Wait for the end of an export.")
@with_target
def watch(
    *,
    export_id: Annotated[str | None, _id("RUNNING")] = None,
    latest: LatestOption = False,
    target: Target,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export exports watch --latest --stack zoho-crm-export

    Show an export's progress until it has ended. In a folder this command does the export's work, too, as
    `exports resume` does.
    """
    with target.opened() as backend:
        export_ids = [chosen_export(backend, export_id, latest=latest)]
        return report(backend, wait_for(backend, export_ids), [], as_json=as_json)


@app.command(short_help="Start the query of a failed export again.")
@with_target
def retry(
    *,
    export_id: Annotated[str | None, _id("FAILED", "CANCELLED")] = None,
    latest: LatestOption = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="--no-wait: only start")] = True,
    target: Target,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export exports retry --latest --to ./out

    Start a new export with the query of one that FAILED or was cancelled.
    """
    with target.opened() as backend:
        view = backend.view(chosen_export(backend, export_id, latest=latest))
        if view["state"] not in {"FAILED", "CANCELLED"}:
            raise CliError(
                f"Export {view['export_id']} is {view['state']}; only a failed or cancelled one is retried.",
                Exit.USAGE,
                remedy=f"Start another one with `crm-export export {view['module']}`.",
            )
        if view.get("sync"):
            raise CliError(
                f"Export {view['export_id']} is a run of a sync; the next run reads what this one has not.",
                Exit.USAGE,
                remedy=f"Start it now with `crm-export sync run {view['module']}`.",
            )
        started = backend.start(view["module"], _body_of(view))["export_id"]
        return finish(backend, [started], [], target.downloads, wait=wait, as_json=as_json)


def _body_of(view: View) -> dict[str, Any]:
    run = {"run_id": view["run_id"]} if view["run_id"] else {}
    return {"query": view["query"], "file_type": view["file_type"], **run}


@app.command(short_help="Cancel a running export and delete its files.")
@with_target
def cancel(
    *,
    export_id: Annotated[str | None, _id("RUNNING")] = None,
    latest: LatestOption = False,
    target: Target,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export exports cancel --latest --to ./out

    Cancel a running export. The files that it has stored are deleted; that cannot be undone.
    """
    if latest and target.is_stack:
        raise CliError(
            "--latest does not work here: a stack's list lags behind, so another export could be cancelled.",
            Exit.USAGE,
            remedy="Name the export: crm-export exports list.",
        )
    with target.opened() as backend:
        view = backend.cancel(chosen_export(backend, export_id, latest=latest))
    if as_json:
        print_json(view)
    else:
        print(f"{view['module']}: export {view['export_id']} is cancelled; its files are being deleted.")
    return Exit.DONE


@app.command(short_help="Download the files of an export, and verify them.")
@with_target
def download(
    *,
    export_id: Annotated[str | None, _id("COMPLETED")] = None,
    latest: LatestOption = False,
    target: Target,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export exports download --latest --stack zoho-crm-export --to ./out

    Download the files of a completed export into a folder, and verify them. If it is interrupted, the same
    command continues it. The files of a folder's own export are there already, so they are only verified.
    """
    if target.to is None:
        raise CliError("It is not known where to download to.", Exit.USAGE, remedy="Name a folder with --to.")
    with target.opened() as backend:
        chosen = chosen_export(backend, export_id, latest=latest)
        view = download_export(backend, chosen, target.to)
        return report(backend, [view], [], as_json=as_json)


@app.command(short_help="Check files against their manifest.")
def verify(
    *,
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[DIR|ID]",
            help="a folder with exports, or an export below --to",
            autocompletion=complete_exports("COMPLETED"),
        ),
    ] = None,
    latest: LatestOption = False,
    to: FolderOrDownloads = None,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export exports verify ./out

    Check size, CRC32, number of records and ids of all files against the manifests of their exports.
    """
    from crm_export_cli.verify import manifests_below
    from crm_export_cli.verify import verify as verify_files

    checked = [verify_files(manifest) for manifest in _chosen(manifests_below, what, latest=latest, to=to)]
    if as_json:
        print_json({"exports": checked})
    for export in [] if as_json else checked:
        words = f"{export['module']}: {export['records']:,} records, {export['bytes']:,} bytes"
        print(f"{words}, {'; '.join(export['problems']) or 'verified'}: {Path(export['manifest']).parent}/")
    return Exit.FAILED if any(export["problems"] for export in checked) else Exit.DONE


def _chosen(manifests_below: Any, what: str | None, *, latest: bool, to: Path | None) -> list[Path]:
    """Return the manifests that the arguments mean."""
    from crm_export.exports.model import is_export_id

    folder = to if what is None or is_export_id(what) else Path(what)
    if folder is None:
        raise CliError("It is not known what to verify.", Exit.USAGE, remedy="Name a folder, or give --to.")
    found: list[Path] = manifests_below(folder)
    if what is not None and is_export_id(what):
        found = [path for path in found if path.parent.name == f"export_id={what}"]
        if not found:
            raise CliError(
                f"{folder} has no manifest of export {what}.",
                code="EXPORT_NOT_FOUND",
                remedy="Only a COMPLETED export has one: crm-export exports list.",
            )
    return [max(found, key=lambda path: path.parent.name)] if latest else found


def _print_view(view: View) -> None:
    from crm_export_cli.progress import waiting

    for name in ("export_id", "state", "module", "requested_at", "completed_at", "records", "run_id"):
        if view[name] is not None:
            print(f"{name:<14}{view[name]}")
    if run := view.get("sync"):
        deleted = "" if run["deleted"] is None else f", {run['deleted']:,} deleted"
        print(f"{'run':<14}{run['kind']} ({run['reason']}){deleted}, {run['credits']:,} credits")
    for part in view["parts"]:
        records = "" if part["bytes"] is None else f"  {part['records']:,} records, {part['bytes']:,} bytes"
        print(f"{'part ' + str(part['part']):<14}{part['state']}{records}")
    if words := waiting(view):
        print(f"{'now':<14}{words}")
    if failure := view["failure"]:
        print(f"{'failure':<14}{failure['code']}: {failure['message']}\n{'remedy':<14}{failure['remedy']}")
