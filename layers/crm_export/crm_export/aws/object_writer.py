"""Writes one S3 object as a stream: a multipart upload whose checksum S3 verifies against ours.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

import base64
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Self

from isal import isal_zlib

MIN_PART_BYTES = 5 * 1024 * 1024  # S3's smallest part, except for the last
MAX_PARTS = 10_000  # S3's largest number of parts

single_thread: Callable[[], Executor] = partial(ThreadPoolExecutor, 1)


class ObjectWriter:
    """The object appears whole at `commit`, or never: leaving the context without it aborts the upload.

    Two parts are in memory, however large the object is: one is filled while the other is sent by an
    executor of this writer's own.
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
        self._executor = make_executor()
        self._buffer = bytearray()
        self._upload_id: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._sending: Future[dict[str, Any]] | None = None
        self._committed = False

    def __enter__(self) -> Self:
        return self

    def write(self, chunk: bytes) -> None:
        """Add the next bytes. Sends a full part in the background; raises the error of the previous part."""
        while len(self._buffer) + len(chunk) >= self._part_bytes:
            room = self._part_bytes - len(self._buffer)
            self._buffer += chunk[:room]
            chunk = chunk[room:]
            self._send_part()
        self._buffer += chunk

    def commit(self, crc32: int, size: int) -> None:
        """Create the object. S3 refuses it if its CRC32, or the size of a multipart upload, differs."""
        if self._upload_id is None:
            self._s3.put_object(
                **self._target,
                Body=bytes(self._buffer),
                ContentType=self._content_type,
                ChecksumCRC32=_base64_crc32(crc32),
            )
        else:
            if self._buffer:
                self._send_part()
            self._wait_for_part()
            self._s3.complete_multipart_upload(
                **self._target,
                UploadId=self._upload_id,
                MultipartUpload={"Parts": self._parts},
                ChecksumCRC32=_base64_crc32(crc32),
                ChecksumType="FULL_OBJECT",
                MpuObjectSize=size,
            )
        self._committed = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(cancel_futures=True)
        if self._upload_id is not None and not self._committed:
            self._s3.abort_multipart_upload(**self._target, UploadId=self._upload_id)

    def _send_part(self) -> None:
        """Give the buffer to the executor as soon as the previous part has been sent."""
        if self._upload_id is None:
            self._upload_id = self._s3.create_multipart_upload(
                **self._target,
                ContentType=self._content_type,
                ChecksumAlgorithm="CRC32",
                ChecksumType="FULL_OBJECT",
            )["UploadId"]
        self._wait_for_part()
        self._sending = self._executor.submit(self._upload_part, len(self._parts) + 1, bytes(self._buffer))
        self._buffer = bytearray()

    def _wait_for_part(self) -> None:
        if self._sending is not None:
            self._parts.append(self._sending.result())
            self._sending = None

    def _upload_part(self, number: int, body: bytes) -> dict[str, Any]:
        checksum = _base64_crc32(isal_zlib.crc32(body))
        response = self._s3.upload_part(
            **self._target, UploadId=self._upload_id, PartNumber=number, Body=body, ChecksumCRC32=checksum
        )
        return {"PartNumber": number, "ETag": response["ETag"], "ChecksumCRC32": checksum}


def _base64_crc32(crc32: int) -> str:
    return base64.b64encode(crc32.to_bytes(4, "big")).decode()
