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

from crm_export.aws.object_writer import (
    MAX_PARTS,
    MIN_PART_BYTES,
    ObjectWriter,
    base64_crc32,
    single_thread,
)
from crm_export.errors import (
    CorruptZip,
    CountMismatch,
    ObjectConflict,
    ResultTooLarge,
    StorageRefused,
    StorageUnavailable,
)
from crm_export.exports.model import Stored
from crm_export.exports.pipeline import Results
from crm_export.outages import is_outage
from crm_export.results.counters import ByteCounter, IcsCounter
from crm_export.results.csv_scanner import csv_counter
from crm_export.results.gzip import Piece, counted, deflate, gzip_member, gzip_trailer
from crm_export.results.record_ids import RecordIds
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
# How S3 refuses to complete an upload if the object exists, or if the upload is complete or aborted.
_CAME_SECOND = {"PreconditionFailed", "NoSuchUpload"}
_NUMBERED_NAME = re.compile(
    rb"(?:.*/)?(\d{15,40})\.(?:csv|ics)$"
)  # Zoho names the entry after the id of its job


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
        self, chunks: Iterable[bytes], key: str, *, file_format: str, expected_records: int, job_id: str,
        confirm: Callable[[], None],
    ) -> Stored:  # fmt: skip
        entry, pieces = unzip(chunks, compress=file_format == "csv.gz", may_be_empty=expected_records == 0)
        verified = _verify_job(pieces, entry, job_id)
        return self._store(verified, entry, key, file_format, expected_records, confirm)

    def store_records(
        self, pages: Iterable[list[dict[str, Any]]], key: str, *, fields: list[str], file_format: str,
        confirm: Callable[[], None],
    ) -> Stored:  # fmt: skip
        chunks, content = csv_chunks(pages, fields), ByteCounter()
        pieces = deflate(chunks) if file_format == "csv.gz" else map(Piece, chunks)
        return self._store(counted(pieces, content), content, key, file_format, None, confirm)

    def _store(  # noqa: PLR0917 (the two callers above)
        self,
        pieces: Iterator[Piece],
        content: ByteCounter,
        key: str,
        file_format: str,
        expected: int | None,
        confirm: Callable[[], None],
    ) -> Stored:
        """Write, count and verify pieces; `content` has counted each piece when it arrives."""
        ids = RecordIds()
        counter = IcsCounter() if file_format == "ics" else csv_counter(ids)
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
            part_ids = ids.finish(records)
            size = written.size
            try:
                writer.commit(written.crc32, size, confirm)
            except (ClientError, BotoCoreError) as error:
                if _code(error) not in _CAME_SECOND and not is_outage(error):
                    raise
                size = self._size_of_same(writer, key, content, is_gzip=is_gzip)
        return Stored(key, records, size, f"{content.crc32:08x}", header, part_ids)

    def _size_of_same(self, writer: ObjectWriter, key: str, content: ByteCounter, *, is_gzip: bool) -> int:
        """Return the size of the object that another attempt, or a lost call, wrote, if it has this content.

        Raises ObjectConflict if it has another content, StorageUnavailable if there is no object.
        """
        if not writer.call(self._exists):
            raise StorageUnavailable(f"S3 did not complete the upload of {key}.")
        found = writer.call(self.s3.head_object, ChecksumMode="ENABLED")
        size = int(found["ContentLength"])
        if is_gzip:  # its trailer holds CRC and size of the content
            same = writer.call(self._read, Range="bytes=-8") == gzip_trailer(content)
        else:
            same = (found.get("ChecksumCRC32"), size) == (base64_crc32(content.crc32), content.size)
        if not same:
            raise ObjectConflict(f"{key} exists, and its content is not what this attempt read from Zoho.")
        return size

    def _exists(self, Bucket: str, Key: str) -> bool:  # noqa: N803 (boto3's names)
        # HeadObject would not say: a role that may not list all keys gets 403 for a key that is missing.
        found = self.s3.list_objects_v2(Bucket=Bucket, Prefix=Key, MaxKeys=1)
        return [item["Key"] for item in found.get("Contents", [])] == [Key]

    def _read(self, **target: str) -> bytes:
        with closing(self.s3.get_object(**target)["Body"]) as body:
            content: bytes = body.read()
            return content

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

    def remove_leftovers(self, folder: str, keep: set[str]) -> None:
        target = {"Bucket": self.bucket, "Prefix": f"{folder}/"}
        with _storage_errors("delete from", folder):
            # First the uploads: a worker that still has one cannot complete it any more.
            for page in self.s3.get_paginator("list_multipart_uploads").paginate(**target):
                for upload in page.get("Uploads", []):
                    self._abort(upload["Key"], upload["UploadId"])
            for page in self.s3.get_paginator("list_objects_v2").paginate(**target):
                for key in [item["Key"] for item in page.get("Contents", [])]:
                    if "part-" in key.rpartition("/")[2] and key not in keep:
                        self.s3.delete_object(Bucket=self.bucket, Key=key)

    def _abort(self, key: str, upload_id: str) -> None:
        try:
            self.s3.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)
        except ClientError as error:
            if _code(error) != "NoSuchUpload":  # its worker has just completed or aborted it
                raise

    def read_manifest(self, key: str) -> dict[str, Any] | None:
        with _storage_errors("read", key):
            if not self._exists(self.bucket, key):
                return None
            content = self._read(Bucket=self.bucket, Key=key)
        try:
            document = json.loads(content)
        except ValueError:
            document = None
        return document if isinstance(document, dict) else {}

    def write_manifest(self, key: str, manifest: dict[str, Any]) -> bool:
        try:
            with _storage_errors("write", key):
                self.s3.put_object(
                    Bucket=self.bucket,
                    Key=key,
                    Body=json.dumps(manifest, ensure_ascii=False, indent=1).encode(),
                    ContentType="application/json",
                    IfNoneMatch="*",
                )
        except StorageRefused as error:
            if _reason(error.__cause__) != "PreconditionFailed":
                raise
            return False
        return True


def _verify_job(pieces: Iterator[Piece], entry: Entry, job_id: str) -> Iterator[Piece]:
    """Raise CorruptZip after the last piece if the entry is named after another job."""
    yield from pieces
    number = _NUMBERED_NAME.match(entry.name)
    if number and number[1].decode() != job_id:
        raise CorruptZip(f"The result is that of job {number[1].decode()}, not of job {job_id}.")


@contextmanager
def _storage_errors(action: str, key: str) -> Iterator[None]:
    """Raise StorageUnavailable for an outage of S3, and StorageRefused for its other errors."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        if is_outage(error):
            raise StorageUnavailable(f"S3 could not {action} {key}: {_reason(error)}.") from error
        raise StorageRefused(f"S3 refused to {action} {key}: {_reason(error)}.") from error


def _code(error: object) -> str | None:
    return error.response["Error"].get("Code") if isinstance(error, ClientError) else None


def _reason(error: object) -> str:
    return _code(error) or type(error).__name__
