"""The lake in the results bucket: Parquet files next to the exports. Called by `crm_export.lake.land`."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from botocore.exceptions import ClientError

from crm_export.aws.object_writer import ObjectWriter
from crm_export.aws.results_bucket import object_exists, storage_errors
from crm_export.errors import StorageRefused
from crm_export.lake.store import Found, LakeStore, ObjectSink
from crm_export.results.counters import ByteCounter

_PARQUET = "application/vnd.apache.parquet"
# How S3 refuses a conditional write: another object exists, or is being written, or was deleted.
_ANOTHER_EXISTS = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"}


@dataclass(frozen=True)
class LakeBucket(LakeStore):
    """Objects in S3."""

    s3: Any
    bucket: str

    def url(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        with storage_errors("read", key):
            body = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"]
        with closing(body):
            yield cast(BinaryIO, _Body(body, key))

    @contextmanager
    def write(self, key: str) -> Iterator[ObjectSink]:
        with ObjectWriter(self.s3, self.bucket, key, _PARQUET) as writer:
            yield _Upload(writer, key)

    def get(self, key: str) -> Found | None:
        with storage_errors("read", key):
            if not object_exists(self.s3, self.bucket, key):
                return None
            response = self.s3.get_object(Bucket=self.bucket, Key=key)
            with closing(response["Body"]) as body:
                return Found(body.read(), response["ETag"])

    def put_if(self, key: str, content: bytes, version: str | None) -> bool:
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
        try:
            with storage_errors("write", key):
                self.s3.put_object(Bucket=self.bucket, Key=key, Body=content, **condition)
        except StorageRefused as error:
            if _code(error.__cause__) in _ANOTHER_EXISTS:
                return False
            raise
        return True


class _Upload(ObjectSink):
    def __init__(self, writer: ObjectWriter, key: str) -> None:
        self._writer, self._key = writer, key
        self._written = ByteCounter()

    def write(self, chunk: bytes) -> None:
        self._written.feed(chunk)
        with storage_errors("write", self._key):
            self._writer.write(chunk)

    def commit(self) -> None:
        with storage_errors("write", self._key):
            self._writer.commit(self._written.crc32, self._written.size, lambda: None, replace=True)


class _Body:
    """The body of an object. What is read has to be all of it: botocore reports a body that ends early."""

    def __init__(self, body: Any, key: str) -> None:
        self._body, self._key = body, key

    def read(self, size: int = -1) -> bytes:
        with storage_errors("read", self._key):
            chunk: bytes = self._body.read(None if size < 0 else size)
            return chunk


def _code(error: object) -> str | None:
    return error.response["Error"].get("Code") if isinstance(error, ClientError) else None
