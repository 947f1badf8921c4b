"""Results that never end, or are far larger than their records explain, are refused early."""

import itertools
import tracemalloc
import zlib

import pytest

from crm_export.aws.results_bucket import ResultsBucket
from crm_export.errors import CorruptZip, CountMismatch, ResultTooLarge
from tests.support.zips import cut, hand_made
from tests.unit.results.conftest import KEY, confirmed

KIB = 1024
EVENT = b"BEGIN:VEVENT\r\nDESCRIPTION:"


def bomb(first: bytes, repeated: bytes):
    """Yield the chunks of an endless ZIP: a deflate stream of `first`, then `repeated` again and again."""
    compressor = zlib.compressobj(9, wbits=-15)
    yield hand_made(b"")[:35] + compressor.compress(first)
    for _ in itertools.count():
        yield compressor.compress(repeated * 1000)


def store(results, chunks, expected=200_000, file_format="csv"):
    return results.store_result(
        chunks,
        KEY,
        file_format=file_format,
        expected_records=expected,
        job_id="554023000000568002",
        confirm=confirmed,
    )


def limited(s3):
    """A bucket that allows 400 KiB, and 200 KiB for each record."""
    return ResultsBucket(
        s3, "results", part_bytes=100 * KIB, max_other_bytes=400 * KIB, max_record_bytes=200 * KIB
    )


@pytest.mark.parametrize("file_format", ["csv", "csv.gz"])
@pytest.mark.parametrize(
    ("content", "expected", "refusal"),
    [
        ((b"Id\n1", b"0" * 1000), 200_000, (ResultTooLarge, r"to 524288 bytes with 0 .* 409600 bytes are")),
        ((b'Id\n"1', b"\n1" * 1000), 200_000, (ResultTooLarge, "with 0 complete records; 409600 bytes")),
        ((b"Id\n1\n2\n", b"\r\n" * 1000), 200_000, (ResultTooLarge, "with 2 .* 819200 bytes are allowed")),
        ((b"Id", b"\n1" * 1000), 200_000, (CountMismatch, r"at least \d+ records, but Zoho counted 200000")),
        ((b"Id", b"\n1" * 1000), 0, (CountMismatch, r"at least \d+ records, but Zoho counted 0")),
    ],
    ids=["field", "quoted field", "blank lines", "records", "records where none are expected"],
)
def test_bomb_is_refused_early_and_stores_nothing(s3, content, expected, refusal, file_format):
    error, message = refusal
    with pytest.raises(error, match=message):
        store(limited(s3), bomb(*content), expected, file_format)
    assert s3.is_empty
    assert sum(len(part["Body"]) for part in s3.made("upload_part")) < 1000 * KIB


@pytest.mark.parametrize("first_and_repeated", [(b"", b"\0" * 1000), (b'"', b"\0\n" * 1000)])
def test_endless_header_is_refused(s3, first_and_repeated):
    with pytest.raises(CorruptZip, match="no complete header line in its first 1048576 bytes"):
        store(ResultsBucket(s3, "results"), bomb(*first_and_repeated))
    assert s3.is_empty


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ((EVENT, b"X" * 1000), ResultTooLarge, "with 0 complete records; 409600 bytes are allowed"),
        (
            (EVENT + b"\r\n", b"X\n" * 1000),
            ResultTooLarge,
            "with 1 complete records; 614400 bytes are allowed",
        ),
        ((b"", EVENT + b"\r\nEND:VEVENT\r\n"), CountMismatch, "but Zoho counted 20000"),
    ],
)
def test_calendar_bomb_is_refused(s3, content, error, message):
    with pytest.raises(error, match=message):
        store(limited(s3), bomb(*content), 20_000, "ics")
    assert s3.is_empty


def test_largest_result_is_what_s3_stores_in_10_000_parts(s3):
    results = ResultsBucket(s3, "results", part_bytes=26)
    with pytest.raises(
        ResultTooLarge, match="to 262144 bytes with 0 complete records; 260000 bytes are allowed"
    ):
        store(results, bomb(b"Id\n", b"1" * 2000 + b"\n"))
    assert s3.is_empty


def test_too_large_result_is_not_downloaded_again():
    assert not ResultTooLarge("x").retryable


def test_largest_records_that_zoho_can_have_are_stored(s3):
    """Rows of 500 fields with 255 four-byte characters, and 10 fields with 50,000."""
    row = b",".join([b"\xf0\x9f\x98\x80" * 255] * 500 + [b"\xf0\x9f\x98\x80" * 50_000] * 10) + b"\r\n"
    stored = store(ResultsBucket(s3, "results"), [hand_made(b"Id\r\n" + row * 8)], 8)
    assert (stored.records, stored.bytes) == (8, 4 + 8 * len(row))
    assert stored.bytes > 16 * KIB * KIB


def test_sparse_result_that_inflates_two_hundredfold_is_stored(s3):
    """The ratio is no limit: these records have no value except their id."""
    commas = b"," * 2_999 + b"\r\n"
    content = b"Id" + commas + b"".join(b"%d" % number + commas for number in range(1, 4_001))
    whole = hand_made(content)
    assert len(content) > 200 * len(whole)
    assert store(ResultsBucket(s3, "results"), [whole], 4_000).records == 4_000


@pytest.mark.parametrize("file_format", ["csv", "csv.gz"])
def test_memory_does_not_grow_with_the_result(file_format):
    """20 MB of content in chunks that inflate a hundredfold: only parts and pieces are in memory."""

    class Discarding:
        def __getattr__(self, operation):
            return lambda **_: {"UploadId": "1", "ETag": "x"}

    row = b"1" * 100_000 + b"\n"
    chunks = cut(hand_made(b"Id\n" + row * 200), 1000)
    results = ResultsBucket(Discarding(), "results", part_bytes=300 * KIB)
    tracemalloc.start()
    try:
        assert store(results, chunks, 200, file_format).records == 200
        assert tracemalloc.get_traced_memory()[1] < 4_000 * KIB
    finally:
        tracemalloc.stop()
