"""Writes a CSV as Parquet, batch by batch. The values that do not fit their column's type go into `_rescued`.

Arrow's kernels convert whole columns. Python looks at single cells only where a batch of a column has a value
that is unusual for its type. Called by `crm_export.lake.land`, and by `crm-export fold` for a sync's rows.
"""

import io
import json
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self, cast

from arro3.core import Array, DataType, Field, RecordBatch, RecordBatchReader, Schema
from arro3.io import read_json
from arro3.io import write_parquet as write_batches
from isal import isal_zlib

from crm_export import PRODUCT
from crm_export.errors import ResultError
from crm_export.lake.cells import Cells, cells_of
from crm_export.lake.csv_batches import Batch, Reader, Rescued, batches_of
from crm_export.lake.schema import (
    BOOL,
    CHANGE_COLUMNS,
    DATE,
    DELETED,
    DOUBLE,
    INT64,
    MAP,
    PRECISION,
    RESCUED,
    RESCUED_COLUMN,
    STRING,
    TIMESTAMP,
    Column,
    columns_of,
    scale_of,
    with_ours,
)
from crm_export.results.record_ids import MAX_IDS, PartIds

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Of a batch, which is in memory several times; a row group is in memory, encoded, until it is complete.
_BUFFER_BYTES = 65_536
_BATCH_BYTES, _BATCH_CELLS, _BATCH_ROWS = 3_000_000, 250_000, 8192
_BATCHES_OF_A_GROUP = 6
_PAGES_BYTES = 32 * 1024 * 1024  # of the pages of all columns that are being filled
_CELL_BYTES = 40  # of a row whose size is not known; more than that is usual for few fields only
_LEAST_PAGE, _MOST_PAGE = 64 * 1024, 1024 * 1024
_ID = re.compile("[1-9][0-9]{0,18}")
_UTF8 = DataType.string()
_TYPES = {
    STRING: _UTF8,
    INT64: DataType.int64(),
    DOUBLE: DataType.float64(),
    BOOL: DataType.bool(),
    DATE: DataType.date32(),
    TIMESTAMP: DataType.timestamp("us", tz="UTC"),
    MAP: DataType.map(Field("key", _UTF8, nullable=False), Field("value", _UTF8, nullable=True), False),
}


class Sink(Protocol):
    """Where the bytes of a file go, in order."""

    def write(self, chunk: bytes) -> object:
        """Take the next bytes."""


@dataclass
class Written:
    """What a Parquet file contains. rescued: values in `_rescued`, by column. ids: None without an Id.

    crc32: of the CSV that was read, as 8 hex digits.
    """

    rows: int = 0
    rescued: Counter[str] = field(default_factory=Counter)
    ids: PartIds | None = None
    crc32: str | None = None


@dataclass(frozen=True)
class Layout:
    """How many rows a batch and a row group have, and how many bytes a page."""

    batch_rows: int
    group_rows: int
    page_bytes: int

    @classmethod
    def of(cls, columns: int, record_bytes: float) -> Self:
        """Return what keeps memory the same for any number of columns and any average size of a record."""
        rows = int(min(_BATCH_BYTES / max(record_bytes, 1), _BATCH_CELLS / max(columns, 1), _BATCH_ROWS))
        page = _PAGES_BYTES // max(columns, 1)
        return cls(max(rows, 1), max(rows, 1) * _BATCHES_OF_A_GROUP, min(max(page, _LEAST_PAGE), _MOST_PAGE))


