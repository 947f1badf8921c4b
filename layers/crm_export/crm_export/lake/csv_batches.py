"""Reads a CSV in batches of columns of strings: with Arrow's reader, or with Python's if Arrow refuses it.

Both take what RFC 4180 says and what csv.reader does for a file with newline="". Called by
`crm_export.lake.parquet`.
"""

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import BinaryIO

from arro3.core import Array, DataType, Field, Schema
from arro3.io import read_csv

_BUFFER_BYTES = 256 * 1024
_MAX_CELL_BYTES = 1 << 24  # the csv module's default is 131,072
_UTF8 = DataType.string()
_DELETION = ("Id", "Deleted_Time", "Type")

# By row: raw texts by what they are the cell of.
type Rescued = dict[int, dict[str, str]]


class CsvRefused(Exception):
    """Arrow's reader does not take the CSV."""


@dataclass
class Batch:
    """Rows of a CSV: a column of strings for each name of the header. An empty cell is null.

    rescued: what no cell can hold: cells beyond the header, and bytes that are not UTF-8. moments: when the
    records were deleted, if the rows are deletions.
    """

    columns: list[Array]
    rescued: Rescued = field(default_factory=dict)
    moments: Array | None = None


# Reads a CSV with a header, in batches of at most so many rows.
type Reader = Callable[[BinaryIO, tuple[str, ...], int], Iterator[Batch]]


def arrow_batches(csv_file: BinaryIO, header: tuple[str, ...], rows: int) -> Iterator[Batch]:
    """Yield the rows of a CSV. Raises CsvRefused for a ragged row and for what is not UTF-8."""
    schema = Schema([Field(str(index), _UTF8, nullable=True) for index in range(len(header))])
    try:
        for batch in read_csv(csv_file, schema, has_header=True, batch_size=rows):
            yield Batch(batch.columns)
    except Exception as error:
        raise CsvRefused(str(error)) from error


def python_batches(csv_file: BinaryIO, header: tuple[str, ...], rows: int) -> Iterator[Batch]:
    """Yield the rows of any CSV. It takes four times as long as Arrow."""
    csv.field_size_limit(_MAX_CELL_BYTES)
    buffered = io.BufferedReader(csv_file, _BUFFER_BYTES)  # type: ignore[type-var]
    with io.TextIOWrapper(buffered, "utf-8-sig", "surrogateescape", newline="") as text:
        records = filter(None, csv.reader(text))  # a blank line is no record
        next(records, None)
        yield from _batches(records, header, rows)


def batches_of(records: Iterator[list[str]]) -> Reader:
    """Return a reader that yields these records; it reads no CSV."""

    def batches(_: BinaryIO, header: tuple[str, ...], rows: int) -> Iterator[Batch]:
        return _batches(records, header, rows)

    return batches


def deletion_batches(read: Reader) -> Reader:
    """Return a reader of a CSV of deletions (Id, Deleted_Time, Type) that yields the columns of any header.

    All but the column Id are null.
    """

    def batches(csv_file: BinaryIO, header: tuple[str, ...], rows: int) -> Iterator[Batch]:
        for batch in read(csv_file, _DELETION, rows):
            ids, moments, _ = batch.columns
            nothing = Array([None] * len(ids), _UTF8)
            columns = [ids if name.lower() == "id" else nothing for name in header]
            yield Batch(columns, batch.rescued, moments)

    return batches


def _batches(records: Iterator[list[str]], header: tuple[str, ...], rows: int) -> Iterator[Batch]:
    while batch := list(islice(records, rows)):
        yield _batch(batch, header)


def _batch(records: list[list[str]], header: tuple[str, ...]) -> Batch:
    width = len(header)
    rescued: Rescued = {}
    for index, record in enumerate(records):
        for number, text in enumerate(record[width:], width + 1):
            rescued.setdefault(index, {})[f"column {number}"] = _printable(text)
        del record[width:]
    cells = list(zip_longest(*records, [None] * width))  # the last list has the header's width
    columns = [_strings(list(column[:-1]), name, rescued) for column, name in zip(cells, header, strict=True)]
    return Batch(columns, rescued)


def _strings(texts: list[str | None], name: str, rescued: Rescued) -> Array:
    present = [text or None for text in texts]
    try:
        return Array(present, _UTF8)
    except UnicodeEncodeError:  # surrogates stand for bytes that are not UTF-8
        for index, text in enumerate(present):
            if text is not None and (shown := _printable(text)) != text:
                rescued.setdefault(index, {})[name] = shown
                present[index] = None
        return Array(present, _UTF8)


def _printable(text: str) -> str:
    r"""Return the text with bytes that are not UTF-8 as \xNN."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
