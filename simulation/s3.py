"""A boto3 client of S3: whole objects, and multipart uploads whose checksums are checked."""

import base64
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from simulation.calls import Calls, refusal
from simulation.scheduler import current

_TAKES = 0.05
_FAULTS = {
    "twice": "object written twice, its answer lost",
    "lost": "object written, its answer lost for good",
    "refused": "S3 refuses",
}
_READ_FAULTS = {"twice": "S3 refuses", "lost": "S3 refuses", "refused": "S3 refuses"}


@dataclass
class Upload:
    """A multipart upload that is neither complete nor aborted. `excused`: nobody could abort it."""

    key: str
    parts: dict[int, bytes] = field(default_factory=dict)
    task: Any = None
    excused: bool = False


class Bucket:
    """The objects, and who wants to hear of a new one."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, Upload] = {}
        self.finished: dict[str, str] = {}  # completed uploads: what they became
        self.changed: Callable[[str], None] = lambda key: None

    def put(self, key: str, body: bytes) -> None:
        """Make an object."""
        self.objects[key] = body
        self.changed(key)


class S3:
    """The client."""

    def __init__(self, bucket: Bucket, calls: Calls) -> None:
        self._bucket = bucket
        self._calls = calls
        self._made = 0

    def put_object(
        self, *, Bucket: str, Key: str, Body: bytes, ContentType: str, **more: Any
    ) -> dict[str, Any]:
        """See boto3."""

        def put(again: bool) -> dict[str, Any]:
            if more.get("IfNoneMatch") == "*" and Key in self._bucket.objects:
                raise refusal("PreconditionFailed", "PutObject")
            _check(more.get("ChecksumCRC32"), Body, "PutObject")
            self._bucket.put(Key, Body)
            return {}

        return self._calls.aws(f"s3 put {Key} ({len(Body)} bytes)", put, seconds=_TAKES, **_FAULTS)

    def create_multipart_upload(self, *, Bucket: str, Key: str, **more: Any) -> dict[str, Any]:
        """See boto3. Made again, it is another upload, and nobody knows the first."""
        assert (more["ChecksumAlgorithm"], more["ChecksumType"]) == ("CRC32", "FULL_OBJECT")

        def create(again: bool) -> dict[str, Any]:
            for upload in mine:
                upload.excused = True
            self._made += 1
            upload_id, upload = f"upload-{self._made}", Upload(Key, task=current.get())
            mine.append(upload)
            self._bucket.uploads[upload_id] = upload
            return {"UploadId": upload_id}

        mine: list[Upload] = []
        try:
            made: dict[str, Any] = self._calls.aws(
                f"s3 create upload {Key}", create, seconds=_TAKES, **_FAULTS
            )
        except Exception:
            for upload in mine:  # its id was never told
                upload.excused = True
            raise
        return made

    def upload_part(
        self, *, Bucket: str, Key: str, UploadId: str, PartNumber: int, Body: bytes, ChecksumCRC32: str
    ) -> dict[str, Any]:
        """See boto3."""

        def upload(again: bool) -> dict[str, Any]:
            _check(ChecksumCRC32, Body, "UploadPart")
            self._open(UploadId, "UploadPart").parts[PartNumber] = Body
            return {"ETag": f'"{zlib.crc32(Body):08x}"'}

        what = f"s3 upload {UploadId} part {PartNumber} ({len(Body)} bytes)"
        return self._calls.aws(what, upload, seconds=_TAKES, **_FAULTS)

    def complete_multipart_upload(
        self, *, Bucket: str, Key: str, UploadId: str, MultipartUpload: Any, **more: Any
    ) -> dict[str, Any]:
        """See boto3. An upload that is complete may be completed again."""

        def complete(again: bool) -> dict[str, Any]:
            if again and UploadId in self._bucket.finished:
                return {}
            upload = self._open(UploadId, "CompleteMultipartUpload")
            body = b"".join(upload.parts[part["PartNumber"]] for part in MultipartUpload["Parts"])
            if len(body) != more["MpuObjectSize"]:
                raise refusal("InvalidRequest", "CompleteMultipartUpload")
            _check(more["ChecksumCRC32"], body, "CompleteMultipartUpload")
            self._bucket.finished[UploadId] = Key
            del self._bucket.uploads[UploadId]
            self._bucket.put(Key, body)
            return {}

        return self._calls.aws(f"s3 complete {UploadId} {Key}", complete, seconds=_TAKES * 4, **_FAULTS)

    def abort_multipart_upload(self, *, Bucket: str, Key: str, UploadId: str) -> dict[str, Any]:
        """See boto3."""

        def abort(again: bool) -> dict[str, Any]:
            self._open(UploadId, "AbortMultipartUpload")
            del self._bucket.uploads[UploadId]
            return {}

        refused = "abort refused"
        try:
            answer: dict[str, Any] = self._calls.aws(
                f"s3 abort {UploadId}", abort, seconds=_TAKES, twice=refused, lost=refused, refused=refused
            )
        except Exception:
            if UploadId in self._bucket.uploads:
                self._bucket.uploads[UploadId].excused = True
            raise
        return answer

    def get_paginator(self, operation: str) -> "_Lister":
        """See boto3."""
        assert operation == "list_objects_v2"
        return _Lister(self)

    def list_all(self, prefix: str) -> dict[str, Any]:
        """All keys in one page."""

        def found(again: bool) -> dict[str, Any]:
            return {
                "Contents": [{"Key": key} for key in sorted(self._bucket.objects) if key.startswith(prefix)]
            }

        return self._calls.aws(f"s3 list {prefix}", found, seconds=_TAKES, **_READ_FAULTS)

    def delete_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        """See boto3."""

        def delete(again: bool) -> dict[str, Any]:
            self._bucket.objects.pop(Key, None)
            self._bucket.changed(Key)
            return {}

        return self._calls.aws(f"s3 delete {Key}", delete, seconds=_TAKES, **_FAULTS)

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        """See boto3."""

        def get(again: bool) -> dict[str, Any]:
            return {"Body": io.BytesIO(self._bucket.objects[Key])}

        return self._calls.aws(f"s3 get {Key}", get, seconds=_TAKES, **_READ_FAULTS)

    def _open(self, upload_id: str, operation: str) -> Upload:
        upload = self._bucket.uploads.get(upload_id)
        if upload is None:
            raise refusal("NoSuchUpload", operation)
        return upload


class _Lister:
    def __init__(self, client: S3) -> None:
        self._client = client

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:
        """See boto3."""
        yield self._client.list_all(Prefix)


def _check(checksum: str | None, body: bytes, operation: str) -> None:
    if checksum is not None and base64.b64decode(checksum) != zlib.crc32(body).to_bytes(4, "big"):
        raise refusal("BadDigest", operation)
