"""ObjectWriter sends parts in the background and creates the object at commit, or not at all."""

import base64
import time
import zlib
from threading import Event

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from crm_export import deadline
from crm_export.aws.object_writer import ObjectWriter
from crm_export.errors import PartBusy, StorageUnavailable
from simulation.calls import refusal
from tests.unit.results.conftest import HangsError, InlineExecutor, confirmed


def open_writer(s3, **options):
    return ObjectWriter(s3, "results", "a.csv", "text/csv", part_bytes=10, **options)


def write(s3, chunks, confirm=confirmed, **options):
    data = b"".join(chunks)
    with open_writer(s3, **options) as writer:
        for chunk in chunks:
            writer.write(chunk)
        writer.commit(zlib.crc32(data), len(data), confirm)
    return data


@pytest.fixture
def hang():
    """A call that does not return before the end of the test."""
    over = Event()
    yield lambda: over.wait(10)
    over.set()


@pytest.mark.parametrize(
    ("chunks", "parts"),
    [
        ([], [0]),
        ([b"123456789"], [9]),
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
    (completed,) = s3.made("complete_multipart_upload")
    assert completed["ChecksumCRC32"] == base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
    assert not s3.bucket.uploads
    assert not s3.made("abort_multipart_upload")


def test_upload_has_one_checksum_and_size_for_the_whole_object(s3):
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
        writer.commit(7, size, confirmed)
    assert s3.is_empty


def test_commit_never_replaces_an_object(s3):
    s3.bucket.objects["a.csv"] = b"the first"
    with pytest.raises(ClientError, match="PreconditionFailed"):
        write(s3, [b"the second"])
    assert s3.bucket.objects == {"a.csv": b"the first"}
    assert not s3.bucket.uploads


# --- confirm ---


def test_confirm_is_called_once_when_all_parts_are_sent_and_the_object_does_not_exist_yet(s3):
    seen = []
    write(s3, [b"1" * 25], lambda: seen.append((len(s3.made("upload_part")), s3.bucket.objects.copy())))
    assert seen == [(3, {})]


def test_confirm_that_raises_aborts_the_upload_and_completes_nothing(s3):
    def lost():
        raise PartBusy("the lease was taken over")

    with pytest.raises(PartBusy):
        write(s3, [b"1" * 25], lost)
    assert s3.is_empty
    assert len(s3.made("abort_multipart_upload")) == 1
    assert not s3.made("complete_multipart_upload")


# --- Leaving without an object ---


@pytest.mark.parametrize(("size", "aborted"), [(9, 0), (10, 1), (25, 1)])
def test_leaving_without_commit_creates_no_object(s3, size, aborted):
    with open_writer(s3) as writer:
        writer.write(bytes(size))
    assert s3.is_empty
    assert len(s3.made("abort_multipart_upload")) == aborted


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
        writer.commit(0, 10, confirmed)
    assert s3.is_empty


@pytest.mark.parametrize(
    "refused",
    [
        refusal("NoSuchUpload", "AbortMultipartUpload"),
        refusal("AccessDenied", "AbortMultipartUpload"),
        EndpointConnectionError(endpoint_url="https://s3"),
    ],
    ids=["already completed", "refused", "unreachable"],
)
def test_failure_to_abort_does_not_replace_the_error_that_made_it_necessary(s3, caplog, refused):
    s3.errors["abort_multipart_upload"] = refused
    with pytest.raises(ZeroDivisionError), open_writer(s3) as writer:
        writer.write(bytes(10))
        raise ZeroDivisionError
    assert "upload not aborted" in caplog.text


def test_part_that_is_being_sent_arrives_before_the_upload_is_aborted(s3):
    sending, arrived = Event(), []

    def send_slowly():
        sending.set()
        time.sleep(0.05)
        arrived.append("part")

    s3.meanwhile["upload_part"] = send_slowly
    s3.meanwhile["abort_multipart_upload"] = lambda: arrived.append("abort")
    with open_writer(s3) as writer:
        writer.write(bytes(10))
        sending.wait()
    assert arrived == ["part", "abort"]


# --- Calls in the background ---


def test_write_does_not_wait_for_the_part_it_starts_to_send(s3):
    s3.errors["upload_part"] = HangsError()
    with open_writer(s3, make_executor=InlineExecutor) as writer:
        writer.write(bytes(15))
        assert len(s3.made("upload_part")) == 1
    assert s3.is_empty


@pytest.mark.parametrize(
    ("operation", "aborted"),
    [("create_multipart_upload", 0), ("upload_part", 1), ("complete_multipart_upload", 1)],
)
def test_call_that_hangs_is_given_up_while_there_is_time_to_abort(s3, operation, aborted):
    s3.errors[operation] = HangsError()
    began = time.monotonic()
    with (
        deadline.clocked_by(lambda: 0.0),
        deadline.ends_in(20.05),
        pytest.raises(StorageUnavailable, match="did not respond before the function's time was over"),
    ):
        write(s3, [b"1" * 10], make_executor=InlineExecutor)
    assert 0.04 < time.monotonic() - began < 10
    assert len(s3.made("abort_multipart_upload")) == aborted
    assert s3.is_empty


def test_part_that_hangs_in_its_thread_is_given_up_by_the_next_one_and_the_upload_is_aborted(s3, hang):
    s3.meanwhile["upload_part"] = hang
    with deadline.ends_in(20.5):
        with pytest.raises(StorageUnavailable), open_writer(s3) as writer:
            writer.write(bytes(20))
        assert deadline.remaining() > 15
    assert len(s3.made("upload_part")) == 1
    assert s3.is_empty


def test_abort_that_hangs_is_given_up_while_there_is_time_to_record_the_failure(s3, hang):
    now = 0.0

    def time_passes():
        nonlocal now
        now = 889.95

    s3.meanwhile = {"upload_part": time_passes, "abort_multipart_upload": hang}
    s3.errors["upload_part"] = OSError("connection reset")
    began = time.monotonic()
    with deadline.clocked_by(lambda: now), deadline.ends_in(900), pytest.raises(OSError, match="reset"):
        write(s3, [b"1" * 10])
    assert time.monotonic() - began < 5
    assert len(s3.made("abort_multipart_upload")) == 1


def test_timeout_of_a_call_itself_is_raised_unchanged(s3):
    s3.errors["upload_part"] = TimeoutError("its own")
    with deadline.ends_in(900), pytest.raises(TimeoutError, match="its own"):
        write(s3, [b"1" * 10])
    assert s3.is_empty


def test_writer_without_a_deadline_waits_for_its_calls(s3):
    s3.meanwhile["complete_multipart_upload"] = lambda: time.sleep(0.05)
    assert write(s3, [b"1"]) == s3.bucket.objects["a.csv"]