def convert(
    csv_file: BinaryIO,
    sink: Sink,
    columns: Sequence[Column],
    layout: Layout,
    read: Reader,
    *,
    op: str | None = None,
    run: str = "",
) -> Written:
    """Write a CSV as Parquet with zstd, in the CSV's order; return what was written.

    columns: one for each column of the CSV. `_rescued` is added as the last one. op: of a run of changes, "U"
    or "D"; it adds the columns `_op`, `_modified_time` and `_run`. run: its id. Raises CsvRefused, and what
    the file and the sink raise.
    """
    guard = _Guard()
    source = _GuardedSource(csv_file, guard)
    conversion = _Conversion(columns, op, run)
    header = tuple(column.api_name for column in columns)
    batches = map(conversion.convert, read(cast(BinaryIO, source), header, layout.batch_rows))
    try:
        write_batches(
            RecordBatchReader.from_batches(conversion.schema, guard.iterate(batches)),
            _GuardedSink(sink, guard),  # type: ignore[arg-type]
            compression="zstd(1)",
            created_by=PRODUCT,
            max_row_group_size=layout.group_rows,
            data_page_size_limit=layout.page_bytes,
            dictionary_page_size_limit=layout.page_bytes,
        )
    except Exception:
        guard.raise_first()  # Arrow passes on only its text
        raise
    guard.raise_first()
    return replace(conversion.finish(), crc32=source.crc32_of_all())


def write_parquet(
    rows: Iterable[Sequence[str]],
    header: Sequence[str],
    fields: Iterable[Mapping[str, Any]] | None,
    sink: Sink,
) -> Written:
    """Write rows of texts, such as those of `crm_export.sync.fold`, as Parquet; return what was written.

    rows: cells in the header's order; an empty one is null. fields: as an export's manifest has them. Memory
    does not depend on the number of rows. Raises what the rows and the sink raise.
    """
    columns = columns_of(header, fields)
    layout = Layout.of(len(columns), _CELL_BYTES * len(columns))
    return convert(io.BytesIO(), sink, columns, layout, batches_of(map(list, rows)))


def arrow_schema(columns: Iterable[Column]) -> Schema:
    """Return the schema. The API name of a column is in the metadata of its field."""
    return Schema(
        [
            Field(
                column.name, _arrow_type(column.type), nullable=True, metadata={"api_name": column.api_name}
            )
            for column in columns
        ]
    )


def _arrow_type(kind: str) -> DataType:
    scale = scale_of(kind)
    return _TYPES[kind] if scale is None else DataType.decimal128(PRECISION, scale)


class _Conversion:
    """Converts the batches of one file, and counts."""

    def __init__(self, columns: Sequence[Column], op: str | None, run: str) -> None:
        self._columns, self._op, self._run = columns, op, run
        self._names = {column.api_name: column.name for column in columns}
        names = [column.api_name for column in columns]
        self._modified = names.index("Modified_Time") if "Modified_Time" in names else None
        is_id = (index for index, name in enumerate(names) if name.lower() == "id" and op != DELETED)
        self._id = next(is_id, None)  # a record can be deleted twice
        self._ids: array[int] | None = array("Q")
        self._written = Written()
        self.schema = arrow_schema(with_ours(columns, is_change=op is not None))

    def convert(self, batch: Batch) -> RecordBatch:
        """Return the batch with the columns' types and `_rescued`."""
        rescued = batch.rescued
        rows = len(batch.columns[0]) if batch.columns else 0
        typed = [
            _typed(texts, column, rescued) for texts, column in zip(batch.columns, self._columns, strict=True)
        ]
        self._written.rows += rows
        self._written.rescued.update(self._names.get(name, name) for row in rescued.values() for name in row)
        self._note_ids(batch)
        change = [] if self._op is None else self._change(self._op, batch, rows)
        return RecordBatch([*typed, *change, _maps(rescued, rows)], schema=self.schema)

    def _change(self, op: str, batch: Batch, rows: int) -> list[Array]:
        run = Array([self._run] * rows, _UTF8)
        return [Array([op] * rows, _UTF8), self._moments(batch, rows), run]

    def _moments(self, batch: Batch, rows: int) -> Array:
        """Return when each record was modified or deleted; null if that is not known."""
        texts = batch.moments
        if texts is None and self._modified is not None:
            texts = batch.columns[self._modified]
        if texts is None:
            texts = Array([None] * rows, _UTF8)
        return _typed(texts, CHANGE_COLUMNS[1], {})

    def _note_ids(self, batch: Batch) -> None:
        if self._id is None or self._ids is None:
            return
        texts = batch.columns[self._id].to_pylist()
        if len(self._ids) + len(texts) > MAX_IDS or not all(text and _ID.fullmatch(text) for text in texts):
            self._ids = None  # they cannot be compared: RecordIds has the same limits
            return
        self._ids.extend(map(int, texts))

    def finish(self) -> Written:
        """Return what was written. Raises RecordRepeated."""
        if self._id is not None:
            ids = self._ids
            self._written.ids = PartIds(self._written.rows) if ids is None else PartIds.of(ids)
        return self._written


