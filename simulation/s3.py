"""A boto3 client of S3 with one bucket in memory. It verifies the checksums of objects and uploads.

tests/contract/test_s3.py runs the same tests on it and on moto's S3.
"""

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
    "twice": "object written twice, its response lost",
    "lost": "object written, its response lost for good",
    "refused": "S3 refuses",
}
_READ_FAULTS = {"refused": "S3 refuses"}


@dataclass
class Upload:
    """A multipart upload that is neither complete nor aborted. excused: it could not be aborted."""

    key: str
    parts: dict[int, bytes] = field(default_factory=dict)
    task: Any = None
    excused: bool = False


class Bucket:
    """The objects. changed: called with the key of every object that is written or deleted."""

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
    """The client. `calls` decides when and whether a call happens; without it, calls happen immediately."""

    def __init__(self, bucket: Bucket, calls: Calls | None = None, *, keys_per_page: int = 1000) -> None:
        self._bucket = bucket
        self._calls = calls
        self._keys_per_page = keys_per_page
        self._made = 0

    def _call(
        self,
        what: str,
        effect: Callable[[bool], dict[str, Any]],
        *,
        seconds: float = _TAKES,
        faults: dict[str, str] = _FAULTS,
    ) -> dict[str, Any]:
        if self._calls is None:
            return effect(False)
        return self._calls.aws(what, effect, seconds=seconds, **faults)

    def put_object(
        self, *, Bucket: str, Key: str, Body: bytes, ContentType: str, **more: Any
    ) -> dict[str, Any]:
        """See boto3."""

        def put(again: bool) -> dict[str, Any]:
            if more.get("IfNoneMatch") == "*" and Key in self._bucket.objects:
                raise refusal("PreconditionFailed", "PutObject")
            if "IfMatch" in more and Key not in self._bucket.objects:
                raise refusal("NoSuchKey", "PutObject")
            if "IfMatch" in more and more["IfMatch"] != _etag(self._bucket.objects[Key]):
                raise refusal("PreconditionFailed", "PutObject")
            _check(more.get("ChecksumCRC32"), Body, "PutObject")
            self._bucket.put(Key, Body)
            return {}

        return self._call(f"s3 put {Key} ({len(Body)} bytes)", put)

    def create_multipart_upload(self, *, Bucket: str, Key: str, **more: Any) -> dict[str, Any]:
        """See boto3. A repeated call creates another upload, and the id of the first is lost."""
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
            return self._call(f"s3 create upload {Key}", create)
        except Exception:
            for upload in mine:  # its id was never returned
                upload.excused = True
            raise

    def upload_part(
        self, *, Bucket: str, Key: str, UploadId: str, PartNumber: int, Body: bytes, ChecksumCRC32: str
    ) -> dict[str, Any]:
        """See boto3."""

        def upload(again: bool) -> dict[str, Any]:
            _check(ChecksumCRC32, Body, "UploadPart")
            self._open(UploadId, "UploadPart").parts[PartNumber] = bytes(Body)  # the caller reuses its buffer
            return {"ETag": f'"{zlib.crc32(Body):08x}"'}

        what = f"s3 upload {UploadId} part {PartNumber} ({len(Body)} bytes)"
        return self._call(what, upload)

    def complete_multipart_upload(
        self, *, Bucket: str, Key: str, UploadId: str, MultipartUpload: Any, **more: Any
    ) -> dict[str, Any]:
        """See boto3. An upload that is complete may be completed again."""

        def complete(again: bool) -> dict[str, Any]:
            if again and UploadId in self._bucket.finished:
                return {}
            upload = self._open(UploadId, "CompleteMultipartUpload")
            if more["IfNoneMatch"] == "*" and Key in self._bucket.objects:
                raise refusal("PreconditionFailed", "CompleteMultipartUpload")
            body = b"".join(upload.parts[part["PartNumber"]] for part in MultipartUpload["Parts"])
            if len(body) != more["MpuObjectSize"]:
                raise refusal("InvalidRequest", "CompleteMultipartUpload")
            _check(more["ChecksumCRC32"], body, "CompleteMultipartUpload")
            self._bucket.finished[UploadId] = Key
            del self._bucket.uploads[UploadId]
            self._bucket.put(Key, body)
            return {}

        return self._call(f"s3 complete {UploadId} {Key}", complete, seconds=_TAKES * 4)

    def abort_multipart_upload(self, *, Bucket: str, Key: str, UploadId: str) -> dict[str, Any]:
        """See boto3."""

        def abort(again: bool) -> dict[str, Any]:
            self._open(UploadId, "AbortMultipartUpload")
            del self._bucket.uploads[UploadId]
            return {}

        try:
            return self._call(f"s3 abort {UploadId}", abort, faults={"refused": "abort refused"})
        except Exception:
            if UploadId in self._bucket.uploads:
                self._bucket.uploads[UploadId].excused = True
            raise

    def get_paginator(self, operation: str) -> "_Lister | _UploadLister":
        """See boto3."""
        if operation == "list_multipart_uploads":
            return _UploadLister(self)
        assert operation == "list_objects_v2"
        return _Lister(self)

    def list_page(self, prefix: str, after: str) -> dict[str, Any]:
        """List the page of keys that follow the key `after`."""

        def list_keys(again: bool) -> dict[str, Any]:
            keys = sorted(key for key in self._bucket.objects if key.startswith(prefix) and key > after)
            page = [{"Key": key} for key in keys[: self._keys_per_page]]
            return {"IsTruncated": len(page) < len(keys), **({"Contents": page} if page else {})}

        return self._call(f"s3 list {prefix}", list_keys, faults=_READ_FAULTS)

    def list_objects_v2(self, *, Bucket: str, Prefix: str, MaxKeys: int) -> dict[str, Any]:
        """See boto3."""
        page = self.list_page(Prefix, "")
        return {**page, "Contents": page["Contents"][:MaxKeys]} if "Contents" in page else page

    def list_uploads(self, prefix: str) -> dict[str, Any]:
        """List the open uploads of keys that begin with a prefix."""

        def list_all(again: bool) -> dict[str, Any]:
            found = [
                {"Key": upload.key, "UploadId": upload_id}
                for upload_id, upload in self._bucket.uploads.items()
                if upload.key.startswith(prefix)
            ]
            return {"Uploads": found} if found else {}

        return self._call(f"s3 list uploads {prefix}", list_all, faults=_READ_FAULTS)

    def head_object(self, *, Bucket: str, Key: str, ChecksumMode: str) -> dict[str, Any]:
        """See boto3."""

        def head(again: bool) -> dict[str, Any]:
            if Key not in self._bucket.objects:
                raise refusal("404", "HeadObject")
            body = self._bucket.objects[Key]
            checksum = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
            return {"ContentLength": len(body), "ChecksumCRC32": checksum}

        return self._call(f"s3 head {Key}", head, faults=_READ_FAULTS)

    def delete_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        """See boto3."""

        def delete(again: bool) -> dict[str, Any]:
            self._bucket.objects.pop(Key, None)
            self._bucket.changed(Key)
            return {}

        return self._call(f"s3 delete {Key}", delete)

    def get_object(self, *, Bucket: str, Key: str, Range: str = "bytes=0-") -> dict[str, Any]:
        """See boto3. Range: "bytes=-8" for the last eight bytes, or all."""

        def get(again: bool) -> dict[str, Any]:
            if Key not in self._bucket.objects:
                raise refusal("NoSuchKey", "GetObject")
            start = int(Range.removeprefix("bytes=").removesuffix("0-") or 0)
            body = self._bucket.objects[Key]
            return {"Body": io.BytesIO(body[start:]), "ETag": _etag(body)}

        return self._call(f"s3 get {Key}", get, faults=_READ_FAULTS)

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
        page = self._client.list_page(Prefix, "")
        yield page
        while page["IsTruncated"]:
            page = self._client.list_page(Prefix, page["Contents"][-1]["Key"])
            yield page


class _UploadLister:
    def __init__(self, client: S3) -> None:
        self._client = client

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:
        """See boto3."""
        yield self._client.list_uploads(Prefix)


def _etag(body: bytes) -> str:
    return f'"{zlib.crc32(body):08x}"'


def _check(checksum: str | None, body: bytes, operation: str) -> None:
    if checksum is not None and base64.b64decode(checksum) != zlib.crc32(body).to_bytes(4, "big"):
        raise refusal("BadDigest", operation)
