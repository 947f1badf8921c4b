"""A result ZIP becomes an object in S3 (moto): whole and checked, or not at all."""

import base64
import json
import random

import boto3
import pytest
from moto import mock_aws

from crm_export.errors import CorruptZip, CountMismatch, TruncatedZip
from crm_export.results.sink import ObjectWriter
from crm_export.results.store import S3Results
from tests.support.zips import cut, hand_made, zip_of

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


def store(s3, data: bytes, expected: int):
    return S3Results(s3, BUCKET).store(cut(data, 65536), KEY, file_type="csv", expected_records=expected)


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


@pytest.mark.parametrize("records", [10, 400_000])
def test_a_result_that_is_not_right_leaves_neither_object_nor_upload(s3, records):
    content = csv_of(records)
    with pytest.raises(CountMismatch, match=f"holds {records} records; Zoho counted {records + 1}"):
        store(s3, zip_of(content), records + 1)
    with pytest.raises(TruncatedZip):
        store(s3, zip_of(content)[:-100], records)
    with pytest.raises(CorruptZip):
        store(s3, hand_made(content, crc32=7), records)
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)
    assert not uploads(s3)


def test_a_source_that_fails_aborts_the_upload(s3):
    def chunks():
        yield zip_of(csv_of(400_000))[:9_000_000]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        S3Results(s3, BUCKET).store(chunks(), KEY, file_type="csv", expected_records=1)
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
