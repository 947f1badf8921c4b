"""ObjectWriter sends parts in the background and creates the object at commit, or not at all."""

import base64
import zlib
from concurrent.futures import Executor, Future

import pytest
from botocore.exceptions import ClientError

from crm_export.aws.object_writer import ObjectWriter


def open_writer(s3, **options):
    return ObjectWriter(s3, "results", "a.csv", "text/csv", part_bytes=10, **options)


def write(s3, chunks, **options):
    data = b"".join(chunks)
    with open_writer(s3, **options) as writer:
        for chunk in chunks:
            writer.write(chunk)
        writer.commit(zlib.crc32(data), len(data))
    return data


@pytest.mark.parametrize(
    ("chunks", "parts"),
    [
        ([], []),
        ([b"123456789"], []),
        ([b"1234567890"], [10]),
        ([b"1", b"2" * 8, b"3"], [10]),
        ([b"1" * 35], [10, 10, 10, 5]),
        ([b"1" * 7, b"2" * 7, b"3" * 7], [10, 10, 1]),
    ],
)
def test_writer_sends_full_parts_and_creates_the_object(s3, chunks, parts):
    data = write(s3, chunks)
    assert s3.bucket.objects == {"a.csv": data}
    assert [len(part["Body"]) for part in s3.made("upload_part")] == parts
    assert [part["PartNumber"] for part in s3.made("upload_part")] == list(range(1, len(parts) + 1))
    (created,) = s3.made("put_object", "complete_multipart_upload")
    assert created["ChecksumCRC32"] == base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
    assert not s3.bucket.uploads


def test_multipart_upload_has_one_checksum_and_size_for_the_whole_object(s3):
    write(s3, [b"1" * 35])
    (created,) = s3.made("create_multipart_upload")
    assert (created["ChecksumAlgorithm"], created["ChecksumType"]) == ("CRC32", "FULL_OBJECT")
    (completed,) = s3.made("complete_multipart_upload")
    assert (completed["ChecksumType"], completed["MpuObjectSize"]) == ("FULL_OBJECT", 35)
    for sent, part in zip(completed["MultipartUpload"]["Parts"], s3.made("upload_part"), strict=True):
        assert sent["ChecksumCRC32"] == part["ChecksumCRC32"]
        assert base64.b64decode(part["ChecksumCRC32"]) == zlib.crc32(part["Body"]).to_bytes(4, "big")


@pytest.mark.parametrize("size", [9, 25])
def test_wrong_checksum_at_commit_creates_no_object(s3, size):
    with pytest.raises(ClientError, match="BadDigest"), open_writer(s3) as writer:
        writer.write(bytes(size))
        writer.commit(7, size)
    assert s3.is_empty


@pytest.mark.parametrize("size", [9, 25])
def test_leaving_without_commit_creates_no_object(s3, size):
    with open_writer(s3) as writer:
        writer.write(bytes(size))
    assert s3.is_empty
    assert len(s3.made("abort_multipart_upload")) == (size > 10)


def test_failed_part_is_raised_by_the_next_part_and_the_upload_is_aborted(s3):
    s3.errors["upload_part"] = OSError("connection reset")
    with pytest.raises(OSError, match="connection reset"), open_writer(s3) as writer:
        writer.write(bytes(10))
        writer.write(bytes(10))
    assert s3.is_empty


def test_failed_last_part_is_raised_by_commit(s3):
    s3.errors["upload_part"] = OSError("connection reset")
    with pytest.raises(OSError, match="connection reset"), open_writer(s3) as writer:
        writer.write(bytes(10))
        writer.commit(0, 10)
    assert s3.is_empty


def test_write_does_not_wait_for_the_part_it_starts_to_send(s3):
    class Idle(Executor):
        """Never runs what is submitted."""

        submitted = 0

        def submit(self, work, /, *args, **kwargs):
            self.submitted += 1
            return Future()

    executor = Idle()
    with open_writer(s3, make_executor=lambda: executor) as writer:
        writer.write(bytes(15))
        assert executor.submitted == 1
    assert s3.is_empty
