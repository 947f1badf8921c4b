"""`page`, `modules`, `fields` and `logs`: look at what Zoho has, and at what exports did."""
# ruff: noqa: PLC0415 - `--help` and shell completion need no HTTP client

import csv
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crm_export import strict_json
from crm_export.errors import ExportError
from crm_export.redaction import printable
from crm_export_cli.backend import Backend
from crm_export_cli.completion import complete_exports, complete_modules
from crm_export_cli.exits import CliError, Exit, from_export_error
from crm_export_cli.folder import STATE
from crm_export_cli.options import JsonOption, TrustOption
from crm_export_cli.output import print_json, tell
from crm_export_cli.targets import Target, with_source

if TYPE_CHECKING:
    from crm_export.zoho.metadata import Field
    from crm_export.zoho.records import PageRequest

_MOST = 200  # records of a page
_BULK_READ, _RECORDS = "Bulk Read", "records API"
# What Zoho was seen to refuse, although the metadata lists it.
_REFUSED_TYPES = {"address", "fileupload", "multiselectlookup", "subform"}
_REFUSED_FIELDS = {"CTI_Entry", "Coordinates", "Participants", "nearby_distance__s"}
_NOT_IN_BULK_READ = "Bulk Read does not export it"


class Output(StrEnum):
    """How `page` prints records."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


ModuleArgument = Annotated[
    str,
    typer.Argument(metavar="MODULE", help="such as contacts or Price_Books", autocompletion=complete_modules),
]


def opened(target: Target, trust_origin: list[str] | None) -> AbstractContextManager[Backend]:
    """Open the backend. Raises CliError if it has no connection."""
    from crm_export_cli.folder.wiring import FolderSettings

    return target.connected(FolderSettings(tuple(trust_origin or ())))


# --- page ------------------------------------------------------------------------------------


@with_source
def page(
    *,
    module: ModuleArgument,
    target: Target,
    output: Annotated[
        Output | None, typer.Option("--output", help="default: table; --json means json", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=_MOST, help="records of a page")] = 10,
    number: Annotated[int, typer.Option("--page", min=1, help="the number of the page")] = 1,
    fields: Annotated[
        str | None, typer.Option("--fields", metavar="A,B", help="API names; default: the first 50")
    ] = None,
    all_pages: Annotated[
        bool, typer.Option("--all-pages", help="all records from this page on; Zoho lists at most 100,000")
    ] = False,
    trust_origin: TrustOption = None,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export page contacts --fields Last_Name,Email --to ./out

    Print the records of a page. `export` is faster and cheaper for a whole module.
    """
    from crm_export.zoho.records import PageRequest

    if as_json and output not in {None, Output.JSON}:
        raise CliError(f"--json and --output {output} are both given; give one of them.", Exit.USAGE)
    names = [name.strip() for name in fields.split(",") if name.strip()] if fields else []
    request = PageRequest(page=number, per_page=_MOST if all_pages else limit, fields=names)
    with opened(target, trust_origin) as backend:
        pages = _pages(backend, module, request, all_pages=all_pages)
        if as_json or output is Output.JSON:
            return _write_json(pages)
        write = _write_csv if output is Output.CSV else _write_table
        write(pages)
    return Exit.DONE


type _Pages = Iterator[tuple[list[dict[str, Any]], dict[str, Any]]]


def _pages(backend: Backend, module: str, request: "PageRequest", *, all_pages: bool) -> _Pages:
    """Yield the records and Zoho's facts about paging, page by page; one page is in memory at a time."""
    from dataclasses import replace

    from crm_export.zoho.refusals import usable_page_token

    while True:
        response = backend.page(module, request)
        data, info = response.data, response.info
        yield strict_json.loads_exact(data.text) if isinstance(data, strict_json.RawJson) else data, info
        if not all_pages or info.get("more_records") is not True:
            return
        token = usable_page_token(info.get("next_page_token"))
        if token is not None and token == request.page_token:
            raise CliError("Zoho repeats a page token, so the list cannot be continued.")
        request = replace(request, page=request.page + 1, page_token=token)


def _write_json(pages: _Pages) -> int:
    """Write one document. It is complete even if a page fails: then it has the key `error`, too."""
    first = next(pages)  # an error here becomes a document of its own
    sys.stdout.write('{"data": [')
    separator, info, failed = "", first[1], None
    try:
        for records, facts in _chained(first, pages):
            info = facts
            for record in records:
                sys.stdout.write(f"{separator}\n  {strict_json.dumps(record)}")
                separator = ","
    except ExportError as error:
        failed = from_export_error(error)
    except CliError as error:
        failed = error
    end = f', "error": {json.dumps(failed.to_dict(), ensure_ascii=False)}' if failed else ""
    sys.stdout.write(f'\n], "info": {strict_json.dumps(info)}{end}}}\n')
    return failed.exit_code if failed else Exit.DONE


def _chained(first: tuple[list[dict[str, Any]], dict[str, Any]], rest: _Pages) -> _Pages:
    yield first
    yield from rest


def _write_csv(pages: _Pages) -> None:
    """Write the columns of the first record; what is not plain is written as JSON."""
    writer, names = csv.writer(sys.stdout, lineterminator="\n"), list[str]()
    for records, _ in pages:
        if records and not names:
            names = list(records[0])
            writer.writerow(names)
        writer.writerows([_cell(record.get(name)) for name in names] for record in records)


