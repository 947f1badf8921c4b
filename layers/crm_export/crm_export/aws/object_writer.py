"""Writes one S3 object as a stream: a multipart upload whose checksum S3 checks against ours.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

import base64
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from isal import isal_zlib

_PART_BYTES = 5 * 1024 * 1024  # S3's least
LARGEST_OBJECT = 10_000 * _PART_BYTES  # S3's most parts


def _base64_crc32(crc32: int) -> str:
    return base64.b64encode(crc32.to_bytes(4, "big")).decode()


class ObjectWriter:
    """The object appears whole at `commit`, or never: leaving the context before aborts the upload.

    Two parts of 5 MiB are held, however large the object: one being filled, one being sent.
    size: of what was written so far, in bytes.
    """

    def __init__(self, s3: Any, bucket: str, key: str, content_type: str) -> None:
        self._s3 = s3
        self._target = {"Bucket": bucket, "Key": key}
        self._content_type = content_type
        self._filling = bytearray()
        self._upload_id: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._sending: Future[dict[str, Any]] | None = None
        self._thread = ThreadPoolExecutor(1)
        self.size = 0
        self._committed = False

    def __enter__(self) -> Self:
        return self

    def write(self, chunk: bytes) -> None:
        """Take the next bytes; sends a part when one is full."""
        self.size += len(chunk)
        while len(self._filling) + len(chunk) >= _PART_BYTES:
            room = _PART_BYTES - len(self._filling)
            self._filling += chunk[:room]
            chunk = chunk[room:]
            self._send_part()
        self._filling += chunk

    def commit(self, crc32: int) -> None:
        """Make the object, if its CRC32 is this; S3 refuses it otherwise."""
        if self._upload_id is None:
            self._s3.put_object(
                **self._target,
                Body=bytes(self._filling),
                ContentType=self._content_type,
                ChecksumCRC32=_base64_crc32(crc32),
            )
        else:
            if self._filling:
                self._send_part()
            self._wait_for_part()
            self._s3.complete_multipart_upload(
                **self._target,
                UploadId=self._upload_id,
                MultipartUpload={"Parts": self._parts},
                ChecksumCRC32=_base64_crc32(crc32),
                ChecksumType="FULL_OBJECT",
                MpuObjectSize=self.size,
            )
        self._committed = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)
        if self._upload_id is not None and not self._committed:
            self._s3.abort_multipart_upload(**self._target, UploadId=self._upload_id)

    def _send_part(self) -> None:
        """Hand what was filled to the thread, once the part before is sent."""
        if self._upload_id is None:
            self._upload_id = self._s3.create_multipart_upload(
                **self._target,
                ContentType=self._content_type,
                ChecksumAlgorithm="CRC32",
                ChecksumType="FULL_OBJECT",
            )["UploadId"]
        self._wait_for_part()
        self._sending = self._thread.submit(self._upload, len(self._parts) + 1, bytes(self._filling))
        self._filling = bytearray()

    def _wait_for_part(self) -> None:
        if self._sending is not None:
            self._parts.append(self._sending.result())
            self._sending = None

    def _upload(self, number: int, body: bytes) -> dict[str, Any]:
        checksum = _base64_crc32(isal_zlib.crc32(body))
        answer = self._s3.upload_part(
            **self._target, UploadId=self._upload_id, PartNumber=number, Body=body, ChecksumCRC32=checksum
        )
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC32": checksum}
