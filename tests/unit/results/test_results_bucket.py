"""ResultsBucket stores a result or records as a whole, verified object, or stores nothing."""

import csv
import gzip
import io
import json
import random
import zipfile
import zlib

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_export.aws.results_bucket import ResultsBucket
from crm_export.errors import (
    CorruptZip,
    CountMismatch,
    RecordWithoutId,
    ResultError,
    StorageRefused,
    TruncatedZip,
)
from crm_export.exports.model import Stored
from simulation.calls import refusal
from tests.support.zips import FLAVOURS, cut, deflated_data, hand_made, zip_of
from tests.unit.results.conftest import KEY, PART_BYTES, RecordingS3

JOB = "554023000000568002"  # the name of the entry in `zip_of`
EVENT = b"BEGIN:VEVENT\r\nEND:VEVENT\r\n"
MANY = 300  # records: more than a part, with gzip, too
FORMATS = ["csv", "csv.gz", "ics"]


def csv_of(records: int) -> bytes:
    noise = random.Random(1)
    return b"Id,Note\r\n" + b"".join(
        b'%d,"%s\n"\r\n' % (number, noise.randbytes(20).hex().encode()) for number in range(records)
    )


def store(results, data: bytes, expected: int, file_format="csv", key=KEY):
    chunks = cut(data, 500)
    return results.store_result(chunks, key, file_format=file_format, expected_records=expected, job_id=JOB)


# --- store_result ---


