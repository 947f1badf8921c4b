"""A result ZIP becomes an object in S3 (moto): whole and checked, or not at all."""

import base64
import csv
import gzip
import io
import json
import random
import zipfile
import zlib
from decimal import Decimal
from functools import partial

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from crm_export.aws.object_writer import ObjectWriter
from crm_export.aws.results_bucket import S3Results
from crm_export.errors import (
    CorruptZip,
    CountMismatch,
    RecordWithoutId,
    ResultError,
    StorageRefused,
    TruncatedZip,
)
from tests.support.zips import FLAVOURS, cut, deflated_data, hand_made, zip_of

BUCKET, KEY = "results", "exports/part-00001.csv"


@pytest.fixture
def s3(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield client


def csv_of(records: int) -> bytes:
    noise = random.Random(1)
    return b"Id,Note\r\n" + b"".join(
        b'%d,"%s\n"\r\n' % (number, noise.randbytes(20).hex().encode()) for number in range(records)
    )


def store(s3, data: bytes, expected: int, file_type="csv"):
    return S3Results(s3, BUCKET).store(cut(data, 65536), KEY, file_type=file_type, expected_records=expected)


def stored_object(s3, key=KEY) -> bytes:
    return s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def checksums(s3) -> list[str]:
    """The CRC32 given to S3 with each object from now on."""
    seen = []

    def note(model, params, **_):
        if model.name in {"PutObject", "CompleteMultipartUpload"}:
            seen.append(params["headers"]["x-amz-checksum-crc32"])

    s3.meta.events.register("before-call.s3", note)
    return seen


def crc32_of(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def uploads(s3):
    return s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])


@pytest.mark.parametrize("records", [0, 1, 400_000])
def test_the_object_is_the_content_with_zohos_crc(s3, records):
    content = csv_of(records)
    stored = store(s3, zip_of(content), records)
    head = s3.head_object(Bucket=BUCKET, Key=KEY, ChecksumMode="ENABLED")
    assert s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == content
    assert stored["records"] == records
    assert stored["bytes"] == head["ContentLength"] == len(content)
    assert stored["header"] == ["Id", "Note"]
    assert head["ContentType"] == "text/csv; charset=utf-8"
    assert not uploads(s3)


def test_a_large_object_is_sent_in_parts_under_one_checksum(s3, monkeypatch):
    calls = []
    s3.meta.events.register("before-call.s3", lambda model, params, **_: calls.append((model.name, params)))
    content = csv_of(400_000)
    stored = store(s3, zip_of(content), 400_000)
    names = [name for name, _ in calls]
    assert names.count("UploadPart") == -(-len(content) // (5 * 1024 * 1024)) > 2
    (completed,) = [params for name, params in calls if name == "CompleteMultipartUpload"]
    assert completed["headers"]["x-amz-checksum-type"] == "FULL_OBJECT"
    assert completed["headers"]["x-amz-mp-object-size"] == str(len(content))
    assert int(stored["crc32"], 16).to_bytes(4, "big") == (
        base64.b64decode(completed["headers"]["x-amz-checksum-crc32"])
    )


@pytest.mark.parametrize("file_type", ["csv", "csv.gz"])
@pytest.mark.parametrize("records", [10, 400_000])
def test_a_result_that_is_not_right_leaves_neither_object_nor_upload(s3, records, file_type):
    content = csv_of(records)
    with pytest.raises(CountMismatch, match=f"holds {records} records; Zoho counted {records + 1}"):
        store(s3, zip_of(content), records + 1, file_type)
    with pytest.raises(TruncatedZip):
        store(s3, zip_of(content)[:-100], records, file_type)
    with pytest.raises(CorruptZip):
        store(s3, hand_made(content, crc32=7), records, file_type)
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)
    assert not uploads(s3)


def test_a_source_that_fails_aborts_the_upload(s3):
    def chunks():
        yield zip_of(csv_of(400_000))[:9_000_000]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        S3Results(s3, BUCKET).store(chunks(), KEY, file_type="csv", expected_records=400_000)
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)
    assert not uploads(s3)


