"""`sync put|list|show|run|delete`: modules that are kept current, in a folder or by a stack."""
# ruff: noqa: PLC0415 - `--help` and shell completion need no HTTP client

from typing import Annotated, Any

import typer

from crm_export import strict_json
from crm_export_cli.backend import View
from crm_export_cli.exits import Exit
from crm_export_cli.exporting import query_of
from crm_export_cli.looking import ModuleArgument
from crm_export_cli.options import (
    CriteriaOption,
    CvidOption,
    FieldsOption,
    JsonOption,
    TrustOption,
    WhereOption,
)
from crm_export_cli.output import fitted, print_json
from crm_export_cli.sync_runs import run
from crm_export_cli.targets import Target, with_target

app = typer.Typer(help="Modules that are kept current.", no_args_is_help=True, rich_markup_mode=None)
_WIDTH = 12  # of the names that `show` prints


@app.command(short_help="Keep a module current, or change how.")
@with_target
def put(
    *,
    module: ModuleArgument,
    target: Target,
    every: Annotated[
        str | None, typer.Option("--every", metavar="SPAN", help="15m to 30d; default of a new sync: 1h")
    ] = None,
    full_every: Annotated[
        str | None,
        typer.Option(
            "--full-every",
            metavar="SPAN",
            help="read and compare all records: 15m to 90d, or never; default: 7d",
        ),
    ] = None,
    fields: FieldsOption = None,
    cvid: CvidOption = None,
    where: WhereOption = None,
    criteria: CriteriaOption = None,
    enabled: Annotated[
        bool | None,
        typer.Option("--enabled/--disabled", help="--disabled: no further runs", show_default=False),
    ] = None,
    trust_origin: TrustOption = None,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export sync put deals --every 1h --to ./out

    Keep a module current: the first run reads all records, the next ones what has changed and what was
    deleted, and a full run now and then finds what Zoho does not show as a change. What is not named stays as
    it is. If --fields, --cvid, --where or --criteria are given, these together replace the query, and the
    next run is full.

    In a folder the runs start with `crm-export sync run`, which cron may call; a stack starts them itself.
    """
    from crm_export_cli.folder.wiring import FolderSettings

    query = query_of(fields, cvid, where, criteria)
    given = {"every": every, "full_every": full_every, "query": query or None, "enabled": enabled}
    body = {name: value for name, value in given.items() if value is not None}
    with target.connected(FolderSettings(tuple(trust_origin or ()))) as backend:
        view = backend.put_sync(module, body)
        starts = "" if target.is_stack else f" To run it: crm-export sync run {backend.options}"
    if as_json:
        print_json(view)
    else:
        print(f"{view['module']}: {_rhythm(view)}.{starts if view['enabled'] else ''}")
    return Exit.DONE


@app.command("list", short_help="List the syncs.")
@with_target
def list_syncs(*, target: Target, as_json: JsonOption = False) -> int:
    """Example: crm-export sync list --to ./out

    List the syncs: module, state, how often a run starts, and when the next one does.
    """
    with target.opened() as backend:
        views = backend.syncs()
    if as_json:
        print_json({"syncs": views})
    for view in [] if as_json else views:
        following = view["next_run_at"] or ""
        print(f"{view['module']:<16}  {view['state']:<8}  {view['every']:<4}  {following}".rstrip())
    return Exit.DONE


@app.command(short_help="Show a sync with its last and its next run.")
@with_target
def show(*, module: ModuleArgument, target: Target, as_json: JsonOption = False) -> int:
    """Example: crm-export sync show contacts --to ./out

    Show a sync: up to when it is current, its last and its next run, and what keeps it from running.
    """
    with target.opened() as backend:
        view = backend.sync(module)
    if as_json:
        print_json(view)
        return Exit.DONE
    for name, value in _lines(view):
        print(fitted(f"{name:<{_WIDTH}}{value}", _WIDTH))
    return Exit.DONE


@app.command(short_help="Stop keeping a module current.")
@with_target
def delete(*, module: ModuleArgument, target: Target, as_json: JsonOption = False) -> int:
    """Example: crm-export sync delete contacts --to ./out

    Stop keeping a module current. The files stay, and a run in progress ends like any other export.
    """
    with target.opened() as backend:
        name = backend.sync(module)["module"]
        backend.delete_sync(name)
    if as_json:
        print_json({"module": name})
    else:
        print(f"{name}: the sync is deleted; its files stay.")
    return Exit.DONE


app.command(short_help="Run syncs: what is due, or the named ones.")(run)


def _rhythm(view: View) -> str:
    if not view["enabled"]:
        return "disabled; no further runs start"
    full = "never in full again" if view["full_every"] == "never" else f"in full every {view['full_every']}"
    return f"current every {view['every']}, {full}"


def _lines(view: View) -> list[tuple[str, str]]:
    """Return what `show` prints, as names and values."""
    lines = [("module", view["module"]), ("state", view["state"]), ("rhythm", _rhythm(view))]
    if view["query"]:
        lines.append(("query", strict_json.dumps(view["query"])))
    if view["watermark"]:
        lines.append(("watermark", view["watermark"]))
        lines.append(("overlap", f"{view['overlap_minutes']} minutes"))
    if view["run"]:
        lines.append(
            ("running", f"{view['run']['kind']} ({view['run']['reason']}), {view['run']['export_id']}")
        )
    if view["next_run_at"]:
        why = f", in full: {view['next_full_because']}" if view["next_full_because"] else ""
        lines.append(("next run", f"{view['next_run_at']}{why}"))
    if view["last_run"]:
        lines += _last_run(view["last_run"])
    if blocked := view["blocked"]:
        lines.append(("blocked", f"since {blocked['since']}: {blocked['code']}"))
        lines += [("", blocked["message"]), ("", blocked["remedy"])]
    return lines


def _last_run(last: dict[str, Any]) -> list[tuple[str, str]]:
    deleted = "deletions not read" if last["deleted"] is None else f"{last['deleted']:,} deleted"
    counts = f"{last['records']:,} records, {deleted}, {last['late']:,} late, {last['credits']:,} credits"
    lines = [("last run", f"{last['kind']}, {last['completed_at']}"), ("", counts), ("", last["export_id"])]
    if last["drift"] is not None:
        drift = ", ".join(f"{count:,} {kind}" for kind, count in last["drift"].items())
        lines.insert(2, ("", f"drift: {drift}"))
    return lines
