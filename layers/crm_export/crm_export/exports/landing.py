"""Verifies a result or records while they are written. Every implementation of `pipeline.Results` uses it.

A chunk of a result passes `unzip`, for csv.gz `gzip_member`, then a counter, and ends in a Writer.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from crm_export.errors import CorruptZip, CountMismatch, ObjectConflict, ResultTooLarge
from crm_export.exports.model import Stored
from crm_export.results.counters import ByteCounter, IcsCounter
from crm_export.results.csv_scanner import csv_counter
from crm_export.results.gzip import Piece, counted, deflate, gzip_member
from crm_export.results.record_ids import RecordIds
from crm_export.results.record_index import RecordHashes, sorted_rows, write_index
from crm_export.results.records_csv import csv_chunks
from crm_export.results.unzip import unzip
from crm_export.results.zip_format import Entry

# No record in Zoho is as large: 500 fields, a few of them with 50,000 characters. The ratio by which a ZIP
# inflates is no usable limit: records with few filled fields inflate several hundredfold.
MAX_RECORD_BYTES = 4 * 1024 * 1024
# For the header, the lines around a calendar's events, and the record that is being read.
MAX_OTHER_BYTES = 16 * 1024 * 1024
_NUMBERED_NAME = re.compile(
    rb"(?:.*/)?(\d{15,40})\.(?:csv|ics)$"
)  # Zoho names the entry after the id of its job


_INDEX = ".index"
_KINDS = ("part-", "deleted-", "diff-")  # in the names of all objects of an export but its manifest

type StoreIndex = Callable[[str, Iterable[bytes]], None]  # as `Results.write_object`


class Writer(Protocol):
    """Writes one object, which appears whole at `commit`, or never."""

    def write(self, chunk: bytes) -> None:
        """Add the next bytes."""

    def commit(self, content: ByteCounter, written: ByteCounter, confirm: Callable[[], None]) -> int:
        """Create the object unless its key exists, and return its size.

        content: the file; written: the object's bytes, which is `content` itself unless they are compressed.
        `confirm` is called when everything is written; if it raises, there is no object. If the key exists
        with the same content, return that object's size; with another one raise ObjectConflict.
        """


@dataclass(frozen=True)
class SizeLimits:
    """A result may have `other` bytes plus `record` for each of its records, but not more than `all`."""

    record: int = MAX_RECORD_BYTES
    other: int = MAX_OTHER_BYTES
    all: float = float("inf")

    def check(self, size: int, records: int, expected: int) -> None:
        """Stop a ZIP bomb before it costs more time and storage than its records can explain."""
        if records > expected:
            raise CountMismatch(f"The result has at least {records} records, but Zoho counted {expected}.")
        largest = min(self.other + records * self.record, self.all)
        if size > largest:
            raise ResultTooLarge(
                f"The result has inflated to {size} bytes with {records} complete records; {largest} bytes "
                "are allowed."
            )


@dataclass(frozen=True)
class Incoming:
    """The file to be written, as pieces. `content` has counted each piece when it arrives.

    expected: the number of its records, if it is known.
    """

    pieces: Iterator[Piece]
    content: ByteCounter
    file_format: str
    expected: int | None = None


def incoming_result(
    chunks: Iterable[bytes], *, file_format: str, expected_records: int, job_id: str
) -> Incoming:
    """Return the file in a result ZIP. Reading it raises ResultError, also if it is of another job."""
    entry, pieces = unzip(chunks, compress=file_format == "csv.gz", may_be_empty=expected_records == 0)
    return Incoming(_verify_job(pieces, entry, job_id), entry, file_format, expected_records)


def incoming_records(
    pages: Iterable[list[dict[str, Any]]], *, fields: list[str], file_format: str
) -> Incoming:
    """Return pages of the records API as a file like that of Bulk Read."""
    chunks, content = csv_chunks(pages, fields), ByteCounter()
    pieces = deflate(chunks) if file_format == "csv.gz" else map(Piece, chunks)
    return Incoming(counted(pieces, content), content, file_format)


def land(
    incoming: Incoming,
    key: str,
    writer: Writer,
    confirm: Callable[[], None],
    limits: SizeLimits,
    *,
    store_index: StoreIndex | None = None,
) -> Stored:
    """Write, count and verify a file; commit it if all is right. Raises ResultError, ObjectConflict.

    With `store_index`, the index of a CSV is stored before: what has committed a part has stored its index.
    """
    content, expected = incoming.content, incoming.expected
    ids, hashes = RecordIds(), RecordHashes() if store_index else None
    counter = IcsCounter() if incoming.file_format == "ics" else csv_counter(ids, hashes)
    is_gzip = incoming.file_format == "csv.gz"
    pieces, written = incoming.pieces, content
    if is_gzip:
        written = ByteCounter()
        pieces = gzip_member(pieces, content, written)
    for piece in pieces:
        if expected is not None and piece.content:
            limits.check(content.size, counter.records, expected)
        counter.feed(piece.content)
        writer.write(piece.compressed if is_gzip else piece.content)
    records, header = counter.finish()
    if expected is not None and records != expected:
        raise CountMismatch(f"The result has {records} records, but Zoho counted {expected}.")
    part_ids = ids.finish(records)
    index = None
    if store_index and hashes and part_ids and part_ids.digest:
        index = index_key(key, content)
        _store_index(store_index, index, ids, hashes)
    size = writer.commit(content, written, confirm)
    return Stored(key, records, size, f"{content.crc32:08x}", header, part_ids, index)


def _store_index(store: StoreIndex, key: str, ids: RecordIds, hashes: RecordHashes) -> None:
    # The key says which content it is the index of. So an index with this key is this one, perhaps
    # compressed by another version of the library.
    with suppress(ObjectConflict):
        store(key, write_index(*sorted_rows(ids.in_order, hashes.finish())))


def index_key(part_key: str, content: ByteCounter) -> str:
    """Return the key of a part's index: `part-00001.csv` -> `part-00001-<CRC32 of the CSV>.index`.

    Two attempts of a part may read different results, and the one that dies may have stored its index.
    """
    return f"{_without_suffix(part_key)}-{content.crc32:08x}{_INDEX}"


def leftovers(keys: Iterable[str], keep: set[str]) -> Iterator[str]:
    """Yield the keys of an export's own objects, by their names, that are not in `keep`; never a manifest."""
    for key in keys:
        name = key.rpartition("/")[2]
        if key not in keep and any(kind in name for kind in _KINDS):
            yield key


def _without_suffix(key: str) -> str:
    folder, slash, name = key.rpartition("/")
    return folder + slash + name.partition(".")[0]


def json_bytes(document: dict[str, Any]) -> bytes:
    """Return a manifest, or another JSON object, as it is stored."""
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def json_object(content: bytes) -> dict[str, Any]:
    """Return the JSON object that was stored; {} for any other content."""
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    return document if isinstance(document, dict) else {}


def _verify_job(pieces: Iterator[Piece], entry: Entry, job_id: str) -> Iterator[Piece]:
    """Raise CorruptZip after the last piece if the entry is named after another job."""
    yield from pieces
    number = _NUMBERED_NAME.match(entry.name)
    if number and number[1].decode() != job_id:
        raise CorruptZip(f"The result is that of job {number[1].decode()}, not of job {job_id}.")