def test_a_part_that_cannot_be_sent_aborts_the_upload(s3):
    def refuse(**_):
        raise OSError("connection reset")

    s3.meta.events.register("before-call.s3.UploadPart", refuse)
    with pytest.raises(OSError, match="connection reset"):
        store(s3, zip_of(csv_of(400_000)), 400_000)
    assert not uploads(s3)


def test_a_writer_that_is_left_early_writes_nothing(s3):
    with ObjectWriter(s3, BUCKET, KEY, "text/csv") as writer:
        writer.write(bytes(20_000_000))
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)
    assert not uploads(s3)


def test_a_manifest_is_written_once(s3):
    results = S3Results(s3, BUCKET)
    results.put_manifest("m.json", {"records": 1})
    results.put_manifest("m.json", {"records": 2})
    assert json.loads(s3.get_object(Bucket=BUCKET, Key="m.json")["Body"].read()) == {"records": 1}


# --- csv.gz ----------------------------------------------------------------------------------


@pytest.mark.parametrize("records", [0, 1, 400_000])
@pytest.mark.parametrize("flavour", ["deflated, descriptor", "stored, descriptor"])
def test_csv_gz_is_the_content_compressed_under_the_checksum_of_what_lies_there(s3, flavour, records):
    given_to_s3 = checksums(s3)
    content = csv_of(records)
    archive = FLAVOURS[flavour](content)
    stored = store(s3, archive, records, "csv.gz")
    data = stored_object(s3)
    head = s3.head_object(Bucket=BUCKET, Key=KEY)
    assert gzip.decompress(data) == content
    assert data[10:-8] == (deflated_data(archive) or data[10:-8])
    assert len(data) < len(content) or records < 2
    assert given_to_s3 == [crc32_of(data)]
    assert stored == {
        "records": records,
        "bytes": len(data),
        "crc32": f"{zlib.crc32(content):08x}",
        "header": ["Id", "Note"],
    }
    assert head["ContentType"] == "application/gzip"
    assert "ContentEncoding" not in head
    assert not uploads(s3)


@pytest.mark.parametrize("expected", [0, 2, 4])
@pytest.mark.parametrize("file_type", ["csv", "csv.gz", "ics"])
def test_neither_more_nor_fewer_records_than_zoho_counted_are_stored(s3, file_type, expected):
    content = b"BEGIN:VEVENT\nEND:VEVENT\n" * 3 if file_type == "ics" else csv_of(3)
    with pytest.raises(CountMismatch, match=f"holds 3 records; Zoho counted {expected}"):
        store(s3, zip_of(content), expected, file_type)
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)


@pytest.mark.parametrize("file_type", ["csv", "csv.gz", "ics"])
def test_no_truncated_zip_ever_becomes_an_object(s3, file_type):
    content = b"BEGIN:VEVENT\nEND:VEVENT\n" if file_type == "ics" else b"Id\n1\n"
    for flavour in ("deflated", "deflated, descriptor", "stored, descriptor", "deflated, zip64"):
        whole = FLAVOURS[flavour](content)
        for length in range(len(whole)):
            with pytest.raises(TruncatedZip):
                store(s3, whole[:length], 1, file_type)
        assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)
        store(s3, whole, 1, file_type)
        s3.delete_object(Bucket=BUCKET, Key=KEY)


# --- ics -------------------------------------------------------------------------------------


@pytest.mark.parametrize("events", [0, 3])
def test_a_calendar_is_stored_as_it_is(s3, events):
    content = b"BEGIN:VCALENDAR\r\n" + b"BEGIN:VEVENT\r\nEND:VEVENT\r\n" * events + b"END:VCALENDAR\r\n"
    stored = store(s3, zip_of(content), events, "ics")
    assert stored_object(s3) == content
    assert (stored["records"], stored["bytes"], stored["header"]) == (events, len(content), [])
    assert s3.head_object(Bucket=BUCKET, Key=KEY)["ContentType"] == "text/calendar; charset=utf-8"


