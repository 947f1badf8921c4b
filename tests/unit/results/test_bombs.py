"""Results that grow for ever, or far beyond their records: refused before they cost anything."""

import itertools
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import pytest

from crm_export.aws import results_bucket as store_module
from crm_export.aws.results_bucket import S3Results
from crm_export.errors import CorruptZip, CountMismatch, ResultTooLarge
from tests.support.zips import hand_made

MIB = 1024 * 1024
EVENT = b"BEGIN:VEVENT\r\nDESCRIPTION:"


class S3:
    """Takes everything, keeps nothing: how much, and what became of it."""

    def __init__(self):
        self.taken, self.made, self.aborted = 0, 0, 0

    def create_multipart_upload(self, **_):
        return {"UploadId": "1"}

    def upload_part(self, Body, **_):  # noqa: N803 (boto3's name)
        self.taken += len(Body)
        return {"ETag": "x"}

    def abort_multipart_upload(self, **_):
        self.aborted += 1

    def put_object(self, **_):
        self.made += 1

    complete_multipart_upload = put_object


def bomb(first: bytes, again: bytes, repeats: int = 1000):
    """The chunks of a ZIP without end: a deflate stream of `first`, and of `again` for ever."""
    compressor = zlib.compressobj(9, wbits=-15)
    yield hand_made(b"")[:35] + compressor.compress(first)
    for _ in itertools.count():
        yield compressor.compress(again * repeats)


def store(s3, chunks, expected=200_000, file_type="csv"):
    return S3Results(s3, "results").store(chunks, "part-1", file_type=file_type, expected_records=expected)


@pytest.mark.parametrize("file_type", ["csv", "csv.gz"])
@pytest.mark.parametrize(
    ("first_and_again", "expected", "error", "says"),
    [
        ((b"", b"\0" * 1000), 200_000, CorruptZip, "no header line within its first MiB"),
        ((b'"', b"\0\n" * 1000), 200_000, CorruptZip, "no header line within its first MiB"),
        ((b"Id\n1", b"0" * 1000), 200_000, ResultTooLarge, r"to 1\d{7} bytes with 0 records .* 16777216"),
        ((b'Id\n"1', b"\n1" * 1000), 200_000, ResultTooLarge, "with 0 records in them; allowed are 16777216"),
        ((b"Id\n1\n2\n", b"\r\n" * 1000), 200_000, ResultTooLarge, "with 2 records .* allowed are 25165824"),
        ((b"Id", b"\n1" * 1000), 200_000, CountMismatch, r"holds \d+ records and more; Zoho counted 200000"),
        ((b"Id", b"\n1" * 1000), 0, CountMismatch, r"holds \d+ records and more; Zoho counted 0"),
    ],
    ids=["zeros", "header", "field", "quoted field", "blank lines", "records", "records that none expects"],
)
def test_a_bomb_is_refused_early_and_leaves_nothing(first_and_again, expected, error, says, file_type):
    s3 = S3()
    with pytest.raises(error, match=says):
        store(s3, bomb(*first_and_again), expected, file_type)
    assert s3.taken < 26 * MIB
    assert s3.made == 0
    assert s3.aborted == (s3.taken > 0)


def test_a_calendar_is_held_to_the_same():
    with pytest.raises(ResultTooLarge, match="with 0 records in them; allowed are 16777216"):
        store(S3(), bomb(EVENT, b"X" * 1000), 20_000, "ics")
    with pytest.raises(ResultTooLarge, match="with 1 records in them; allowed are 20971520"):
        store(S3(), bomb(EVENT + b"\r\n", b"X\n" * 1000), 20_000, "ics")
    with pytest.raises(CountMismatch, match="Zoho counted 20000"):
        store(S3(), bomb(b"", EVENT + b"\r\nEND:VEVENT\r\n"), 20_000, "ics")


def test_what_has_too_many_large_records_ends_at_what_s3_can_hold(monkeypatch):
    monkeypatch.setattr(store_module, "LARGEST_OBJECT", 60 * MIB)
    s3 = S3()
    with pytest.raises(ResultTooLarge, match="allowed are 62914560"):
        store(s3, bomb(b"Id\n", b"1" * 2000 + b"\n"))
    assert 50 * MIB < s3.taken < 62 * MIB


def test_too_large_is_final_as_another_download_would_be_as_large():
    assert not ResultTooLarge("x").retryable


def test_the_largest_records_zoho_can_have_are_stored():
    """500 fields of 255 characters of 4 bytes each, and 10 texts of 50,000: in one row, and another."""
    row = b",".join([b"\xf0\x9f\x98\x80" * 255] * 500 + [b"\xf0\x9f\x98\x80" * 50_000] * 10) + b"\r\n"
    s3 = S3()
    stored = store(s3, [hand_made(b"Id\r\n" + row * 20)], 20)
    assert (stored["records"], stored["bytes"]) == (20, 4 + 20 * len(row))
    assert s3.made == 1


def test_a_sparse_result_that_inflates_two_hundredfold_is_stored():
    """No ratio is a limit: every record without a value but its id."""
    content = b"Id" + b"," * 499 + b"\r\n" + (b"1" + b"," * 499 + b"\r\n") * 40_000
    whole = hand_made(content)
    assert len(content) > 200 * len(whole)
    assert store(S3(), [whole], 40_000)["records"] == 40_000


@pytest.mark.process
def test_refusing_a_bomb_takes_little_memory():
    """A whole process, with S3 as a stub; each chunk of 250 KB inflates to 250 MB."""
    script = """
        import zlib
        from pathlib import Path
        from crm_export.errors import ResultTooLarge
        from crm_export.aws import results_bucket as store_module
        from tests.support.zips import hand_made
        from tests.unit.results.test_bombs import S3, store

        def peak_kb():
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

        def bomb():
            compressor = zlib.compressobj(9, wbits=-15)
            yield hand_made(b"")[:35] + compressor.compress(b"Id\\n") + compressor.flush(zlib.Z_FULL_FLUSH)
            row = b"1" * 1_000_000 + b"\\n"
            rows = b"".join(compressor.compress(row) for _ in range(250))
            rows += compressor.flush(zlib.Z_FULL_FLUSH)
            while True:
                yield rows

        list(zip(bomb(), range(2)))
        before = peak_kb()
        store_module.LARGEST_OBJECT = 300 * 1024 * 1024
        try:
            store(S3(), bomb())
        except ResultTooLarge as error:
            print(error)
        print(peak_kb() - before)
    """
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={"PYTHONPATH": f"{root}:{root / 'layers/crm_export'}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    said, grown_kb = done.stdout.splitlines()
    assert "allowed are 314572800" in said
    assert int(grown_kb) < 50_000