def _write_table(pages: _Pages) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, count, more = Console(), 0, False
    for records, info in pages:
        names = [name for name in (records[0] if records else {}) if not name.startswith("$")]
        table = Table(box=None, pad_edge=False)
        shown = names[: max(console.width // 14, 2)]
        for name in shown:
            table.add_column(name, overflow="ellipsis", no_wrap=True)
        for record in records:
            table.add_row(*(Text(printable(_named(record.get(name)))) for name in shown))
        if records:
            console.print(table)
        count, more = count + len(records), info.get("more_records") is True
        if len(names) > len(shown):
            tell(f"{len(shown)} of {len(names)} fields are shown; choose with --fields, or --output csv.")
    tell(f"{count:,} record{'' if count == 1 else 's'}{'; there are more' if more else ''}")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else strict_json.dumps(value)


def _named(value: Any) -> str:
    """Return a value for people: of a lookup its name."""
    name = value.get("name") if isinstance(value, dict) else None
    return name if isinstance(name, str) else _cell(value)


# --- modules, fields -------------------------------------------------------------------------


@with_source
def modules(
    *,
    target: Target,
    trust_origin: TrustOption = None,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export modules --to ./out

    List the modules of the organisation, and how `export` reads them.
    """
    from crm_export.zoho.catalog import has_bulk_read

    with opened(target, trust_origin) as backend:
        found = [
            {"api_name": name, "read_with": _BULK_READ if has_bulk_read(name) else _RECORDS}
            for name in backend.modules()
        ]
    if as_json:
        print_json({"modules": found})
        return Exit.DONE
    for module in found:
        print(f"{module['api_name']:<32}{module['read_with']}")
    tell("Zoho may refuse further modules in Bulk Read; it says so when an export is started.")
    return Exit.DONE


@with_source
def fields(
    *,
    module: ModuleArgument,
    target: Target,
    trust_origin: TrustOption = None,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export fields contacts --to ./out

    List the fields of a module with their types, and the fields that Bulk Read does not export.
    """
    with opened(target, trust_origin) as backend:
        found = [
            {
                "api_name": field.api_name,
                "data_type": field.data_type,
                "bulk_read": _is_in_bulk_read(field),
            }
            for field in backend.fields(module)
        ]
    if as_json:
        print_json({"fields": found})
        return Exit.DONE
    for field in found:
        note = "" if field["bulk_read"] else _NOT_IN_BULK_READ
        print(f"{field['api_name']:<32}{field['data_type']:<20}{note}".rstrip())
    return Exit.DONE


def _is_in_bulk_read(field: "Field") -> bool:
    return field.data_type not in _REFUSED_TYPES and field.api_name not in _REFUSED_FIELDS


# --- logs ------------------------------------------------------------------------------------


@with_source
def logs(
    *,
    target: Target,
    export_id: Annotated[
        str | None,
        typer.Option(
            "--export", metavar="ID", help="only lines of this export", autocompletion=complete_exports()
        ),
    ] = None,
    minutes: Annotated[
        int, typer.Option("--minutes", metavar="N", help="of a stack: lines of the last N minutes", min=1)
    ] = 60,
    follow: Annotated[bool, typer.Option("--follow", help="of a folder: go on until Ctrl-C")] = False,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export logs --export 0f3c... --to ./out

    Print the log of a folder, DIR/.crm-export/log.jsonl, or of a stack's functions, one line for each event.
    """
    if follow and (as_json or target.is_stack):
        raise CliError(
            "--follow goes on until Ctrl-C: it is for a folder, and without --json.",
            Exit.USAGE,
            remedy="Of a stack: aws logs tail --follow.",
        )
    lines = _stack_lines(target, minutes, export_id) if target.is_stack else _folder_lines(target, follow)
    lines = (line for line in lines if export_id in {None, line.get("export_id")})
    if as_json:
        print_json({"lines": list(lines)})
        return Exit.DONE
    for line in lines:
        print(_readable(line), flush=follow)
    return Exit.DONE


def _stack_lines(target: Target, minutes: int, export_id: str | None) -> Iterator[dict[str, Any]]:
    from crm_export_cli.stack.logs import stack_lines

    return iter(stack_lines(target.stack_of_functions(), time.time() - 60 * minutes, export_id))


def _folder_lines(target: Target, follow: bool) -> Iterator[dict[str, Any]]:
    path = target.folder / STATE / "log.jsonl"
    if not path.exists():
        raise CliError(f"The folder {target.folder} has no log: no export was started there.", Exit.USAGE)
    return _lines(path, follow=follow)


def _lines(path: Path, *, follow: bool) -> Iterator[dict[str, Any]]:
    """Yield the objects of a log. A line that is being written is read when it is complete."""
    rest = ""
    with path.open(encoding="utf-8", errors="replace") as file:
        while True:
            rest += file.readline()
            if rest.endswith("\n"):
                found, rest = _parsed(rest), ""
                if found is not None:
                    yield found
            elif not follow:
                return
            else:
                time.sleep(0.2)
                if not path.exists() or path.stat().st_ino != os.fstat(file.fileno()).st_ino:
                    return  # the log has begun again with an empty file


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:  # a line that a full disk cut off
        return None
    return found if isinstance(found, dict) else None


_NOT_SHOWN = {"timestamp", "level", "message", "location", "service", "stack_trace", "exception"}


def _readable(line: dict[str, Any]) -> str:
    values = " ".join(f"{name}={value}" for name, value in line.items() if name not in _NOT_SHOWN)
    text = f"{str(line.get('timestamp', ''))[:19]} {line.get('level', ''):<7} {line.get('message', '')}"
    return printable(f"{text} {values}".rstrip())
