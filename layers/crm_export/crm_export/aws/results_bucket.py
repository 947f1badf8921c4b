"""The results bucket: parts of exports and their manifests. Called by the verbs in `crm_export.exports`."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from dataclasses import KW_ONLY, dataclass
from functools import partial
from hashlib import sha256
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from crm_export.aws.object_writer import (
    MAX_PARTS,
    MIN_PART_BYTES,
    ObjectWriter,
    base64_crc32,
    single_thread,
)
from crm_export.errors import ObjectConflict, StorageRefused, StorageUnavailable
from crm_export.exports.landing import (
    MAX_OTHER_BYTES,
    MAX_RECORD_BYTES,
    Incoming,
    SizeLimits,
    Writer,
    incoming_records,
    incoming_result,
    json_bytes,
    json_object,
    land,
    leftovers,
)
from crm_export.exports.model import Stored
from crm_export.exports.pipeline import Results
from crm_export.outages import is_outage
from crm_export.results.counters import ByteCounter
from crm_export.results.gzip import gzip_trailer
from crm_export.results.record_index import read_index
from crm_export.results.records_csv import read_columns

CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "csv.gz": "application/gzip",  # and no Content-Encoding: docs/decisions.md
    "ics": "text/calendar; charset=utf-8",
}
# How S3 refuses to complete an upload if the object exists, or if the upload is complete or aborted.
_CAME_SECOND = {"PreconditionFailed", "NoSuchUpload"}
# How S3 refuses a write whose condition does not hold; the last one: the object to be replaced is gone.
_CONDITION_FAILED = {"PreconditionFailed", "NoSuchKey"}
_BINARY = "application/octet-stream"
_CHUNK_BYTES = 1024 * 1024


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
    max_record_bytes: int = MAX_RECORD_BYTES
    max_other_bytes: int = MAX_OTHER_BYTES
    make_executor: Callable[[], Executor] = single_thread

    def store_result(
        self, chunks: Iterable[bytes], key: str, *, file_format: str, expected_records: int, job_id: str,
        confirm: Callable[[], None], index: bool = False,
    ) -> Stored:  # fmt: skip
        incoming = incoming_result(
            chunks, file_format=file_format, expected_records=expected_records, job_id=job_id
        )
        return self._store(incoming, key, confirm, index=index)

    def store_records(
        self, pages: Iterable[list[dict[str, Any]]], key: str, *, fields: list[str], file_format: str,
        confirm: Callable[[], None], index: bool = False,
    ) -> Stored:  # fmt: skip
        incoming = incoming_records(pages, fields=fields, file_format=file_format)
        return self._store(incoming, key, confirm, index=index)

    def _store(self, incoming: Incoming, key: str, confirm: Callable[[], None], *, index: bool) -> Stored:
        limits = SizeLimits(self.max_record_bytes, self.max_other_bytes, MAX_PARTS * self.part_bytes)
        store_index = partial(self.write_object, confirm=confirm) if index else None
        with self._uploading(key, CONTENT_TYPES[incoming.file_format]) as upload:
            return land(incoming, key, upload, confirm, limits, store_index=store_index)

    @contextmanager
    def _uploading(self, key: str, content_type: str) -> Iterator["_Upload"]:
        writer = ObjectWriter(
            self.s3,
            self.bucket,
            key,
            content_type,
            part_bytes=self.part_bytes,
            make_executor=self.make_executor,
        )
        with storage_errors("write", key), writer:
            yield _Upload(self, writer, key)

    def write_object(
        self, key: str, chunks: Iterable[bytes], confirm: Callable[[], None] = lambda: None
    ) -> None:
        content = ByteCounter()
        with self._uploading(key, CONTENT_TYPES.get(key.rpartition(".")[2], _BINARY)) as upload:
            for chunk in chunks:
                content.feed(chunk)
                upload.write(chunk)
            upload.commit(content, content, confirm)

    def size_of_same(self, writer: ObjectWriter, key: str, content: ByteCounter, *, is_gzip: bool) -> int:
        """Return the size of the object that another attempt, or a lost call, wrote, if it has this content.

        Raises ObjectConflict if it has another content, StorageUnavailable if there is no object.
        """
        if not writer.call(partial(object_exists, self.s3)):
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

    def _read(self, **target: str) -> bytes:
        with closing(self.s3.get_object(**target)["Body"]) as body:
            content: bytes = body.read()
            return content

    def read_ids(self, key: str) -> Iterator[str]:
        return (row[0] for row in self.read_columns(key, ("Id",)))

    def read_columns(self, key: str, columns: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        with (
            storage_errors("read", key),
            closing(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"]) as body,
        ):
            yield from read_columns(body, key, columns)

    def read_index(self, key: str) -> Iterator[tuple[int, int]]:
        return read_index(self._chunks(key))

    def digest(self, key: str) -> str:
        digest = sha256()
        for chunk in self._chunks(key):
            digest.update(chunk)
        return digest.hexdigest()

    def _chunks(self, key: str) -> Iterator[bytes]:
        with (
            storage_errors("read", key),
            closing(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"]) as body,
        ):
            while chunk := body.read(_CHUNK_BYTES):
                yield chunk

    def remove_leftovers(self, folder: str, keep: set[str]) -> None:
        target = {"Bucket": self.bucket, "Prefix": f"{folder}/"}
        with storage_errors("delete from", folder):
            # First the uploads: a worker that still has one cannot complete it any more.
            for page in self.s3.get_paginator("list_multipart_uploads").paginate(**target):
                for upload in page.get("Uploads", []):
                    self._abort(upload["Key"], upload["UploadId"])
            for page in self.s3.get_paginator("list_objects_v2").paginate(**target):
                for key in leftovers([item["Key"] for item in page.get("Contents", [])], keep):
                    self.s3.delete_object(Bucket=self.bucket, Key=key)

    def _abort(self, key: str, upload_id: str) -> None:
        try:
            self.s3.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)
        except ClientError as error:
            if _code(error) != "NoSuchUpload":  # its worker has just completed or aborted it
                raise

    def read_manifest(self, key: str) -> dict[str, Any] | None:
        with storage_errors("read", key):
            if not object_exists(self.s3, self.bucket, key):
                return None
            content = self._read(Bucket=self.bucket, Key=key)
        return json_object(content)

    def write_manifest(self, key: str, manifest: dict[str, Any]) -> bool:
        return self._put_json(key, manifest, IfNoneMatch="*")

    def read_latest(self, key: str) -> tuple[dict[str, Any], str] | None:
        with storage_errors("read", key):
            if not object_exists(self.s3, self.bucket, key):
                return None
            found = self.s3.get_object(Bucket=self.bucket, Key=key)
            with closing(found["Body"]) as body:
                return json_object(body.read()), found["ETag"]

    def write_latest(self, key: str, document: dict[str, Any], etag: str | None) -> bool:
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        if self._put_json(key, document, **condition):
            return True
        found = self.read_latest(key)  # a repeated call fails if the response of the first was lost
        return found is not None and found[0] == document

    def _put_json(self, key: str, document: dict[str, Any], **condition: str) -> bool:
        """Write a JSON object; False if the condition does not hold."""
        try:
            with storage_errors("write", key):
                self.s3.put_object(
                    Bucket=self.bucket,
                    Key=key,
                    Body=json_bytes(document),
                    ContentType="application/json",
                    **condition,
                )
        except StorageRefused as error:
            if _reason(error.__cause__) not in _CONDITION_FAILED:
                raise
            return False
        return True


@dataclass(frozen=True)
class _Upload(Writer):
    """The Writer of one object in S3."""

    results: ResultsBucket
    writer: ObjectWriter
    key: str

    def write(self, chunk: bytes) -> None:
        self.writer.write(chunk)

    def commit(self, content: ByteCounter, written: ByteCounter, confirm: Callable[[], None]) -> int:
        try:
            self.writer.commit(written.crc32, written.size, confirm)
        except (ClientError, BotoCoreError) as error:
            if _code(error) not in _CAME_SECOND and not is_outage(error):
                raise
            is_gzip = written is not content
            return self.results.size_of_same(self.writer, self.key, content, is_gzip=is_gzip)
        return written.size


def object_exists(s3: Any, Bucket: str, Key: str) -> bool:  # noqa: N803 (boto3's names)
    """Return whether there is an object, by its listing.

    HeadObject would not say: a role that may not list all keys gets 403 for a key that is missing.
    """
    found = s3.list_objects_v2(Bucket=Bucket, Prefix=Key, MaxKeys=1)
    return [item["Key"] for item in found.get("Contents", [])] == [Key]


@contextmanager
def storage_errors(action: str, key: str) -> Iterator[None]:
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
