"""Writes one S3 object as a stream: a multipart upload whose checksum S3 verifies against ours.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

import base64
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from functools import partial
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError
from isal import isal_zlib

from crm_export import deadline
from crm_export.errors import StorageUnavailable
from crm_export.telemetry import logger

MIN_PART_BYTES = 5 * 1024 * 1024  # S3's smallest part, except for the last
MAX_PARTS = 10_000  # S3's largest number of parts
# Kept back from the function's time: to abort the upload, and after that to record the failure.
_SECONDS_TO_CLEAN, _SECONDS_TO_RECORD = 20.0, 10.0

single_thread: Callable[[], Executor] = partial(ThreadPoolExecutor, 1)


class ObjectWriter:
    """The object appears whole at `commit`, or never: leaving the context without it aborts the upload.

    Every object is a multipart upload, however small, because an upload can be aborted: a write that hangs
    cannot land once its upload is gone. Two buffers are in memory, however large the object is: one is filled
    while the other is sent, as it is, by an executor of this writer's own. A call that hangs raises
    StorageUnavailable before the function's time is over.
    """

    def __init__(
        self,
        s3: Any,
        bucket: str,
        key: str,
        content_type: str,
        *,
        part_bytes: int = MIN_PART_BYTES,
        make_executor: Callable[[], Executor] = single_thread,
    ) -> None:
        self._s3 = s3
        self._target = {"Bucket": bucket, "Key": key}
        self._content_type = content_type
        self._part_bytes = part_bytes
        self._make_executor = make_executor
        self._executor = make_executor()
        self._buffer, self._filled = bytearray(part_bytes), 0
        self._sent_buffer: bytearray | None = None  # of the previous part; free once that has been sent
        self._upload_id: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._sending: Future[dict[str, Any]] | None = None
        self._committed = False

    def __enter__(self) -> Self:
        return self

    def write(self, chunk: bytes) -> None:
        """Add the next bytes. Sends a full part in the background; raises the error of the previous part."""
        rest = memoryview(chunk)
        while len(rest) >= (room := self._part_bytes - self._filled):
            self._fill(rest[:room])
            self._send_part()
            rest = rest[room:]
        self._fill(rest)

    def commit(self, crc32: int, size: int, confirm: Callable[[], None], *, replace: bool = False) -> None:
        """Create the object, unless its key exists: then S3 refuses with PreconditionFailed.

        S3 also refuses it if its CRC32 or size differs. `confirm` is called when everything is uploaded; if
        it raises, there is no object. replace: take the place of an object that has the key.
        """
        if self._filled or self._upload_id is None:
            del self._buffer[self._filled :]
            self._send_part()
        self._wait_for_part()
        confirm()
        self.call(
            self._s3.complete_multipart_upload,
            UploadId=self._upload_id,
            MultipartUpload={"Parts": self._parts},
            ChecksumCRC32=base64_crc32(crc32),
            ChecksumType="FULL_OBJECT",
            MpuObjectSize=size,
            **({} if replace else {"IfNoneMatch": "*"}),
        )
        self._committed = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
        if self._upload_id is None or self._committed:
            return
        if self._sending is not None and not self._sending.cancel():
            # A part that arrives after the abort would be left in S3.
            wait([self._sending], _seconds_left(_SECONDS_TO_CLEAN))
        executor = self._make_executor()  # the other one may hang
        aborted = executor.submit(self._s3.abort_multipart_upload, **self._target, UploadId=self._upload_id)
        try:
            _result(aborted, _SECONDS_TO_RECORD)
        except (ClientError, BotoCoreError, StorageUnavailable) as failed:
            # Already complete or aborted, or left to the bucket's lifecycle rule.
            logger.warning("upload not aborted", key=self._target["Key"], reason=str(failed))
        finally:
            executor.shutdown(wait=False)

    def call(self, call: Callable[..., Any], **parameters: Any) -> Any:
        """Make a call about the writer's bucket and key. Raises StorageUnavailable if it hangs."""
        return _result(self._executor.submit(call, **self._target, **parameters), _SECONDS_TO_CLEAN)

    def _fill(self, chunk: memoryview) -> None:
        end = self._filled + len(chunk)
        self._buffer[self._filled : end] = chunk
        self._filled = end

    def _send_part(self) -> None:
        """Give the buffer to the executor as soon as the previous part has been sent."""
        if self._upload_id is None:
            self._upload_id = self.call(
                self._s3.create_multipart_upload,
                ContentType=self._content_type,
                ChecksumAlgorithm="CRC32",
                ChecksumType="FULL_OBJECT",
            )["UploadId"]
        self._wait_for_part()
        self._sending = self._executor.submit(self._upload_part, len(self._parts) + 1, self._buffer)
        free, self._sent_buffer = self._sent_buffer, self._buffer
        self._buffer, self._filled = free or bytearray(self._part_bytes), 0

    def _wait_for_part(self) -> None:
        if self._sending is not None:
            self._parts.append(_result(self._sending, _SECONDS_TO_CLEAN))
            self._sending = None

    def _upload_part(self, number: int, body: bytearray) -> dict[str, Any]:
        checksum = base64_crc32(isal_zlib.crc32(body))
        response = self._s3.upload_part(
            **self._target, UploadId=self._upload_id, PartNumber=number, Body=body, ChecksumCRC32=checksum
        )
        return {"PartNumber": number, "ETag": response["ETag"], "ChecksumCRC32": checksum}


def _result[T](future: Future[T], spare_seconds: float) -> T:
    """Return the result of a call to S3. Raises StorageUnavailable if it is not there in time."""
    if wait([future], _seconds_left(spare_seconds)).not_done:
        raise StorageUnavailable("S3 did not respond before the function's time was over.")
    return future.result()


def _seconds_left(spare_seconds: float) -> float | None:
    left = deadline.remaining() - spare_seconds
    return None if left == float("inf") else max(left, 0)


def base64_crc32(crc32: int) -> str:
    """Return a CRC32 as S3 writes it."""
    return base64.b64encode(crc32.to_bytes(4, "big")).decode()