def _typed(texts: Array, column: Column, rescued: Rescued) -> Array:
    """Return a column of strings in its type; texts that do not fit are null there and in `rescued`."""
    cells = cells_of(column.type)
    if cells is None:
        return texts
    kind = _arrow_type(column.type)
    present: list[str] = list(filter(None, texts.to_pylist()))
    if _are_plain(present, cells):
        typed = texts.cast(kind)
        if typed.null_count == texts.null_count:
            return typed
    each = cast(list[str | None], texts.to_pylist())  # its stub says that it is an array of NumPy
    readable = Array(_read_each(each, column, cells, rescued), _UTF8)
    typed = readable.cast(kind)
    if typed.null_count != readable.null_count:
        raise ResultError(f"Arrow does not read a value of column {column.name} that fits {column.type}.")
    return typed


def _are_plain(present: list[str], cells: Cells) -> bool:
    if not present:
        return True
    joined = "\n".join(present) + "\n"
    # A cell with a newline would look like two.
    return joined.count("\n") == len(present) and cells.plain.fullmatch(joined) is not None


def _read_each(texts: list[str | None], column: Column, cells: Cells, rescued: Rescued) -> list[str | None]:
    read = []
    for row, text in enumerate(texts):
        readable = None if text is None else cells.read(text)
        if text is not None and readable is None:
            rescued.setdefault(row, {})[column.api_name] = text
        read.append(readable)
    return read


def _maps(rescued: Rescued, rows: int) -> Array:
    """Return the column `_rescued`: a map for each row that has one, else null."""
    lines = [json.dumps({RESCUED: rescued[row]}) if row in rescued else "{}" for row in range(rows)]
    text = "\n".join(lines) if rescued else "{}\n" * rows
    batches = read_json(io.BytesIO(text.encode()), arrow_schema([RESCUED_COLUMN]), batch_size=max(rows, 1))
    (maps,) = [batch.columns[0] for batch in batches]
    return maps


class _Guard:
    """Keeps the first error of our callbacks."""

    error: Exception | None = None

    def raise_first(self) -> None:
        """Raise the error that was kept, if there is one."""
        if self.error is not None:
            raise self.error from None

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Keep the error of this context."""
        try:
            yield
        except Exception as error:
            self.error = self.error or error
            raise

    def iterate[T](self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items, and keep the error of yielding them. Ends with an error of another callback."""
        with self.keeping():
            for item in items:
                self.raise_first()
                yield item


class _GuardedSource(io.RawIOBase):
    """A stream that can be read, which Arrow's and Python's readers take."""

    def __init__(self, csv_file: BinaryIO, guard: _Guard) -> None:
        super().__init__()
        self._csv_file, self._guard = csv_file, guard
        self._crc32 = 0  # of what was read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer)
        with self._guard.keeping():
            chunk = self._csv_file.read(len(view))
        view[: len(chunk)] = chunk
        self._crc32 = isal_zlib.crc32(chunk, self._crc32)
        return len(chunk)

    def crc32_of_all(self) -> str:
        """Return the CRC32 of the whole stream; a reader may leave its end unread."""
        while chunk := self._csv_file.read(_BUFFER_BYTES):
            self._crc32 = isal_zlib.crc32(chunk, self._crc32)
        return f"{self._crc32:08x}"


class _GuardedSink:
    """What Arrow writes to. It requires `seek`, but does not call it.

    It never raises, because Arrow would panic: an error of the sink ends the batches instead.
    """

    def __init__(self, sink: Sink, guard: _Guard) -> None:
        self._sink, self._guard = sink, guard

    def write(self, chunk: bytes) -> int:
        if self._guard.error is None:
            with suppress(Exception), self._guard.keeping():
                self._sink.write(chunk)
        return len(chunk)

    def flush(self) -> None:
        """Do nothing."""

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation("This is a stream.")