def test_an_empty_calendar_file_without_events_is_right(s3):
    assert store(s3, zip_of(b""), 0, "ics")["records"] == 0


@pytest.mark.parametrize(
    ("content", "error"), [(b"BEGIN:VEVENT\n", CorruptZip), (b"BEGIN:VCALENDAR\n", CountMismatch)]
)
def test_a_calendar_that_is_not_right_is_not_stored(s3, content, error):
    with pytest.raises(error):
        store(s3, zip_of(content), 1, "ics")
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)


# --- records of the records API --------------------------------------------------------------


def pages_of(records: int, size: int = 200):
    for start in range(0, records, size):
        numbers = range(start, min(start + size, records))
        yield [{"id": str(n), "Note": f'"{n}"\n' * 5, "Amount": Decimal(n)} for n in numbers]


def store_records(s3, pages, key=KEY, file_type="csv"):
    fields = ["Note", "Amount"]
    return S3Results(s3, BUCKET).store_records(pages, key, fields=fields, file_type=file_type)


@pytest.mark.parametrize("file_type", ["csv", "csv.gz"])
@pytest.mark.parametrize("records", [0, 1, 150_000])
def test_records_become_an_object_that_csv_reads(s3, records, file_type):
    given_to_s3 = checksums(s3)
    stored = store_records(s3, pages_of(records), file_type=file_type)
    data = stored_object(s3)
    content = gzip.decompress(data) if file_type == "csv.gz" else data
    header, *rows = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
    assert header == ["Id", "Note", "Amount"]
    assert rows == [[str(n), f'"{n}"\n' * 5, str(n)] for n in range(records)]
    assert given_to_s3 == [crc32_of(data)]
    assert stored == {
        "records": records,
        "bytes": len(data),
        "crc32": f"{zlib.crc32(content):08x}",
        "header": header,
    }
    assert not uploads(s3)


