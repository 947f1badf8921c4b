"""ResultsBucket stores a result or records as a whole, verified object, or stores nothing."""

import csv
import gzip
import io
import json
import random
import zipfile
import zlib
from array import array

import pytest
from botocore.exceptions import EndpointConnectionError, IncompleteReadError, ReadTimeoutError
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_export import deadline
from crm_export.aws.results_bucket import ResultsBucket
from crm_export.errors import (
    CorruptZip,
    CountMismatch,
    ObjectConflict,
    PartBusy,
    RecordRepeated,
    RecordWithoutId,
    ResultError,
    StorageRefused,
    StorageUnavailable,
    TruncatedZip,
)
from crm_export.exports.model import Stored
from crm_export.results.record_ids import PartIds
from simulation.calls import refusal
from tests.support.zips import FLAVOURS, cut, deflated_data, hand_made, with_folder, zip_of
from tests.unit.results.conftest import (
    KEY,
    PART_BYTES,
    HangsError,
    InlineExecutor,
    RecordingS3,
    confirmed,
)

JOB = "554023000000568002"  # the name of the entry in `zip_of`
EVENT = b"BEGIN:VEVENT\r\nEND:VEVENT\r\n"
MANY = 300  # records: more than a part, with gzip, too
FORMATS = ["csv", "csv.gz", "ics"]


def csv_of(records: int) -> bytes:
    noise = random.Random(1)
    return b"Id,Note\r\n" + b"".join(
        b'%d,"%s\n"\r\n' % (number, noise.randbytes(20).hex().encode()) for number in range(1, records + 1)
    )


def store(results, data: bytes, expected: int, file_format="csv", *, key=KEY, job_id=JOB, confirm=confirmed):
    return results.store_result(
        cut(data, 500),
        key,
        file_format=file_format,
        expected_records=expected,
        job_id=job_id,
        confirm=confirm,
    )


# --- store_result ---


@pytest.mark.parametrize("flavour", ["deflated, descriptor", "stored, descriptor"])
@pytest.mark.parametrize("file_format", ["csv", "csv.gz"])
@pytest.mark.parametrize("records", [0, 1, MANY])
def test_store_result_writes_the_content_and_describes_it(results, s3, records, file_format, flavour):
    content = csv_of(records)
    archive = FLAVOURS[flavour](content)
    stored = store(results, archive, records, file_format)
    data = s3.bucket.objects[KEY]
    ids = PartIds.of(array("Q", range(1, records + 1)))
    assert stored == Stored(KEY, records, len(data), f"{zlib.crc32(content):08x}", ("Id", "Note"), ids)
    assert not s3.bucket.uploads
    assert len(s3.made("upload_part")) == len(data) // PART_BYTES + 1
    (created,) = s3.made("create_multipart_upload")
    assert "ContentEncoding" not in created
    if file_format == "csv":
        assert data == content
        assert created["ContentType"] == "text/csv; charset=utf-8"
    else:
        assert gzip.decompress(data) == content
        assert data[10:-8] == (deflated_data(archive) or data[10:-8])
        assert len(data) < len(content) or records < 2
        assert created["ContentType"] == "application/gzip"


def test_result_that_repeats_a_record_in_place_of_another_is_not_stored(results, s3):
    content = csv_of(3).replace(b"\r\n3,", b"\r\n1,")
    with pytest.raises(RecordRepeated, match="Record 1 is in the result more than once"):
        store(results, zip_of(content), 3)
    assert (s3.bucket.objects, s3.bucket.uploads) == ({}, {})


@pytest.mark.parametrize("events", [0, 3])
def test_store_result_writes_a_calendar_unchanged(results, s3, events):
    content = b"BEGIN:VCALENDAR\r\n" + EVENT * events + b"END:VCALENDAR\r\n"
    stored = store(results, zip_of(content), events, "ics")
    assert s3.bucket.objects == {KEY: content}
    assert (stored.records, stored.bytes, stored.header, stored.ids) == (events, len(content), (), None)
    assert s3.made("create_multipart_upload")[0]["ContentType"] == "text/calendar; charset=utf-8"


def test_store_result_accepts_an_empty_calendar_file(results):
    assert store(results, zip_of(b""), 0, "ics").records == 0


NOTHING = {  # how a server may send the result of a job without records
    "no body": b"",
    "ZIP without entries": b"PK\x05\x06" + bytes(18),
    "ZIP with a folder only": with_folder(None),
    "empty file": zip_of(b""),
}


