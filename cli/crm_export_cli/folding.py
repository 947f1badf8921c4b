"""`fold MODULE`: writes the current rows of a sync as one file."""
# ruff: noqa: PLC0415 - `--help` and shell completion need no HTTP client

import csv
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from crm_export.errors import ChainBroken
from crm_export_cli.exits import CliError, Exit
from crm_export_cli.folder import ACCOUNT
from crm_export_cli.looking import ModuleArgument
from crm_export_cli.options import JsonOption
from crm_export_cli.output import fitted, print_json
from crm_export_cli.targets import ToOption

if TYPE_CHECKING:
    from crm_export.sync.fold import Folded


def fold(
    *,
    module: ModuleArgument,
    to: ToOption,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE", help="default: DIR/current/<Module>.csv", show_default=False
        ),
    ] = None,
    account: Annotated[
        str,
        typer.Option("--account", metavar="A", help="for a copy of a stack's bucket; a folder needs none"),
    ] = ACCOUNT,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export fold contacts --to ./out

    Write the current rows of a sync as one CSV: those of the last full run, with the changes and without the
    deletions of the runs since then. Links between the runs and the number of rows of each file are checked
    against the manifests. The file appears when it is whole, in place of an earlier one.
    """
    from crm_export.sync.fold import fold as fold_chain
    from crm_export.sync.fold import read_chain
    from crm_export_cli.folder.wiring import Folder

    name = _synced(to, account, module)
    path = output or to / "current" / f"{name}.csv"
    with Folder.open(to) as folder:
        results = folder.results()
        folded = fold_chain(results, read_chain(results, account, name))
        results.sweep()
        rows = _write(path, folded, folder.processes.own)
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


def _write(path: Path, folded: "Folded", process: str) -> int:
    """Write the rows as Bulk Read writes them (RFC 4180), and return their number. Raises CliError."""
    count = 0
    with _replacing(path, process) as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(folded.header)
        for count, row in enumerate(folded.rows, 1):  # noqa: B007
            writer.writerow(row)
    return count


@contextmanager
def _replacing(path: Path, process: str) -> Iterator[IO[str]]:
    """Open a file that gets its name when it is whole. Raises CliError if it cannot be written."""
    hidden = path.with_name(f".{path.name}.{process}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with hidden.open("x", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        hidden.replace(path)
    except OSError as error:
        raise CliError(
            f"{path} cannot be written: {error.strerror}.",
            code="FOLDER_UNUSABLE",
            remedy="Choose another file with --output.",
        ) from error
    finally:
        hidden.unlink(missing_ok=True)
