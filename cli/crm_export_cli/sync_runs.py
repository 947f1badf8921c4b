"""`sync run [MODULE...]`: starts runs of syncs, continues those that were interrupted, and waits for all.

In a folder nothing else starts them: this command is the folder's clock.
"""
# ruff: noqa: PLC0415 - `--help` and shell completion need no HTTP client

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from crm_export.errors import ExportError
from crm_export_cli.backend import Backend, Ids, View, Views
from crm_export_cli.completion import complete_modules
from crm_export_cli.exits import CliError, Exit, exit_of, from_export_error
from crm_export_cli.exporting import (
    concerns_all,
    download_export,
    interrupted,
    print_end,
    wait_for,
    with_started,
)
from crm_export_cli.options import DEFAULT_DOWNLOADS, DownloadsOption, JsonOption, TrustOption
from crm_export_cli.output import print_json, tell
from crm_export_cli.targets import Target, with_target

_LONGEST = 1440  # minutes


def _minutes(name: str, default: int, words: str) -> Any:
    return typer.Option(
        f"--{name}-minutes",
        min=0,
        max=_LONGEST,
        envvar=f"CRM_EXPORT_{name.upper()}_MINUTES",
        help=f"{words}; of a folder (default {default})",
        show_default=False,
    )


@with_target
def run(
    *,
    modules: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODULE",
            help="default: what is due, in a folder",
            show_default=False,
            autocompletion=complete_modules,
        ),
    ] = None,
    target: Target,
    full: Annotated[
        bool, typer.Option("--full", help="read all records of the named modules, and compare them")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="--no-wait: only start; `sync run` does the rest")
    ] = True,
    overlap_minutes: Annotated[
        int, _minutes("overlap", 15, "how long a change may take to become visible")
    ] = 15,
    lag_minutes: Annotated[int, _minutes("lag", 5, "how far the watermark stays behind Zoho's clock")] = 5,
    credit_share: Annotated[
        int,
        typer.Option(
            "--credit-share", min=1, max=100, help="percent of Zoho's API credits for syncs; of a folder"
        ),
    ] = 30,
    trust_origin: TrustOption = None,
    downloads_per_minute: DownloadsOption = DEFAULT_DOWNLOADS,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export sync run --to ./out

    Run what is due in a folder, continue runs that were interrupted, and wait until all have ended. Nothing
    else starts the runs of a folder, so let cron call this command, more often than the shortest --every:

    \b
      */15 * * * *  crm-export sync run --to /home/me/crm

    With modules, run these now. A stack starts what is due by itself, so there modules have to be named, and
    --to downloads the files. Several commands at once do no harm.
    """
    from crm_export.sync.model import Lag, SyncLimits
    from crm_export_cli.folder.wiring import FolderSettings

    if not modules and (target.is_stack or full):
        why = "--full reads modules" if full else "A stack starts what is due by itself"
        raise CliError(f"{why}; name those that are to run now.", Exit.USAGE)
    lag = Lag(timedelta(minutes=overlap_minutes), timedelta(minutes=lag_minutes))
    settings = FolderSettings(
        tuple(trust_origin or ()),
        downloads_per_minute=downloads_per_minute,
        syncs=SyncLimits(lag, credit_share),
    )
    with target.connected(settings) as backend:
        again = backend.resume_command([]) if target.is_stack else f"crm-export sync run {backend.options}"
        try:
            views, refused = _run(
                backend, modules, kind="full" if full else "changes", again=again if wait else None
            )
        except KeyboardInterrupt:
            raise interrupted(again) from None
        if target.downloads is not None and wait:
            views = [_downloaded(backend, view, target.downloads) for view in views]
        return _report(backend, views, refused, as_json=as_json)


def _run(backend: Backend, modules: list[str] | None, *, kind: str, again: str | None) -> tuple[Views, Views]:
    """Start the runs, and wait for them and for those in progress; the latter are followed by the next run.

    again: the command that continues after Ctrl-C; None: do not wait. Return the exports, and the modules
    whose runs could not start.
    """
    if modules:
        start, (chosen, unknown) = _starter(backend, kind), _named(backend, modules)
    else:
        start, chosen, unknown = backend.start_due, None, []
    if again is None:
        ids, refused = start(chosen)
        return [backend.view(export_id) for export_id in ids], unknown + refused
    running = {name: run for name, run in backend.open_runs().items() if chosen is None or name in chosen}
    ids, refused = start(chosen and [name for name in chosen if name not in running])
    views = wait_for(backend, [*running.values(), *ids], again)
    ids, more = start(list(running)) if running else ([], [])
    return views + wait_for(backend, ids, again), unknown + refused + more


def _named(backend: Backend, modules: list[str]) -> tuple[Ids, Views]:
    """Return the API names of the modules whose syncs are named, and those that have no sync."""
    names, unknown = dict[str, None](), []
    for module in modules:
        try:
            names[backend.sync(module)["module"]] = None
        except (ExportError, CliError) as error:
            unknown.append(_refused(backend, module, error, []))
    return list(names), unknown


def _starter(backend: Backend, kind: str) -> Callable[[Ids | None], tuple[Ids, Views]]:
    """Return a function that starts the runs of modules, as `Backend.start_due` does."""

    def start(modules: Ids | None) -> tuple[Ids, Views]:
        started, refused = list[str](), list[View]()
        for module in modules or []:
            try:
                started.append(backend.start_run(module, kind)["export_id"])
            except (ExportError, CliError) as error:
                refused.append(_refused(backend, module, error, started))
        return started, refused

    return start


def _refused(backend: Backend, module: str, error: ExportError | CliError, started: Ids) -> View:
    """Return a module with the reason why its run did not start. Raises CliError if that concerns all."""
    failed = from_export_error(error) if isinstance(error, ExportError) else error
    if concerns_all(failed):
        raise with_started(failed, backend, started) from error
    return {"module": module, **failed.to_dict()}


def _downloaded(backend: Backend, view: View, to: Path) -> View:
    return download_export(backend, view["export_id"], to) if view["state"] == "COMPLETED" else view


def _report(backend: Backend, views: Views, refused: Views, *, as_json: bool) -> Exit:
    if as_json:
        print_json({"exports": views, "refused": refused})
    else:
        for view in views:
            print_end(view, backend)
        for module in refused:
            why = f"{module['message']} {module['remedy'] or ''}".rstrip()
            tell(f"error: the run of {module['module']} did not start: {why}")
        if not views and not refused:
            print(_nothing(backend))
    return _code(views, refused)


def _nothing(backend: Backend) -> str:
    """Say that nothing is due, and what is next."""
    syncs = [sync for sync in backend.syncs() if sync["next_run_at"]]
    if not syncs:
        return "There is no sync: create one with `crm-export sync put MODULE`."
    following = min(syncs, key=lambda sync: str(sync["next_run_at"]))
    return f"Nothing is due. Next: {following['module']} at {following['next_run_at']}"


def _code(views: Views, refused: Views) -> Exit:
    if any(view["state"] in {"FAILED", "CANCELLED"} for view in views):
        return Exit.FAILED
    if not refused:
        return Exit.DONE
    codes = {exit_of(module["code"]) for module in refused}
    return Exit.NOT_CONNECTED if codes == {Exit.NOT_CONNECTED} and not views else Exit.REFUSED
