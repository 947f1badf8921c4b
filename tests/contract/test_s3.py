"""The in-memory S3 of the simulation and moto's S3 behave the same for all that ResultsBucket does."""

import base64
import json
import zlib
from hashlib import sha256

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from crm_export.aws.results_bucket import ResultsBucket
from crm_export.errors import ObjectConflict, StorageRefused, TruncatedZip
from simulation.s3 import S3, Bucket
from tests.support.zips import hand_made

BUCKET, KEY = "results", "x/e1/part-00001.csv"
SMALL = b"Id\r\n1\r\n"
LARGE = b"Id\r\n" + (b"1" * 1_000_000 + b"\r\n") * 6  # two parts of 5 MiB, S3's smallest


@pytest.fixture(params=["moto", "simulation"])
def s3(request, monkeypatch):
    if request.param == "simulation":
        yield S3(Bucket(), keys_per_page=2)
        return
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        client.meta.events.register("request-created.s3", as_a_server_receives_it)
        yield client


def as_a_server_receives_it(request, **_):
    """Make bytes of a bytearray: moto in the same process, unlike a server, does not take one."""
    if isinstance(request.data, bytearray):
        request.data = bytes(request.data)


@pytest.fixture
def results(s3):
    return ResultsBucket(s3, BUCKET)


def store(results, content, key=KEY, file_format="csv", confirm=lambda: None):
    return results.store_result(
        [hand_made(content)],
        key,
        file_format=file_format,
        expected_records=content.count(b"1\r\n"),
        job_id="554023000000568002",
        confirm=confirm,
    )


def stored_object(s3, key=KEY) -> bytes:
    return s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def open_upload(s3, key=KEY) -> str:
    upload = s3.create_multipart_upload(
        Bucket=BUCKET, Key=key, ContentType="text/csv", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
    )
    return upload["UploadId"]


def open_uploads(s3, prefix="") -> set[tuple[str, str]]:
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=BUCKET, Prefix=prefix)
    return {(upload["Key"], upload["UploadId"]) for page in pages for upload in page.get("Uploads", [])}


@pytest.mark.parametrize("content", [b"Id\r\n", SMALL, LARGE], ids=["no record", "one part", "two parts"])
def test_stored_result_is_read_back(s3, results, content):
    store(results, content)
    assert stored_object(s3) == content
    assert len(list(results.read_ids(KEY))) == content.count(b"1\r\n")
    assert not open_uploads(s3)


def test_aborted_upload_leaves_no_object_and_no_upload(s3, results):
    with pytest.raises(TruncatedZip):
        results.store_result(
            [hand_made(LARGE)[:-9]],
            KEY,
            file_format="csv",
            expected_records=6,
            job_id="1",
            confirm=lambda: None,
        )
    with pytest.raises(ClientError, match="NoSuchKey"):
        stored_object(s3)
    assert not open_uploads(s3)


def test_missing_object_is_refused_with_its_code(results):
    with pytest.raises(StorageRefused, match="NoSuchKey"):
        list(results.read_ids(KEY))


# --- An object that exists: IfNoneMatch, HeadObject and Range ---


@pytest.mark.parametrize("file_format", ["csv", "csv.gz"])
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["one part", "two parts"])
def test_second_attempt_with_the_same_content_takes_the_first_object(s3, results, content, file_format):
    first = store(results, content, file_format=file_format)
    assert store(results, content, file_format=file_format) == first
    assert not open_uploads(s3)


@pytest.mark.parametrize("file_format", ["csv", "csv.gz"])
def test_second_attempt_with_other_content_leaves_the_first_object_alone(s3, results, file_format):
    store(results, SMALL, file_format=file_format)
    first = stored_object(s3)
    with pytest.raises(ObjectConflict):
        store(results, SMALL + b"21\r\n", file_format=file_format)
    assert stored_object(s3) == first
    assert not open_uploads(s3)


def test_upload_is_not_completed_if_an_object_appears_before(s3, results):
    def appears():
        s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"other", ContentType="text/csv")

    with pytest.raises(ObjectConflict):
        store(results, SMALL, confirm=appears)
    assert stored_object(s3) == b"other"


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["one part", "two parts"])
def test_head_of_an_object_has_its_size_and_the_checksum_of_all_of_it(s3, results, content):
    store(results, content)
    head = s3.head_object(Bucket=BUCKET, Key=KEY, ChecksumMode="ENABLED")
    assert head["ContentLength"] == len(content)
    assert base64.b64decode(head["ChecksumCRC32"]) == zlib.crc32(content).to_bytes(4, "big")


