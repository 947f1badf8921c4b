"""`lake write`, `lake ddl` and `export --format parquet`: exports as typed Parquet, below DIR/lake.

A folder's files are written from its exports, a stack's from the files that were downloaded: by the same code
as functions/parquet_writer.
"""
# ruff: noqa: PLC0415 - `--help` and shell completion need neither Arrow nor an HTTP client

import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crm_export_cli.backend import Backend, View
from crm_export_cli.completion import complete_exports, complete_modules
from crm_export_cli.exits import CliError, Exit
from crm_export_cli.folder import STATE
from crm_export_cli.options import JsonOption
from crm_export_cli.output import print_json
from crm_export_cli.targets import Target, with_target

if TYPE_CHECKING:
    from crm_export_cli.stack.backend import StackBackend

app = typer.Typer(help="Exports as typed Parquet, and tables of them.", no_args_is_help=True)
_PACKAGES = ("arro3.core", "arro3.io")
_LAST_EXPORTS = 200  # among which a stack's last one of a module is looked for


def require_arrow() -> None:
    """Raise CliError if the packages that write Parquet are not installed."""
    try:
        missing = [name for name in _PACKAGES if find_spec(name) is None]
    except ModuleNotFoundError:
        missing = list(_PACKAGES)
    if missing:
        raise CliError(
            f"Parquet needs packages that are not installed: {', '.join(missing)}.",
            Exit.USAGE,
            code="PARQUET_NOT_INSTALLED",
            remedy="Install them where crm-export is: pip install '.[parquet]' in this project's folder.",
        )


def write_command(export_ids: list[str], options: str, root: Path) -> str:
    """Return the command that writes these exports as Parquet. options: those that find the backend."""
    where = "" if "--to" in options else f" --to {shlex.quote(str(root))}"
    return f"crm-export lake write {' '.join(export_ids)} {options}{where}"


@app.command(short_help="Write completed exports as Parquet.")
@with_target
def write(
    *,
    export_ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...",
            help="of completed exports; or --latest",
            show_default=False,
            autocompletion=complete_exports("COMPLETED"),
        ),
    ] = None,
    latest: Annotated[bool, typer.Option("--latest", help="the export that was started last")] = False,
    target: Target,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export lake write --latest --to ./out

    Write completed exports as typed Parquet into DIR/lake, and show the newest one in its module's table. A
    stack's files are downloaded first. What is written already stays.
    """
    from crm_export_cli.exporting import chosen_export, download_export, report

    require_arrow()
    if target.to is None:
        raise CliError("It is not known where to write to.", Exit.USAGE, remedy="Name a folder with --to.")
    with target.opened() as backend:
        chosen = [] if latest and export_ids else export_ids or [chosen_export(backend, None, latest=latest)]
        if not chosen:
            raise CliError("Both IDs and --latest are given; give one of them.", Exit.USAGE)
        views = [_completed(backend.view(export_id)) for export_id in chosen]
        if target.is_stack:
            views = [download_export(backend, view["export_id"], target.to) for view in views]
        return report(backend, [land(backend, view, target.to) for view in views], [], as_json=as_json)


def _completed(view: View) -> View:
    if view["state"] != "COMPLETED":
        raise CliError(
            f"Export {view['export_id']} is {view['state']}; only a COMPLETED one becomes Parquet.",
            Exit.USAGE,
            code="EXPORT_NOT_COMPLETED",
        )
    if view["file_format"] == "ics":
        raise CliError(
            f"Export {view['export_id']} is a calendar, which does not become Parquet.", Exit.USAGE
        )
    return view


def land(backend: Backend, view: View, root: Path) -> View:
    """Write a COMPLETED export, whose files are below `root`, as Parquet.

    Returns its view with `lake`: {"folder", "rows", "bytes", "files", "rescued"}. Raises CliError.
    """
    from crm_export.errors import ExportError
    from crm_export_cli.exits import from_export_error

    again = write_command([view["export_id"]], backend.options, root)
    try:
        return {**view, "lake": _land(root, str(view["manifest_key"]))}
    except KeyboardInterrupt:
        raise CliError(
            "Interrupted. The export is complete, and what is written as Parquet is kept.",
            Exit.INTERRUPTED,
            remedy=f"To continue: {again}",
        ) from None
    except ExportError as error:
        failed = from_export_error(error)
        message = f"The export is complete, but it could not be written as Parquet: {failed.message}"
        remedy = f"{failed.remedy or ''} Then: {again}".strip()
        raise CliError(message, failed.exit_code, code=failed.code, remedy=remedy) from error


def _land(root: Path, manifest_key: str) -> dict[str, Any]:
    from crm_export.errors import ResultError
    from crm_export.lake.place import Place
    from crm_export.lake.store import read_json
    from crm_export.lake.tables import land_export
    from crm_export_cli.folder.lake import FolderLake
    from crm_export_cli.folder.locks import Processes

    place = Place.of(manifest_key)
    (root / STATE).mkdir(mode=0o700, parents=True, exist_ok=True)
    with Processes(root / STATE / "processes") as processes:
        store = FolderLake(root, processes)
        if place is not None:
            land_export(store, place)
        landed = read_json(store, place.manifest_key) if place else None
    if place is None or landed is None:
        raise ResultError(f"{manifest_key} is not there, or it is not the manifest of an export.")
    return {
        "folder": str(root / place.folder),
        "rows": landed["rows"],
        "bytes": sum(file["bytes"] for file in landed["files"]),
        "files": len(landed["files"]),
        "rescued": landed["rescued"],
    }


@app.command(short_help="Print the DDL of a module's table.")
@with_target
def ddl(
    *,
    module: Annotated[
        str,
        typer.Argument(
            metavar="MODULE", help="such as contacts or Price_Books", autocompletion=complete_modules
        ),
    ],
    target: Target,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export lake ddl contacts --stack zoho-crm-export

    Print the DDL of a module's table for Athena, as the last export of the module in the lake has it; for a
    sync also the view of the current records, and MERGE INTO for an Iceberg table. The stack's parameter
    LakeOutput has to be on.
    """
    if target.is_stack:
        key, text = ddl_of_stack(target.stack_backend(), module)
    else:
        key, text = ddl_below(target.folder, target.account, module)
    if as_json:
        print_json({"key": key, "ddl": text})
    else:
        print(text, end="")
    return Exit.DONE


