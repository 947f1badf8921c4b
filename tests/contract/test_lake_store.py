"""The lake of a folder and that in S3 behave the same for all that landing an export needs."""

import boto3
import pytest
from moto import mock_aws

from crm_export.aws.lake_bucket import LakeBucket
from crm_export.errors import StorageRefused
from crm_export.lake.store import read_json
from crm_export_cli.folder.lake import FolderLake
from crm_export_cli.folder.locks import Processes
from tests.contract.test_s3 import as_a_server_receives_it

BUCKET, KEY = "results", "lake/x/part-00001.parquet"


@pytest.fixture(params=["folder", "bucket"])
def lake(request, monkeypatch, tmp_path):
    if request.param == "folder":
        with Processes(tmp_path / ".crm-export") as processes:
            yield FolderLake(tmp_path, processes)
        return
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        client.meta.events.register("request-created.s3", as_a_server_receives_it)
        yield LakeBucket(client, BUCKET)


def store(lake, content, key=KEY, *, commit=True):
    with lake.write(key) as sink:
        sink.write(content[:3])
        sink.write(content[3:])
        if commit:
            sink.commit()


def test_object_that_was_committed_is_read_as_a_stream_and_as_a_whole(lake):
    content = b"x" * 6_000_000
    store(lake, content)
    assert lake.get(KEY).content == content
    with lake.open(KEY) as stream:
        assert stream.read(4) + stream.read() == content


def test_object_replaces_one_of_its_key(lake):
    store(lake, b"first")
    store(lake, b"second")
    assert lake.get(KEY).content == b"second"


def test_object_that_was_not_committed_is_not_there(lake):
    store(lake, b"content", commit=False)
    with pytest.raises(RuntimeError), lake.write(KEY) as sink:
        sink.write(b"x" * 6_000_000)
        raise RuntimeError
    assert lake.get(KEY) is None


def test_object_without_content_is_written(lake):
    store(lake, b"")
    assert lake.get(KEY).content == b""


def test_object_that_is_missing_is_none_and_cannot_be_opened(lake):
    store(lake, b"longer key", key=f"{KEY}2")
    assert lake.get(KEY) is None
    with pytest.raises(StorageRefused), lake.open(KEY) as stream:
        stream.read()


def test_put_if_writes_only_over_the_version_that_was_read(lake):
    assert lake.put_if(KEY, b"1", None)
    assert not lake.put_if(KEY, b"2", None)
    version = lake.get(KEY).version
    assert lake.put_if(KEY, b"2", version)
    assert not lake.put_if(KEY, b"3", version)
    assert lake.get(KEY).content == b"2"


def test_put_if_writes_nothing_over_a_version_that_is_gone(lake):
    lake.put_if(KEY, b"1", None)
    assert not lake.put_if(f"{KEY}2", b"2", lake.get(KEY).version)
    assert lake.get(f"{KEY}2") is None


@pytest.mark.parametrize(("content", "document"), [(b'{"a": 1}', {"a": 1}), (b"[]", None), (b"{", None)])
def test_json_that_is_not_an_object_is_none(content, document, lake):
    lake.put_if(KEY, content, None)
    assert read_json(lake, KEY) == document


def test_url_ends_with_the_key(lake):
    assert lake.url(KEY).endswith(f"/{KEY}")