@pytest.mark.parametrize("data", NOTHING.values(), ids=NOTHING)
@pytest.mark.parametrize("file_format", FORMATS)
def test_store_result_without_a_file_is_an_empty_object_if_zoho_counted_no_records(
    results, s3, file_format, data
):
    stored = store(results, data, 0, file_format)
    (body,) = s3.bucket.objects.values()
    assert (gzip.decompress(body) if file_format == "csv.gz" else body) == b""
    assert stored == Stored(KEY, 0, len(body), "00000000", ())


@pytest.mark.parametrize("data", NOTHING.values(), ids=NOTHING)
@pytest.mark.parametrize("file_format", FORMATS)
def test_store_result_without_a_file_is_refused_if_zoho_counted_records(results, s3, file_format, data):
    with pytest.raises(ResultError):
        store(results, data, 1, file_format)
    assert s3.is_empty


@pytest.mark.parametrize("content", [b"Id\n", b"Id,Note"])
def test_store_result_with_only_a_header_is_refused_if_zoho_counted_records(results, s3, content):
    assert store(results, zip_of(content), 0).records == 0
    s3.bucket.objects.clear()
    with pytest.raises(CountMismatch, match="has 0 records, but Zoho counted 2"):
        store(results, zip_of(content), 2)
    assert s3.is_empty


def test_store_result_of_another_job_in_a_folder_is_refused(results, s3):
    assert store(results, with_folder(csv_of(2)), 2).records == 2
    with pytest.raises(CorruptZip, match=f"is that of job {JOB}, not of job 554023000000568003"):
        results.store_result(
            [with_folder(csv_of(2))],
            KEY,
            file_format="csv",
            expected_records=2,
            job_id="554023000000568003",
            confirm=confirmed,
        )


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
        results.store_result(
            chunks(), KEY, file_format="csv", expected_records=MANY, job_id=JOB, confirm=confirmed
        )
    assert s3.made("upload_part")
    assert s3.is_empty


@pytest.mark.parametrize("operation", ["create_multipart_upload", "upload_part", "complete_multipart_upload"])
@pytest.mark.parametrize("code", ["AccessDenied", "NoSuchBucket", "BadDigest"])
def test_store_result_that_s3_refuses_aborts_the_upload(results, s3, operation, code):
    s3.errors[operation] = refusal(code, operation)
    with pytest.raises(StorageRefused, match=f"S3 refused to write {KEY}: {code}"):
        store(results, zip_of(csv_of(MANY)), MANY)
    assert s3.is_empty


@pytest.mark.parametrize("operation", ["create_multipart_upload", "upload_part", "complete_multipart_upload"])
@pytest.mark.parametrize(
    "error",
    [
        refusal("SlowDown", "S3"),
        refusal("ConditionalRequestConflict", "S3"),  # S3 asks to try that again
        ReadTimeoutError(endpoint_url="https://s3"),
    ],
    ids=str,
)
def test_store_result_during_an_outage_aborts_the_upload_and_waits(results, s3, operation, error):
    s3.errors[operation] = error
    with pytest.raises(StorageUnavailable, match=f"S3 could not write {KEY}|S3 did not complete"):
        store(results, zip_of(csv_of(MANY)), MANY)
    assert s3.is_empty


@pytest.mark.parametrize("file_format", FORMATS)
def test_store_result_whose_part_another_worker_took_over_stores_nothing(results, s3, file_format):
    def lost():
        raise PartBusy("the lease was taken over")

    content = EVENT if file_format == "ics" else b"Id\n1\n"
    with pytest.raises(PartBusy):
        store(results, zip_of(content), 1, file_format, confirm=lost)
    assert s3.is_empty
    assert not s3.made("complete_multipart_upload")


@pytest.mark.parametrize("name", [f"{JOB}.csv", f"{JOB}.ics"])
def test_store_result_refuses_the_result_of_another_job(results, s3, name):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(name, "Id\r\n1\r\n")

    with pytest.raises(CorruptZip, match="is that of job 554023000000568002, not of job 554023000000568003"):
        store(results, data.getvalue(), 1, job_id="554023000000568003")
    assert s3.is_empty
    assert store(results, data.getvalue(), 1).records == 1


# --- An object that exists ---


