"""The in-memory S3 of the simulation and moto's S3 behave the same for all that ResultsBucket does."""

import json

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from crm_export.aws.results_bucket import ResultsBucket
from crm_export.errors import StorageRefused, TruncatedZip
from simulation.s3 import S3, Bucket
from tests.support.zips import hand_made

BUCKET, KEY = "results", "x/e1/part-00001.csv"
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
        yield client


@pytest.fixture
def results(s3):
    return ResultsBucket(s3, BUCKET)


def store(results, archive, records, key=KEY):
    return results.store_result(
        [archive], key, file_format="csv", expected_records=records, job_id="554023000000568002"
    )


def stored_object(s3, key=KEY) -> bytes:
    return s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()


@pytest.mark.parametrize("content", [b"Id\r\n1\r\n", LARGE], ids=["one put", "two parts"])
def test_stored_result_is_read_back(s3, results, content):
    store(results, hand_made(content), content.count(b"1\r\n"))
    assert stored_object(s3) == content
    assert len(list(results.read_ids(KEY))) == content.count(b"1\r\n")


def test_aborted_upload_leaves_no_object(s3, results):
    with pytest.raises(TruncatedZip):
        store(results, hand_made(LARGE)[:-9], 6)
    with pytest.raises(ClientError, match="NoSuchKey"):
        stored_object(s3)


def test_missing_object_is_refused_with_its_code(results):
    with pytest.raises(StorageRefused, match="NoSuchKey"):
        list(results.read_ids(KEY))


def test_manifest_is_written_once(s3, results):
    results.write_manifest("m.json", {"records": 1})
    results.write_manifest("m.json", {"records": 2})
    assert json.loads(stored_object(s3, "m.json")) == {"records": 1}


def test_other_parts_are_deleted(s3, results):
    assert results.delete_other_parts("x/e1", set()) == 0
    for number in range(1, 6):
        store(results, hand_made(b"Id\r\n"), 0, f"x/e1/part-{number:05d}.csv")
    assert results.delete_other_parts("x/e1", {KEY}) == 4
    assert results.delete_other_parts("x/e1", set()) == 1