def test_head_of_a_missing_object_is_404(s3):
    with pytest.raises(ClientError, match="404"):
        s3.head_object(Bucket=BUCKET, Key=KEY, ChecksumMode="ENABLED")


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["one part", "two parts"])
def test_range_of_the_last_bytes_is_read(s3, results, content):
    store(results, content)
    with_range = s3.get_object(Bucket=BUCKET, Key=KEY, Range="bytes=-8")
    assert with_range["Body"].read() == content[-8:]


# --- Leftovers ---


def test_uploads_are_listed_by_prefix_until_they_are_aborted(s3):
    first, second, other = open_upload(s3, "x/e1/a"), open_upload(s3, "x/e1/b"), open_upload(s3, "x/e10/a")
    assert open_uploads(s3, "x/e1/") == {("x/e1/a", first), ("x/e1/b", second)}
    s3.abort_multipart_upload(Bucket=BUCKET, Key="x/e1/a", UploadId=first)
    assert open_uploads(s3, "x/e1/") == {("x/e1/b", second)}
    assert open_uploads(s3) == {("x/e1/b", second), ("x/e10/a", other)}
    with pytest.raises(ClientError, match="NoSuchUpload"):
        s3.abort_multipart_upload(Bucket=BUCKET, Key="x/e1/a", UploadId=first)


def test_leftovers_are_removed(s3, results):
    results.remove_leftovers("x/e1", set())  # of an empty folder
    for number in range(1, 6):
        store(results, b"Id\r\n", f"x/e1/part-{number:05d}.csv")
    open_upload(s3)
    open_upload(s3, "x/e1/part-00006.csv")
    other = open_upload(s3, "x/e2/part-00001.csv")
    results.write_manifest("x/e1/manifest.json", {})
    results.remove_leftovers("x/e1", {KEY})
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix="x/e1/", MaxKeys=10)["Contents"]
    assert [item["Key"] for item in listed] == ["x/e1/manifest.json", KEY]
    assert open_uploads(s3) == {("x/e2/part-00001.csv", other)}


# --- Manifests ---


def test_manifest_is_written_once_and_read_back(s3, results):
    assert results.read_manifest("m.json") is None
    s3.put_object(Bucket=BUCKET, Key="m.json.bak", Body=b"{}", ContentType="application/json")
    assert results.read_manifest("m.json") is None
    assert results.write_manifest("m.json", {"records": 1})
    assert not results.write_manifest("m.json", {"records": 2})
    assert results.read_manifest("m.json") == {"records": 1}
    assert json.loads(stored_object(s3, "m.json")) == {"records": 1}


def test_object_is_replaced_only_if_its_etag_is_that_which_was_read(s3, results):
    assert results.read_latest("latest.json") is None
    assert results.write_latest("latest.json", {"run": 1}, None)
    _, etag = results.read_latest("latest.json")
    assert results.write_latest("latest.json", {"run": 2}, etag)
    assert not results.write_latest("latest.json", {"run": 3}, etag)
    assert not results.write_latest("latest.json", {"run": 3}, None)
    assert results.read_latest("latest.json")[0] == {"run": 2}
    s3.delete_object(Bucket=BUCKET, Key="latest.json")
    assert not results.write_latest("latest.json", {"run": 4}, etag)
    assert results.read_latest("latest.json") is None


def test_index_and_objects_are_read_back(results):
    stored = results.store_result(
        [hand_made(SMALL)],
        KEY,
        file_format="csv",
        expected_records=1,
        job_id="554023000000568002",
        confirm=lambda: None,
        index=True,
    )
    assert [row[0] for row in results.read_index(stored.index)] == [1]
    results.write_object("x/e1/diff-00001.csv", [b"op,Id\r\n", LARGE])
    assert results.digest("x/e1/diff-00001.csv") == sha256(b"op,Id\r\n" + LARGE).hexdigest()
    results.write_object("x/e1/diff-00001.csv", [b"op,Id\r\n" + LARGE])
    with pytest.raises(ObjectConflict):
        results.write_object("x/e1/diff-00001.csv", [b"op,Id\r\n"])


def test_listing_returns_the_first_key_of_a_prefix(s3):
    for key in ("m.json.bak", "m.json", "n.json"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"{}", ContentType="application/json")
    first = s3.list_objects_v2(Bucket=BUCKET, Prefix="m.json", MaxKeys=1)["Contents"]
    assert [item["Key"] for item in first] == ["m.json"]
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix="o", MaxKeys=1)