def recompressed(content: bytes) -> bytes:
    """Return a ZIP with the same content as `zip_of`, but with other bytes."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(f"{JOB}.csv", content)
    assert deflated_data(data.getvalue()) != deflated_data(zip_of(content))
    return data.getvalue()


CONTENTS = {"csv": csv_of(MANY), "csv.gz": csv_of(MANY), "ics": EVENT * MANY + b"1"}


@pytest.mark.parametrize("file_format", FORMATS)
def test_second_attempt_with_the_same_content_takes_the_object_of_the_first(results, s3, file_format):
    content = CONTENTS[file_format]
    first = store(results, zip_of(content), MANY, file_format)
    data = s3.bucket.objects[KEY]
    assert store(results, recompressed(content), MANY, file_format) == first
    assert s3.bucket.objects == {KEY: data}
    assert first.bytes == len(data)
    assert not s3.bucket.uploads


@pytest.mark.parametrize("file_format", FORMATS)
def test_second_attempt_with_other_content_leaves_the_object_alone(results, s3, file_format):
    content = CONTENTS[file_format]
    store(results, zip_of(content), MANY, file_format)
    data = s3.bucket.objects[KEY]
    changed = content.replace(b"\r\n1,", b"\r\n1000,").removesuffix(b"1")
    assert changed != content
    with pytest.raises(ObjectConflict, match=f"{KEY} exists, and its content is not what this attempt read"):
        store(results, zip_of(changed), MANY, file_format)
    assert s3.bucket.objects == {KEY: data}
    assert not s3.bucket.uploads


@pytest.mark.parametrize("file_format", ["csv", "csv.gz"])
def test_records_read_again_conflict_only_if_they_have_changed(results, s3, file_format):
    first = store_records(results, pages_of(3), file_format)
    assert store_records(results, pages_of(3), file_format) == first
    with pytest.raises(ObjectConflict):
        store_records(results, pages_of(4), file_format)


@pytest.mark.parametrize(
    "lost",
    [
        refusal("SlowDown", "CompleteMultipartUpload"),
        refusal("InternalError", "CompleteMultipartUpload"),
        ReadTimeoutError(endpoint_url="https://s3"),
        refusal("NoSuchUpload", "CompleteMultipartUpload"),  # boto3 completes it again
        refusal("PreconditionFailed", "CompleteMultipartUpload"),
    ],
    ids=str,
)
@pytest.mark.parametrize("file_format", FORMATS)
def test_object_whose_response_was_lost_is_found(results, s3, lost, file_format):
    s3.lost["complete_multipart_upload"] = lost
    stored = store(results, zip_of(CONTENTS[file_format]), MANY, file_format)
    assert (stored.key, stored.bytes) == (KEY, len(s3.bucket.objects[KEY]))


@pytest.mark.parametrize("neighbour", [None, f"{KEY}.bak"])
def test_upload_that_another_worker_aborted_is_waited_for(results, s3, neighbour):
    if neighbour:
        s3.bucket.objects[neighbour] = b""
    s3.meanwhile["complete_multipart_upload"] = s3.bucket.uploads.clear
    with pytest.raises(StorageUnavailable, match=f"S3 did not complete the upload of {KEY}"):
        store(results, zip_of(csv_of(3)), 3)
    assert KEY not in s3.bucket.objects


def test_existing_object_that_may_not_be_looked_at_is_a_refusal(results, s3):
    s3.bucket.objects[KEY] = b"Id\r\n"
    s3.errors["head_object"] = refusal("403", "HeadObject")
    with pytest.raises(StorageRefused, match=f"S3 refused to write {KEY}: 403"):
        store(results, zip_of(csv_of(3)), 3)


@pytest.mark.parametrize("operation", ["list_objects_v2", "head_object", "get_object"])
def test_existing_object_that_cannot_be_looked_at_now_is_waited_for(results, s3, operation):
    store(results, zip_of(csv_of(3)), 3, "csv.gz")
    s3.errors[operation] = EndpointConnectionError(endpoint_url="https://s3")
    with pytest.raises(StorageUnavailable, match=f"S3 could not write {KEY}: EndpointConnectionError"):
        store(results, zip_of(csv_of(3)), 3, "csv.gz")


@pytest.mark.parametrize("operation", ["list_objects_v2", "head_object", "get_object"])
def test_look_at_an_existing_object_that_hangs_is_given_up(s3, operation):
    results = ResultsBucket(s3, "results", make_executor=InlineExecutor)
    store(results, zip_of(csv_of(3)), 3, "csv.gz")
    s3.errors[operation] = HangsError()
    with (
        deadline.clocked_by(lambda: 0.0),
        deadline.ends_in(20.05),
        pytest.raises(StorageUnavailable, match="did not respond before the function's time was over"),
    ):
        store(results, zip_of(csv_of(3)), 3, "csv.gz")


# --- store_records ---


def pages_of(records: int, size: int = 20):
    for start in range(1, records + 1, size):
        numbers = range(start, min(start + size, records + 1))
        yield [{"id": str(n), "Note": f'"{n}"\n' * 5, "Amount": n} for n in numbers]


def store_records(results, pages, file_format="csv", key=KEY):
    return results.store_records(
        pages, key, fields=["Note", "Amount"], file_format=file_format, confirm=confirmed
    )


@pytest.mark.parametrize("file_format", ["csv", "csv.gz"])
@pytest.mark.parametrize("records", [0, 1, MANY])
def test_store_records_writes_a_csv_and_describes_it(results, s3, records, file_format):
    stored = store_records(results, pages_of(records), file_format)
    data = s3.bucket.objects[KEY]
    content = gzip.decompress(data) if file_format == "csv.gz" else data
    header, *rows = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
    assert header == ["Id", "Note", "Amount"]
    assert rows == [[str(n), f'"{n}"\n' * 5, str(n)] for n in range(1, records + 1)]
    ids = PartIds.of(array("Q", range(1, records + 1)))
    assert stored == Stored(KEY, records, len(data), f"{zlib.crc32(content):08x}", tuple(header), ids)
    assert len(s3.made("upload_part")) == len(data) // PART_BYTES + 1
    assert not s3.bucket.uploads


@given(st.lists(st.lists(st.text(max_size=5), max_size=4), max_size=4))
@settings(max_examples=30, deadline=None)
def test_stored_records_are_read_back(values):
    s3 = RecordingS3()
    results = ResultsBucket(s3, "results")
    pages = [[{"id": f"{i}{j}", "A": value} for j, value in enumerate(page)] for i, page in enumerate(values)]
    for key, file_format in (("part-1.csv", "csv"), ("part-1.csv.gz", "csv.gz")):
        stored = results.store_records(pages, key, fields=["A"], file_format=file_format, confirm=confirmed)
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


def test_store_records_whose_part_another_worker_took_over_stores_nothing(results, s3):
    def lost():
        raise PartBusy("the lease was taken over")

    with pytest.raises(PartBusy):
        results.store_records(pages_of(3), KEY, fields=["Note"], file_format="csv", confirm=lost)
    assert s3.is_empty


# --- read_ids ---


@pytest.mark.parametrize("file_format", ["csv", "csv.gz"])
def test_read_ids_yields_the_ids_of_a_stored_part(results, file_format):
    store_records(results, pages_of(MANY), file_format, key=f"part-00001.{file_format}")
    assert list(results.read_ids(f"part-00001.{file_format}")) == [str(n) for n in range(1, MANY + 1)]


def test_read_ids_closes_the_response_when_it_is_stopped_early(results, s3):
    store_records(results, pages_of(MANY))
    body = s3.get_object(Bucket="results", Key=KEY)["Body"]
    s3.get_object = lambda **_: {"Body": body}
    ids = results.read_ids(KEY)
    assert next(ids) == "1"
    ids.close()
    assert body.closed


def test_read_ids_of_an_unreadable_object_names_its_key(results, s3):
    s3.bucket.objects["a.csv"] = b"Name\r\nAnn\r\n"
    with pytest.raises(ResultError, match=r"The ids of a\.csv cannot be read"):
        list(results.read_ids("a.csv"))


def test_read_ids_of_a_missing_object_names_its_key(results):
    with pytest.raises(StorageRefused, match=r"S3 refused to read part-00009\.csv: NoSuchKey"):
        list(results.read_ids("part-00009.csv"))


@pytest.mark.parametrize(
    "error",
    [refusal("SlowDown", "GetObject"), IncompleteReadError(actual_bytes=1, expected_bytes=2)],
    ids=lambda error: type(error).__name__,
)
def test_read_ids_during_an_outage_is_tried_again_later(results, s3, error):
    s3.errors["get_object"] = error
    with pytest.raises(StorageUnavailable, match=f"S3 could not read {KEY}"):
        list(results.read_ids(KEY))


# --- remove_leftovers ---


def test_remove_leftovers_deletes_only_parts_of_the_folder_that_are_not_kept(results, s3):
    kept = {"x/e1/part-00001.csv", "x/e1/g2/part-00001.csv"}
    stay = {*kept, "x/e1/manifest.json", "x/e1/part-notes/readme.txt", "x/e10/part-00001.csv", "x/part-1.csv"}
    other = {"x/e1/part-00002.csv", "x/e1/part-00003.csv.gz", "x/e1/g1/part-00001.csv"}
    other |= {f"x/e1/g1-part-{n:05d}.csv" for n in range(5)}
    s3.bucket.objects.update(dict.fromkeys(stay | other, b""))
    for _ in range(2):
        results.remove_leftovers("x/e1", kept)
        assert set(s3.bucket.objects) == stay
    assert len(s3.made("delete_object")) == len(other)


def open_upload(s3, key):
    response = s3.create_multipart_upload(
        Bucket="results", Key=key, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
    )
    return response["UploadId"]


def test_remove_leftovers_aborts_all_uploads_to_the_folder_even_of_parts_that_are_kept(results, s3):
    for key in ("x/e1/part-00001.csv", "x/e1/part-00001.csv", "x/e1/part-00002.csv"):
        open_upload(s3, key)
    others = {open_upload(s3, "x/e10/part-00001.csv"), open_upload(s3, "x/part-1.csv")}
    results.remove_leftovers("x/e1", {"x/e1/part-00001.csv"})
    assert set(s3.bucket.uploads) == others


def test_remove_leftovers_aborts_uploads_before_it_deletes_objects(results, s3):
    """An upload that is aborted later could still become an object that nobody deletes."""
    open_upload(s3, KEY)
    s3.bucket.objects[KEY] = b""
    s3.requests.clear()
    results.remove_leftovers("exports", set())
    made = [
        operation for operation, _ in s3.requests if operation in {"abort_multipart_upload", "delete_object"}
    ]
    assert made == ["abort_multipart_upload", "delete_object"]
    assert s3.is_empty


def test_remove_leftovers_accepts_that_an_upload_has_just_ended(results, s3):
    open_upload(s3, KEY)
    s3.bucket.objects[KEY] = b""
    s3.meanwhile["abort_multipart_upload"] = s3.bucket.uploads.clear
    results.remove_leftovers("exports", set())
    assert s3.is_empty


@pytest.mark.parametrize("operation", ["abort_multipart_upload", "delete_object", "get_paginator"])
@pytest.mark.parametrize(
    ("code", "raised"), [("AccessDenied", StorageRefused), ("SlowDown", StorageUnavailable)]
)
def test_remove_leftovers_that_s3_does_not_allow_names_the_folder(results, s3, operation, code, raised):
    open_upload(s3, KEY)
    s3.bucket.objects[KEY] = b""
    s3.errors[operation] = refusal(code, operation)
    with pytest.raises(raised, match=f"S3 .* delete from exports: {code}"):
        results.remove_leftovers("exports", set())
    assert KEY in s3.bucket.objects


# --- Manifests ---


def test_write_manifest_never_replaces_a_manifest(results, s3):
    assert results.write_manifest("m.json", {"records": 1})
    assert not results.write_manifest("m.json", {"records": 2})
    assert json.loads(s3.bucket.objects["m.json"]) == {"records": 1}
    assert s3.made("put_object")[0]["ContentType"] == "application/json"


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("NoSuchBucket", StorageRefused),
        ("AccessDenied", StorageRefused),
        ("SlowDown", StorageUnavailable),
        ("ConditionalRequestConflict", StorageUnavailable),
    ],
)
def test_write_manifest_raises_any_other_error_of_s3(results, s3, code, raised):
    s3.errors["put_object"] = refusal(code, "PutObject")
    with pytest.raises(raised, match=rf"S3 .* write m\.json: {code}"):
        results.write_manifest("m.json", {})


def test_read_manifest_returns_what_was_written(results):
    assert results.read_manifest("m.json") is None
    document = {"records": 1, "owner": "Zoë"}
    results.write_manifest("m.json", document)
    assert results.read_manifest("m.json") == document


def test_read_manifest_is_not_misled_by_a_longer_key(results, s3):
    s3.bucket.objects["m.json.bak"] = b"{}"
    assert results.read_manifest("m.json") is None


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{"])
def test_manifest_that_is_not_one_is_read_as_empty(results, s3, content):
    s3.bucket.objects["m.json"] = content
    assert results.read_manifest("m.json") == {}


@pytest.mark.parametrize("operation", ["list_objects_v2", "get_object"])
@pytest.mark.parametrize(
    ("code", "raised"), [("AccessDenied", StorageRefused), ("SlowDown", StorageUnavailable)]
)
def test_read_manifest_that_s3_does_not_show_raises(results, s3, operation, code, raised):
    results.write_manifest("m.json", {})
    s3.errors[operation] = refusal(code, operation)
    with pytest.raises(raised, match=rf"S3 .* read m\.json: {code}"):
        results.read_manifest("m.json")