@pytest.mark.parametrize("flavour", ["deflated, descriptor", "stored, descriptor"])
@pytest.mark.parametrize("file_format", ["csv", "csv.gz"])
@pytest.mark.parametrize("records", [0, 1, MANY])
def test_store_result_writes_the_content_and_describes_it(results, s3, records, file_format, flavour):
    content = csv_of(records)
    archive = FLAVOURS[flavour](content)
    stored = store(results, archive, records, file_format)
    data = s3.bucket.objects[KEY]
    assert stored == Stored(KEY, records, len(data), f"{zlib.crc32(content):08x}", ("Id", "Note"))
    assert not s3.bucket.uploads
    assert len(s3.made("upload_part")) == (len(data) // PART_BYTES + 1 if records == MANY else 0)
    (created,) = s3.made("put_object", "create_multipart_upload")
    assert "ContentEncoding" not in created
    if file_format == "csv":
        assert data == content
        assert created["ContentType"] == "text/csv; charset=utf-8"
    else:
        assert gzip.decompress(data) == content
        assert data[10:-8] == (deflated_data(archive) or data[10:-8])
        assert len(data) < len(content) or records < 2
        assert created["ContentType"] == "application/gzip"


@pytest.mark.parametrize("events", [0, 3])
def test_store_result_writes_a_calendar_unchanged(results, s3, events):
    content = b"BEGIN:VCALENDAR\r\n" + EVENT * events + b"END:VCALENDAR\r\n"
    stored = store(results, zip_of(content), events, "ics")
    assert s3.bucket.objects == {KEY: content}
    assert (stored.records, stored.bytes, stored.header) == (events, len(content), ())
    assert s3.made("put_object")[0]["ContentType"] == "text/calendar; charset=utf-8"


def test_store_result_accepts_an_empty_calendar_file(results):
    assert store(results, zip_of(b""), 0, "ics").records == 0


@pytest.mark.parametrize(
    ("content", "error"), [(b"BEGIN:VEVENT\n", CorruptZip), (b"BEGIN:VCALENDAR\n", CountMismatch)]
)
def test_store_result_refuses_an_invalid_calendar(results, s3, content, error):
    with pytest.raises(error):
        store(results, zip_of(content), 1, "ics")
    assert s3.is_empty


@pytest.mark.parametrize("expected", [0, 2, 4])
@pytest.mark.parametrize("file_format", FORMATS)
def test_store_result_refuses_any_other_number_of_records(results, s3, file_format, expected):
    content = EVENT * 3 if file_format == "ics" else csv_of(3)
    with pytest.raises(CountMismatch, match=f"has 3 records, but Zoho counted {expected}"):
        store(results, zip_of(content), expected, file_format)
    assert s3.is_empty


@pytest.mark.parametrize("file_format", ["csv", "csv.gz"])
@pytest.mark.parametrize("records", [10, MANY])
def test_store_result_of_an_invalid_result_leaves_no_object_and_no_upload(results, s3, records, file_format):
    content = csv_of(records)
    with pytest.raises(CountMismatch, match=f"has {records} records, but Zoho counted {records + 1}"):
        store(results, zip_of(content), records + 1, file_format)
    with pytest.raises(TruncatedZip):
        store(results, zip_of(content)[:-100], records, file_format)
    with pytest.raises(CorruptZip):
        store(results, hand_made(content, crc32=7), records, file_format)
    assert s3.is_empty
    assert len(s3.made("abort_multipart_upload")) == (3 if records == MANY else 0)


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(
    "flavour", ["deflated", "deflated, descriptor", "stored, descriptor", "deflated, zip64"]
)
def test_store_result_truncated_at_any_offset_stores_nothing(results, s3, flavour, file_format):
    whole = FLAVOURS[flavour](EVENT if file_format == "ics" else b"Id\n1\n")
    for length in range(len(whole)):
        with pytest.raises(TruncatedZip):
            store(results, whole[:length], 1, file_format)
    assert s3.is_empty
    assert store(results, whole, 1, file_format).records == 1


def test_store_result_with_a_failing_source_aborts_the_upload(results, s3):
    def chunks():
        yield zip_of(csv_of(MANY))[:5_000]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        results.store_result(chunks(), KEY, file_format="csv", expected_records=MANY, job_id=JOB)
    assert s3.made("upload_part")
    assert s3.is_empty


@pytest.mark.parametrize(
    ("operation", "error", "reason"),
    [
        ("create_multipart_upload", refusal("AccessDenied", "CreateMultipartUpload"), "AccessDenied"),
        ("upload_part", ReadTimeoutError(endpoint_url="https://s3"), "ReadTimeoutError"),
        ("complete_multipart_upload", refusal("SlowDown", "CompleteMultipartUpload"), "SlowDown"),
    ],
)
def test_store_result_refused_by_s3_aborts_the_upload(results, s3, operation, error, reason):
    s3.errors[operation] = error
    with pytest.raises(StorageRefused, match=f"S3 refused to write {KEY}: {reason}"):
        store(results, zip_of(csv_of(MANY)), MANY)
    assert s3.is_empty


@pytest.mark.parametrize("name", [f"{JOB}.csv", f"{JOB}.ics"])
def test_store_result_refuses_the_result_of_another_job(results, s3, name):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(name, "Id\r\n1\r\n")

    def store_for(job_id):
        return results.store_result(
            [data.getvalue()], KEY, file_format="csv", expected_records=1, job_id=job_id
        )

    with pytest.raises(CorruptZip, match="is that of job 554023000000568002, not of job 554023000000568003"):
        store_for("554023000000568003")
    assert s3.is_empty
    assert store_for(JOB).records == 1


# --- store_records ---


def pages_of(records: int, size: int = 20):
    for start in range(0, records, size):
        numbers = range(start, min(start + size, records))
        yield [{"id": str(n), "Note": f'"{n}"\n' * 5, "Amount": n} for n in numbers]


def store_records(results, pages, file_format="csv", key=KEY):
    return results.store_records(pages, key, fields=["Note", "Amount"], file_format=file_format)


@pytest.mark.parametrize("file_format", ["csv", "csv.gz"])
@pytest.mark.parametrize("records", [0, 1, MANY])
def test_store_records_writes_a_csv_and_describes_it(results, s3, records, file_format):
    stored = store_records(results, pages_of(records), file_format)
    data = s3.bucket.objects[KEY]
    content = gzip.decompress(data) if file_format == "csv.gz" else data
    header, *rows = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
    assert header == ["Id", "Note", "Amount"]
    assert rows == [[str(n), f'"{n}"\n' * 5, str(n)] for n in range(records)]
    assert stored == Stored(KEY, records, len(data), f"{zlib.crc32(content):08x}", tuple(header))
    assert len(s3.made("upload_part")) == (len(data) // PART_BYTES + 1 if records == MANY else 0)
    assert not s3.bucket.uploads


@given(st.lists(st.lists(st.text(max_size=5), max_size=4), max_size=4))
@settings(max_examples=30, deadline=None)
def test_stored_records_are_read_back(values):
    s3 = RecordingS3()
    results = ResultsBucket(s3, "results")
    pages = [[{"id": f"{i}{j}", "A": value} for j, value in enumerate(page)] for i, page in enumerate(values)]
    for key, file_format in (("part-1.csv", "csv"), ("part-1.csv.gz", "csv.gz")):
        stored = results.store_records(pages, key, fields=["A"], file_format=file_format)
        assert list(results.read_ids(key)) == [record["id"] for page in pages for record in page]
        assert stored.records == sum(map(len, pages))
    content = gzip.decompress(s3.bucket.objects["part-1.csv.gz"])
    assert content == s3.bucket.objects["part-1.csv"]
    rows = list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
    assert [row[1] for row in rows[1:]] == [value for page in values for value in page]


@pytest.mark.parametrize("file_format", ["csv", "csv.gz"])
@pytest.mark.parametrize("before", [10, MANY])
def test_store_records_with_failing_pages_leaves_no_object_and_no_upload(results, s3, before, file_format):
    def failing():
        yield from pages_of(before)
        raise ConnectionError

    def without_id():
        yield from pages_of(before)
        yield [{"Note": "x"}]

    with pytest.raises(ConnectionError):
        store_records(results, failing(), file_format)
    with pytest.raises(RecordWithoutId):
        store_records(results, without_id(), file_format)
    assert s3.is_empty


# --- read_ids ---


@pytest.mark.parametrize("file_format", ["csv", "csv.gz"])
def test_read_ids_yields_the_ids_of_a_stored_part(results, file_format):
    store_records(results, pages_of(MANY), file_format, key=f"part-00001.{file_format}")
    assert list(results.read_ids(f"part-00001.{file_format}")) == [str(n) for n in range(MANY)]


def test_read_ids_closes_the_response_when_it_is_stopped_early(results, s3):
    store_records(results, pages_of(MANY))
    body = s3.get_object(Bucket="results", Key=KEY)["Body"]
    s3.get_object = lambda **_: {"Body": body}
    ids = results.read_ids(KEY)
    assert next(ids) == "0"
    ids.close()
    assert body.closed


def test_read_ids_of_an_unreadable_object_names_its_key(results, s3):
    s3.bucket.objects["a.csv"] = b"Name\r\nAnn\r\n"
    with pytest.raises(ResultError, match=r"The ids of a\.csv cannot be read"):
        list(results.read_ids("a.csv"))


def test_read_ids_of_a_missing_object_names_its_key(results):
    with pytest.raises(StorageRefused, match=r"S3 refused to read part-00009\.csv: NoSuchKey"):
        list(results.read_ids("part-00009.csv"))


# --- delete_other_parts and write_manifest ---


def test_delete_other_parts_deletes_only_parts_of_the_folder_that_are_not_kept(results, s3):
    kept = {"x/e1/part-00001.csv", "x/e1/g2/part-00001.csv"}
    stay = {*kept, "x/e1/manifest.json", "x/e1/part-notes/readme.txt", "x/e10/part-00001.csv", "x/part-1.csv"}
    other = {"x/e1/part-00002.csv", "x/e1/part-00003.csv.gz", "x/e1/g1/part-00001.csv"}
    other |= {f"x/e1/g1-part-{n:05d}.csv" for n in range(5)}
    s3.bucket.objects.update(dict.fromkeys(stay | other, b""))
    assert results.delete_other_parts("x/e1", kept) == len(other)
    assert results.delete_other_parts("x/e1", kept) == 0
    assert set(s3.bucket.objects) == stay


def test_delete_other_parts_refused_by_s3_names_the_folder(results, s3):
    s3.bucket.objects["x/e1/part-00001.csv"] = b""
    s3.errors["delete_object"] = refusal("AccessDenied", "DeleteObject")
    with pytest.raises(StorageRefused, match="S3 refused to delete from x/e1: AccessDenied"):
        results.delete_other_parts("x/e1", set())


def test_write_manifest_never_replaces_a_manifest(results, s3):
    results.write_manifest("m.json", {"records": 1})
    results.write_manifest("m.json", {"records": 2})
    assert json.loads(s3.bucket.objects["m.json"]) == {"records": 1}
    assert s3.made("put_object")[0]["ContentType"] == "application/json"


def test_write_manifest_raises_any_other_error_of_s3(results, s3):
    s3.errors["put_object"] = refusal("NoSuchBucket", "PutObject")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        results.write_manifest("m.json", {})
