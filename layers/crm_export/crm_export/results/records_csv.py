"""Records of Zoho's records API as CSV, with the conventions of Zoho's Bulk Read, and the ids of a CSV.

https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/download-result.html
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Any, BinaryIO

from isal import igzip
from isal.igzip_lib import IsalError

from crm_export import strict_json
from crm_export.errors import RecordWithoutId, ResultError

_SHOWN_ID = 100  # characters of an invalid id in a message


def columns(fields: list[str]) -> list[str]:
    """Return the header: Id, as Bulk Read names it, then the fields in their order."""
    return ["Id", *(field for field in fields if field.lower() != "id")]


def csv_chunks(pages: Iterable[list[dict[str, Any]]], fields: list[str]) -> Iterator[bytes]:
    """Yield the CSV (RFC 4180, UTF-8) of pages of records: the header, then one chunk per page.

    A field that a record lacks is an empty cell. Raises RecordWithoutId, ResultError, and whatever `pages`
    raises.
    """
    names = columns(fields)
    yield _lines([names])
    for page in pages:
        yield _lines(
            [_record_id(record), *(_cell(name, record.get(name)) for name in names[1:])] for record in page
        )


def _lines(rows: Iterable[list[str]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    try:
        return out.getvalue().encode()
    except UnicodeEncodeError:
        # JSON can contain lone surrogates, UTF-8 cannot: join pairs and replace a lone one with U+FFFD.
        return out.getvalue().encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _record_id(record: dict[str, Any]) -> str:
    value = record.get("id")
    if not _is_id(value):
        shown = json.dumps(value, default=str)[:_SHOWN_ID]
        raise RecordWithoutId(f"A record from Zoho has the id {shown}; it must be a string or an integer.")
    return str(value)


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def _cell(name: str, value: Any) -> str:
    """Return the cell that Bulk Read writes for a value; compact JSON if it has no such cell (subforms)."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and _is_id(value.get("id")):
        return str(value["id"])  # lookup, owner, user, layout
    if isinstance(value, list):
        items: list[Any] = [
            item.get("name") if name == "Tag" and isinstance(item, dict) else item for item in value
        ]
        if all(isinstance(item, str) for item in items):
            return ",".join(items)
    try:
        return strict_json.dumps(value)
    except ValueError:
        raise ResultError(f"Field {name} of a record from Zoho is nested too deeply to be written.") from None


_BUFFER_BYTES = 256 * 1024
_MAX_CELL_BYTES = 1 << 24  # the csv module's default, 131,072, is less than a subform may take
_UNREADABLE = (ValueError, IndexError, csv.Error, EOFError, igzip.BadGzipFile, IsalError)


def read_ids(body: BinaryIO, name: str) -> Iterator[str]:
    """Yield the Id column of a CSV, and else do as `read_columns`."""
    return (row[0] for row in read_columns(body, name, ("Id",)))


def read_columns(body: BinaryIO, name: str, columns: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield columns of a CSV; if `name` ends in .gz, of a gzip file. The first one must be there.

    A name may be in another letter case than in the file, unless the file has two columns that differ only
    in that. A further column that the file lacks is empty. Raises ResultError,
    which contains `name`, if the file is not such a CSV or is truncated or corrupted.
    """
    csv.field_size_limit(_MAX_CELL_BYTES)
    buffered = io.BufferedReader(body, _BUFFER_BYTES)  # type: ignore[type-var]
    raw: Any = buffered
    if name.endswith(".gz"):
        raw = igzip.IGzipFile(fileobj=buffered, mode="rb")  # type: ignore[no-untyped-call]
    with buffered, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
        yield from _cells(csv.reader(text, strict=True), name, columns)


def _picker(places: list[int | None]) -> Callable[[list[str]], tuple[str, ...]]:
    """Return a function that returns the cells of a row at some places; None: an empty one."""
    if None in places or len(places) == 1:
        return lambda row: tuple("" if place is None else row[place] for place in places)
    return itemgetter(*places)


def _cells(rows: Iterator[list[str]], name: str, columns: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    try:
        header = next(rows, [])
        places = {cell.lower(): place for place, cell in enumerate(header)}
        places |= {cell: place for place, cell in enumerate(header)}
        found = [places.get(column, places.get(column.lower())) for column in columns]
        if found[0] is None:
            raise ValueError(f"it has no column {columns[0]}")
        yield from map(_picker(found), filter(None, rows))
    except _UNREADABLE as error:  # type: ignore[misc]  # isal's stub declares IsalError as an instance
        raise ResultError(f"The ids of {name} cannot be read: {error}.") from error
