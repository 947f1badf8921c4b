"""Puts results and manifests into the results bucket."""
# Reads stored parts back: the ids of their records, as a stream.

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from isal import igzip, isal_zlib
from isal.igzip_lib import IsalError

from crm_export.aws.object_writer import LARGEST_OBJECT, ObjectWriter
from crm_export.errors import CorruptZip, CountMismatch, ResultError, ResultTooLarge, StorageRefused
from crm_export.results.counters import CsvCounter, IcsCounter
from crm_export.results.gzip import GzipWriter, deflating
from crm_export.results.records_csv import csv_chunks
from crm_export.results.unzip import unzip

CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "csv.gz": "application/gzip",  # and no Content-Encoding: docs/decisions.md
    "ics": "text/calendar; charset=utf-8",
}
# No record of Zoho's comes near: 500 fields, of which a few are texts of 50,000 characters. How far a ZIP
# inflates is no measure: records with few of their fields filled do so several hundredfold.
_LARGEST_RECORD = 4 * 1024 * 1024
_LARGEST_REST = 16 * 1024 * 1024  # header, what surrounds a calendar's events, the record that is being read
# Gives a file's content; hands it on as raw deflate data, too, if it is told where to.
_NUMBERED = re.compile(rb"(\d{15,40})\.(?:csv|ics)$")  # Zoho calls the entry by the id of its job
_Content = Callable[[Callable[[bytes], None] | None], Iterator[bytes]]


class S3Results:
    """ResultStore (exports.ports) over S3."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def store(
        self,
        chunks: Iterable[bytes],
        key: str,
        *,
        file_type: str,
        expected_records: int,
        entry_name: str | None = None,
    ) -> dict[str, Any]:
        """Stream a result ZIP into an object; return {"records", "bytes", "crc32", "header"}.

        file_type is the object's: csv, csv.gz or ics. The object appears only if CRC, sizes and the
        number of records are right, and is not written on when it has grown beyond what they can be (final:
        ResultTooLarge); crc32 is Zoho's, of the file before any gzip, in 8 hex digits, and
        bytes the object's size. An entry whose name is a number must be called entry_name: it is another
        result otherwise. Raises ResultError, and what `chunks` raises.
        """

        def content(deflated: Callable[[bytes], None] | None) -> Iterator[bytes]:
            entry, inflated = unzip(chunks, deflated)
            yield from inflated
            number = _NUMBERED.match(entry.name)
            if entry_name is not None and number and number[1].decode() != entry_name:
                raise CorruptZip(f"The result is that of {number[1].decode()}, not of {entry_name}.")

        return self._store(content, key, file_type, expected_records)

    def store_records(
        self, pages: Iterable[list[dict[str, Any]]], key: str, *, fields: list[str], file_type: str
    ) -> dict[str, Any]:
        """Stream pages of the records API into an object as Bulk Read would have written them.

        file_type is csv or csv.gz. Returns as `store` does. Raises ResultError, and what `pages` raises;
        then nothing is stored.
        """

        def content(deflated: Callable[[bytes], None] | None) -> Iterator[bytes]:
            chunks = csv_chunks(pages, fields)
            return deflating(chunks, deflated) if deflated else chunks

        return self._store(content, key, file_type, None)

    def _store(self, content: _Content, key: str, file_type: str, expected: int | None) -> dict[str, Any]:
        counter = IcsCounter() if file_type == "ics" else CsvCounter()
        crc32 = size = 0
        with (
            _told("did not take", key),
            ObjectWriter(self._s3, self._bucket, key, CONTENT_TYPES[file_type]) as writer,
        ):
            gzip = GzipWriter(writer.write) if file_type == "csv.gz" else None
            for chunk in content(gzip.write if gzip else None):
                if expected is not None:
                    _check_growth(size + len(chunk), counter.records, expected)
                counter.feed(chunk)
                crc32 = isal_zlib.crc32(chunk, crc32)
                size += len(chunk)
                if not gzip:
                    writer.write(chunk)
            records, header = counter.finish()
            if expected is not None and records != expected:
                raise CountMismatch(f"The result holds {records} records; Zoho counted {expected}.")
            if gzip:
                gzip.finish(crc32, size)
            writer.commit(gzip.crc32 if gzip else crc32)
        return {"records": records, "bytes": writer.size, "crc32": f"{crc32:08x}", "header": header}

    def ids(self, key: str) -> Iterator[str]:
        """The Id column of a stored csv or csv.gz, as a stream. Raises ResultError."""
        with _told("did not give", key):
            yield from read_ids(self._s3, self._bucket, key)

    def delete_others(self, folder: str, keep: set[str]) -> int:
        """Delete the parts in an export's folder whose keys are not in `keep`; return how many.

        A part is a key with "part-" in its last name; a manifest is none. Raises ResultError.
        """
        deleted = 0
        with _told("did not clean up", folder):
            pages = self._s3.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=f"{folder}/"):
                for key in [item["Key"] for item in page.get("Contents", [])]:
                    if "part-" in key.rpartition("/")[2] and key not in keep:
                        self._s3.delete_object(Bucket=self._bucket, Key=key)
                        deleted += 1
        return deleted

    def put_manifest(self, key: str, manifest: dict[str, Any]) -> None:
        """Write a manifest once: written again, it would announce the export a second time."""
        try:
            self._s3.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=json.dumps(manifest, ensure_ascii=False, indent=1).encode(),
                ContentType="application/json",
                IfNoneMatch="*",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "PreconditionFailed":
                raise


def _check_growth(size: int, records: int, expected: int) -> None:
    """Stop a result that is a bomb, before it costs time and S3 more than its records can have cost."""
    if records > expected:
        raise CountMismatch(f"The result holds {records} records and more; Zoho counted {expected}.")
    largest = min(_LARGEST_REST + records * _LARGEST_RECORD, LARGEST_OBJECT)
    if size > largest:
        raise ResultTooLarge(
            f"The result has inflated to {size} bytes with {records} records in them; allowed are {largest}."
        )


@contextmanager
def _told(what: str, key: str) -> Iterator[None]:
    """Turn S3's errors into StorageRefused."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise StorageRefused(f"S3 {what} {key}: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    code = error.response["Error"].get("Code") if isinstance(error, ClientError) else None
    return code or type(error).__name__


_BUFFER_BYTES = 256 * 1024
_LONGEST_CELL = 1 << 24  # csv's own limit, 131,072, is less than a subform may take
_UNREADABLE = (ValueError, IndexError, csv.Error, EOFError, igzip.BadGzipFile, IsalError)


def read_ids(s3: Any, bucket: str, key: str) -> Iterator[str]:
    """The Id column of a stored object, .csv or .csv.gz. Raises ResultError if it is not such a file."""
    csv.field_size_limit(_LONGEST_CELL)
    with closing(s3.get_object(Bucket=bucket, Key=key)["Body"]) as body:
        raw: Any = io.BufferedReader(body, _BUFFER_BYTES)
        if key.endswith(".gz"):
            raw = igzip.IGzipFile(fileobj=raw, mode="rb")  # type: ignore[no-untyped-call]
        rows = csv.reader(io.TextIOWrapper(raw, encoding="utf-8-sig", newline=""), strict=True)
        try:
            column = [name.lower() for name in next(rows, [])].index("id")
            yield from (row[column] for row in rows if row)
        except _UNREADABLE as error:  # type: ignore[misc]  # isal's stub calls IsalError an instance
            raise ResultError(f"The ids of {key} cannot be read: {error}.") from error
