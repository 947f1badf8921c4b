"""The results bucket: parts of exports and their manifests. Called by the verbs in `crm_export.exports`.

A chunk of a result passes `unzip`, for csv.gz `gzip_member`, then a counter, and ends in an ObjectWriter.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from dataclasses import KW_ONLY, dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from crm_export.aws.object_writer import MAX_PARTS, MIN_PART_BYTES, ObjectWriter, single_thread
from crm_export.errors import CorruptZip, CountMismatch, ResultTooLarge, StorageRefused
from crm_export.exports.model import Stored
from crm_export.exports.pipeline import Results
from crm_export.results.counters import ByteCounter, CsvCounter, IcsCounter
from crm_export.results.gzip import Piece, counted, deflate, gzip_member
from crm_export.results.records_csv import csv_chunks, read_ids
from crm_export.results.unzip import unzip
from crm_export.results.zip_format import Entry

CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "csv.gz": "application/gzip",  # and no Content-Encoding: docs/decisions.md
    "ics": "text/calendar; charset=utf-8",
}
# No record in Zoho is as large: 500 fields, a few of them with 50,000 characters. The ratio by which a ZIP
# inflates is no usable limit: records with few filled fields inflate several hundredfold.
_MAX_RECORD_BYTES = 4 * 1024 * 1024
# For the header, the lines around a calendar's events, and the record that is being read.
_MAX_OTHER_BYTES = 16 * 1024 * 1024
_NUMBERED_NAME = re.compile(rb"(\d{15,40})\.(?:csv|ics)$")  # Zoho names the entry after the id of its job


@dataclass(frozen=True)
class ResultsBucket(Results):
    """Stores results so that each object appears whole and verified, or not at all.

    A `file_format` is csv, csv.gz or ics. A result may be as large as `max_other_bytes` plus
    `max_record_bytes` for each of its records, but not larger than 10,000 S3 parts of `part_bytes`.
    """

    s3: Any
    bucket: str
    _: KW_ONLY
    part_bytes: int = MIN_PART_BYTES
    max_record_bytes: int = _MAX_RECORD_BYTES
    max_other_bytes: int = _MAX_OTHER_BYTES
    make_executor: Callable[[], Executor] = single_thread

    def store_result(
        self, chunks: Iterable[bytes], key: str, *, file_format: str, expected_records: int, job_id: str
    ) -> Stored:
        entry, pieces = unzip(chunks, compress=file_format == "csv.gz")
        return self._store(_verify_job(pieces, entry, job_id), entry, key, file_format, expected_records)

    def store_records(
        self, pages: Iterable[list[dict[str, Any]]], key: str, *, fields: list[str], file_format: str
    ) -> Stored:
        chunks, content = csv_chunks(pages, fields), ByteCounter()
        pieces = deflate(chunks) if file_format == "csv.gz" else map(Piece, chunks)
        return self._store(counted(pieces, content), content, key, file_format, None)

    def _store(
        self, pieces: Iterator[Piece], content: ByteCounter, key: str, file_format: str, expected: int | None
    ) -> Stored:
        """Write, count and verify pieces; `content` has counted each piece when it arrives."""
        counter = IcsCounter() if file_format == "ics" else CsvCounter()
        is_gzip = file_format == "csv.gz"
        written = ByteCounter() if is_gzip else content
        if is_gzip:
            pieces = gzip_member(pieces, content, written)
        writer = ObjectWriter(
            self.s3,
            self.bucket,
            key,
            CONTENT_TYPES[file_format],
            part_bytes=self.part_bytes,
            make_executor=self.make_executor,
        )
        with _storage_errors("write", key), writer:
            for piece in pieces:
                if expected is not None and piece.content:
                    self._check_growth(content.size, counter.records, expected)
                counter.feed(piece.content)
                writer.write(piece.compressed if is_gzip else piece.content)
            records, header = counter.finish()
            if expected is not None and records != expected:
                raise CountMismatch(f"The result has {records} records, but Zoho counted {expected}.")
            writer.commit(written.crc32, written.size)
        return Stored(key, records, written.size, f"{content.crc32:08x}", header)

    def _check_growth(self, size: int, records: int, expected: int) -> None:
        """Stop a ZIP bomb before it costs more time and storage than its records can explain."""
        if records > expected:
            raise CountMismatch(f"The result has at least {records} records, but Zoho counted {expected}.")
        largest = min(self.max_other_bytes + records * self.max_record_bytes, MAX_PARTS * self.part_bytes)
        if size > largest:
            raise ResultTooLarge(
                f"The result has inflated to {size} bytes with {records} complete records; {largest} bytes "
                "are allowed."
            )

    def read_ids(self, key: str) -> Iterator[str]:
        with (
            _storage_errors("read", key),
            closing(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"]) as body,
        ):
            yield from read_ids(body, key)

    def delete_other_parts(self, folder: str, keep: set[str]) -> int:
        deleted = 0
        with _storage_errors("delete from", folder):
            pages = self.s3.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=f"{folder}/"):
                for key in [item["Key"] for item in page.get("Contents", [])]:
                    if "part-" in key.rpartition("/")[2] and key not in keep:
                        self.s3.delete_object(Bucket=self.bucket, Key=key)
                        deleted += 1
        return deleted

    def write_manifest(self, key: str, manifest: dict[str, Any]) -> None:
        try:
            self.s3.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=json.dumps(manifest, ensure_ascii=False, indent=1).encode(),
                ContentType="application/json",
                IfNoneMatch="*",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "PreconditionFailed":
                raise


def _verify_job(pieces: Iterator[Piece], entry: Entry, job_id: str) -> Iterator[Piece]:
    """Raise CorruptZip after the last piece if the entry is named after another job."""
    yield from pieces
    number = _NUMBERED_NAME.match(entry.name)
    if number and number[1].decode() != job_id:
        raise CorruptZip(f"The result is that of job {number[1].decode()}, not of job {job_id}.")


@contextmanager
def _storage_errors(action: str, key: str) -> Iterator[None]:
    """Raise StorageRefused for errors of S3."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise StorageRefused(f"S3 refused to {action} {key}: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    code = error.response["Error"].get("Code") if isinstance(error, ClientError) else None
    return code or type(error).__name__