def ddl_below(root: Path, account: str | None, module: str) -> tuple[str, str]:
    """Return key and content of the newest ddl.sql of a module below a folder. Raises CliError."""
    landed = [
        path.with_name("ddl.sql")
        for path in root.glob(f"lake/account_id={account or '*'}/module=*/export_id=*/manifest.json")
        if _spelled(path.parts[-3].removeprefix("module=")) == _spelled(module)
    ]
    if not landed:
        remedy = f"Write one: crm-export lake write --latest --to {shlex.quote(str(root))}"
        raise _not_in_lake(str(root), module, remedy)
    accounts = sorted({path.parts[-4].removeprefix("account_id=") for path in landed})
    if len(accounts) > 1:
        raise CliError(
            f"{root} has {module} of several accounts: {', '.join(accounts)}.",
            Exit.USAGE,
            remedy="Give --account.",
        )
    newest = max(landed, key=lambda path: path.parent.name)
    return str(newest.relative_to(root)), newest.read_text(encoding="utf-8")


def ddl_of_stack(backend: "StackBackend", module: str) -> tuple[str, str]:
    """Return key and content of the newest ddl.sql of a module in a stack's bucket. Raises CliError."""
    from crm_export.lake.place import Place

    for view in backend.list(_LAST_EXPORTS):
        place = Place.of(view["manifest_key"] or "")
        if place is not None and _spelled(place.module) == _spelled(module):
            key = f"{place.folder}/ddl.sql"
            if (content := backend.stack.stored(key)) is not None:
                return key, content.decode()
    remedy = 'Set the parameter LakeOutput to "on"; exports that complete then are in the lake.'
    raise _not_in_lake(
        f"the lake, of the last {_LAST_EXPORTS} exports of {backend.stack.option}", module, remedy
    )


def _not_in_lake(where: str, module: str, remedy: str) -> CliError:
    return CliError(f"There is no Parquet of {module} in {where}.", code="NOT_IN_LAKE", remedy=remedy)


def _spelled(module: str) -> str:
    return module.lower().replace("_", "").replace("-", "")
