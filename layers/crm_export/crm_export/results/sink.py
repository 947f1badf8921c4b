"""Writes one S3 object as a stream: a multipart upload whose checksum S3 checks against ours.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

import base64
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from isal import isal_zlib

_PART_BYTES = 8 * 1024 * 1024  # 10,000 of them are 80 GB
_IN_FLIGHT = 2


def _base64_crc32(crc32: int) -> str:
    return base64.b64encode(crc32.to_bytes(4, "big")).decode()


class ObjectWriter:
    """The object appears whole at `commit`, or never: leaving the context before aborts the upload.

    At most 4 parts of 8 MiB are held: one being filled, one on its way to a thread, two being sent.
    """

    def __init__(self, s3: Any, bucket: str, key: str, content_type: str) -> None:
        self._s3 = s3
        self._target = {"Bucket": bucket, "Key": key}
        self._content_type = content_type
        self._buffer = bytearray()
        self._upload_id: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._in_flight: deque[Future[dict[str, Any]]] = deque()
        self._threads = ThreadPoolExecutor(_IN_FLIGHT)
        self._sent_parts = 0
        self._size = 0
        self._committed = False

    def __enter__(self) -> Self:
        return self

    def write(self, chunk: bytes) -> None:
        """Take the next bytes; sends a part when one is full."""
        self._buffer += chunk
        self._size += len(chunk)
        while len(self._buffer) >= _PART_BYTES:
            self._send_part(bytes(memoryview(self._buffer)[:_PART_BYTES]))
            del self._buffer[:_PART_BYTES]

    def commit(self, crc32: int) -> None:
        """Make the object, if its CRC32 is this; S3 refuses it otherwise."""
        if self._upload_id is None:
            self._s3.put_object(
                **self._target,
                Body=bytes(self._buffer),
                ContentType=self._content_type,
                ChecksumCRC32=_base64_crc32(crc32),
            )
        else:
            if self._buffer:
                self._send_part(bytes(self._buffer))
            while self._in_flight:
                self._parts.append(self._in_flight.popleft().result())
            self._s3.complete_multipart_upload(
                **self._target,
                UploadId=self._upload_id,
                MultipartUpload={"Parts": self._parts},
                ChecksumCRC32=_base64_crc32(crc32),
                ChecksumType="FULL_OBJECT",
                MpuObjectSize=self._size,
            )
        self._committed = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)
        if self._upload_id is not None and not self._committed:
            self._s3.abort_multipart_upload(**self._target, UploadId=self._upload_id)

    def _send_part(self, body: bytes) -> None:
        if self._upload_id is None:
            self._upload_id = self._s3.create_multipart_upload(
                **self._target,
                ContentType=self._content_type,
                ChecksumAlgorithm="CRC32",
                ChecksumType="FULL_OBJECT",
            )["UploadId"]
        if len(self._in_flight) >= _IN_FLIGHT:
            self._parts.append(self._in_flight.popleft().result())
        self._sent_parts += 1
        self._in_flight.append(self._threads.submit(self._upload, self._sent_parts, body))

    def _upload(self, number: int, body: bytes) -> dict[str, Any]:
        checksum = _base64_crc32(isal_zlib.crc32(body))
        answer = self._s3.upload_part(
            **self._target, UploadId=self._upload_id, PartNumber=number, Body=body, ChecksumCRC32=checksum
        )
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC32": checksum}
