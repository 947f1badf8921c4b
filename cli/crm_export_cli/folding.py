"""`fold MODULE`: writes the current rows of a sync as one file, as CSV or as typed Parquet."""
# ruff: noqa: PLC0415 - `--help` and shell completion need no HTTP client

import csv
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crm_export.errors import ChainBroken, ResultError
from crm_export_cli.exits import CliError, Exit
from crm_export_cli.folder import ACCOUNT
from crm_export_cli.looking import ModuleArgument
from crm_export_cli.options import JsonOption
from crm_export_cli.output import fitted, print_json
from crm_export_cli.targets import ToOption

if TYPE_CHECKING:
    from crm_export.sync.chain import Chain
    from crm_export.sync.fold import Folded
    from crm_export_cli.folder.wiring import Folder


class Format(StrEnum):
    """How `fold` writes rows."""

    CSV = "csv"
    PARQUET = "parquet"


def fold(
    *,
    module: ModuleArgument,
    to: ToOption,
    file_format: Annotated[
        Format, typer.Option("--format", help="parquet: typed, as the files of the lake")
    ] = Format.CSV,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE", help="default: DIR/current/<Module>.<format>", show_default=False
        ),
    ] = None,
    account: Annotated[
        str,
        typer.Option("--account", metavar="A", help="for a copy of a stack's bucket; a folder needs none"),
    ] = ACCOUNT,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export fold contacts --to ./out

    Write the current rows of a sync as one file: those of the last full run, with the changes and without the
    deletions of the runs since then. Links between the runs and the number of rows of each file are checked
    against the manifests. The file appears when it is whole, in place of an earlier one.
    """
    from crm_export.sync.fold import fold as fold_chain
    from crm_export.sync.fold import read_chain
    from crm_export_cli.folder.wiring import Folder

    name = _synced(to, account, module)
    path = output or to / "current" / f"{name}.{file_format}"
    with Folder.open(to) as folder:
        results = folder.results()
        results.sweep()
        chain = read_chain(results, account, name)
        folded = fold_chain(results, chain)
        rows = _write_file(folder, path, folded, chain, file_format)
    if as_json:
        found = {"module": name, "rows": rows, "runs": folded.runs, "watermark": folded.watermark}
        print_json({**found, "file": str(path)})
    else:
        runs = "1 run" if folded.runs == 1 else f"{folded.runs:,} runs"
        print(fitted(f"{name}: {rows:,} rows of {runs}, current up to {folded.watermark}: {path}", 2))
    return Exit.DONE


def _synced(root: Path, account: str, module: str) -> str:
    """Return the API name of a module that has a sync in a folder. Raises CliError."""
    below = root / "syncs" / f"account_id={account}"
    names = [path.parent.name.removeprefix("module=") for path in below.glob("module=*/latest.json")]
    for name in names:
        if _spelled(name) == _spelled(module):
            return name
    known = f"It has those of {', '.join(sorted(names))}." if names else "It has no syncs that have run."
    raise CliError(
        f"{root} has no complete run of a sync of {module}. {known}",
        code=ChainBroken.code,
        remedy="Run it first: crm-export sync run.",
    )


def _spelled(module: str) -> str:
    return module.lower().replace("_", "").replace("-", "")


def _write_file(folder: "Folder", path: Path, folded: "Folded", chain: "Chain", file_format: Format) -> int:
    """Write the rows, and return their number. Raises CliError."""
    with _replacing(path, folder.processes.own) as hidden:
        if file_format is Format.CSV:
            return _write_csv(hidden, folded)
        as_csv = hidden.with_name(f".csv{hidden.name}")
        try:
            rows = _write_csv(as_csv, folded)
            _write_parquet(as_csv, hidden, folded, _fields(chain), rows)
        finally:
            as_csv.unlink(missing_ok=True)
        return rows


def _write_csv(path: Path, folded: "Folded") -> int:
    """Write the rows as Bulk Read writes them (RFC 4180), and return their number."""
    count = 0
    with path.open("x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(folded.header)
        for count, row in enumerate(folded.rows, 1):  # noqa: B007
            writer.writerow(row)
        file.flush()
        os.fsync(file.fileno())
    return count


def _fields(chain: "Chain") -> list[dict[str, Any]] | None:
    """Return the types of the fields as the last run that knows them has them."""
    manifests = [chain.full, *chain.changes]
    return next((found for manifest in manifests[::-1] if (found := manifest.get("fields"))), None)


def _write_parquet(
    source: Path, path: Path, folded: "Folded", fields: list[dict[str, Any]] | None, rows: int
) -> None:
    """Write a CSV as Parquet with Arrow's reader; with Python's if that refuses it or counts other rows."""
    from crm_export.lake.csv_batches import CsvRefused, arrow_batches, python_batches
    from crm_export.lake.parquet import Layout, convert
    from crm_export.lake.schema import columns_of

    columns = columns_of(folded.header, fields)
    layout = Layout.of(len(columns), source.stat().st_size / max(rows, 1))
    for reader in (arrow_batches, python_batches):
        with source.open("rb", buffering=0) as csv_file, path.open("wb") as file:
            try:
                written = convert(csv_file, file, columns, layout, reader)
            except CsvRefused:
                continue
            file.flush()
            os.fsync(file.fileno())
        if written.rows == rows:
            return
    raise ResultError(f"The {rows:,} rows cannot be written as Parquet.")


@contextmanager
def _replacing(path: Path, process: str) -> Iterator[Path]:
    """Yield the path of a file that gets its name when it is whole. Raises CliError if that cannot be."""
    hidden = path.with_name(f".{path.name}.{process}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield hidden
        hidden.replace(path)
    except OSError as error:
        raise CliError(
            f"{path} cannot be written: {error.strerror}.",
            code="FOLDER_UNUSABLE",
            remedy="Choose another file with --output.",
        ) from error
    finally:
        hidden.unlink(missing_ok=True)