@given(st.lists(st.lists(st.text(max_size=5), max_size=4), max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
def test_whatever_is_stored_is_read_back(s3, texts):
    pages = [[{"id": f"{i}{j}", "A": text} for j, text in enumerate(page)] for i, page in enumerate(texts)]
    results = S3Results(s3, BUCKET)
    for key, file_type in (("part-1.csv", "csv"), ("part-1.csv.gz", "csv.gz")):
        stored = results.store_records(pages, key, fields=["A"], file_type=file_type)
        assert list(results.ids(key)) == [record["id"] for page in pages for record in page]
        assert stored["records"] == sum(map(len, pages))
    content = gzip.decompress(stored_object(s3, "part-1.csv.gz"))
    assert content == stored_object(s3, "part-1.csv")
    rows = list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
    assert [row[1] for row in rows[1:]] == [text for page in texts for text in page]


@pytest.mark.parametrize("file_type", ["csv", "csv.gz"])
@pytest.mark.parametrize("before", [10, 150_000])
def test_pages_that_fail_leave_neither_object_nor_upload(s3, before, file_type):
    def failing():
        yield from pages_of(before)
        raise ConnectionError

    def without_id():
        yield from pages_of(before)
        yield [{"Note": "x"}]

    with pytest.raises(ConnectionError):
        store_records(s3, failing(), file_type=file_type)
    with pytest.raises(RecordWithoutId):
        store_records(s3, without_id(), file_type=file_type)
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)
    assert not uploads(s3)


# --- reading back and deleting ---------------------------------------------------------------


@pytest.mark.parametrize("file_type", ["csv", "csv.gz"])
def test_ids_are_read_as_they_are_asked_for_wherever_their_column_is(s3, file_type):
    results = S3Results(s3, BUCKET)
    key = f"part-00001.{file_type}"
    rows = [b'"a\nb",1', b"\xc3\xa4,2", b"%s,3" % (b"x" * 200_000)]
    content = b"\xef\xbb\xbf" + b"\r\n".join([b"Name,id", *rows])
    results.store([zip_of(content)], key, file_type=file_type, expected_records=3)
    assert list(results.ids(key)) == ["1", "2", "3"]
    results.store_records(pages_of(150_000), key, fields=["Note"], file_type=file_type)
    found = results.ids(key)
    assert [next(found) for _ in range(3)] == ["0", "1", "2"]
    found.close()
    assert list(results.ids(key)) == [str(n) for n in range(150_000)]


@pytest.mark.parametrize(
    ("key", "data"),
    [
        ("a.csv", b"Name\r\nAnn\r\n"),
        ("b.csv", b'Id,Name\r\n1,"Ann'),
        ("c.csv", b""),
        ("d.csv", b"Name,Id\r\n1\r\n"),
        ("e.csv", b"Id\r\n\xff\r\n"),
        ("f.csv.gz", gzip.compress(b"Id\r\n1\r\n")[:-3]),
        ("g.csv.gz", gzip.compress(b"Id\r\n1\r\n")[:-8] + bytes(8)),
        ("h.csv.gz", b"Id\r\n1\r\n"),
        ("i.csv.gz", gzip.compress(b"Id\r\n1\r\n")[:12] + b"\xff" * 30),
    ],
)
def test_what_is_no_such_file_is_told_by_its_name(s3, key, data):
    s3.put_object(Bucket=BUCKET, Key=key, Body=data)
    with pytest.raises(ResultError, match=rf"The ids of {key} cannot be read"):
        list(S3Results(s3, BUCKET).ids(key))


def test_no_flipped_bit_of_a_gzip_goes_unseen(s3):
    content = b"Id\r\n" + b"".join(b"%d\r\n" % number**3 for number in range(100))
    whole = gzip.compress(content)
    results = S3Results(s3, BUCKET)
    for offset in range(10, len(whole)):
        broken = bytearray(whole)
        broken[offset] ^= 0x55
        s3.put_object(Bucket=BUCKET, Key="a.csv.gz", Body=bytes(broken))
        with pytest.raises(ResultError, match="The ids of"):
            list(results.ids("a.csv.gz"))


def test_an_object_that_is_not_there_is_told(s3):
    with pytest.raises(StorageRefused, match=r"S3 did not give part-00009\.csv: NoSuchKey"):
        list(S3Results(s3, BUCKET).ids("part-00009.csv"))


def test_only_parts_of_the_folder_that_are_not_kept_are_deleted(s3):
    kept = {"x/e1/part-00001.csv", "x/e1/g2/part-00001.csv"}
    stay = {*kept, "x/e1/manifest.json", "x/e1/part-notes/readme.txt", "x/e10/part-00001.csv", "x/part-1.csv"}
    gone = {"x/e1/part-00002.csv", "x/e1/part-00003.csv.gz", "x/e1/g1/part-00001.csv"}
    gone |= {f"x/e1/g1-part-{n:05d}.csv" for n in range(1005)}
    for key in stay | gone:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"")
    results = S3Results(s3, BUCKET)
    assert results.delete_others("x/e1", kept) == len(gone)
    assert results.delete_others("x/e1", kept) == 0
    assert {item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET)["Contents"]} == stay


def test_a_bucket_that_is_not_there_is_told_when_cleaning_up(s3):
    with pytest.raises(StorageRefused, match="S3 did not clean up x/e1: NoSuchBucket"):
        S3Results(s3, "no-such-bucket").delete_others("x/e1", set())


@pytest.mark.parametrize("name", ["554023000000568002.csv", "554023000000568002.ics"])
def test_the_result_of_another_job_is_not_stored_even_if_it_holds_as_many_records(s3, name):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(name, "Id\r\n1\r\n")
    store = partial(S3Results(s3, BUCKET).store, [data.getvalue()], "k", file_type="csv", expected_records=1)
    with pytest.raises(CorruptZip, match="of 554023000000568002, not of 554023000000568003"):
        store(entry_name="554023000000568003")
    assert store(entry_name="554023000000568002")["records"] == 1


def test_a_manifest_that_cannot_be_written_is_told(s3):
    with pytest.raises(ClientError, match="NoSuchBucket"):
        S3Results(s3, "no-such-bucket").put_manifest("x/e1/manifest.json", {})
