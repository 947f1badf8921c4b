"""An export becomes Parquet: its manifest's event, the queue and functions/parquet_writer."""

import base64
import json
import random

import duckdb
import pytest

from local.triggers.pollers import build_event


def landed(world):
    """Return the objects of the account in the lake, by the key after the account."""
    s3, bucket = world.client("s3"), world.deployment.outputs["ResultsBucketName"]
    found = {}
    for folder in ("", "_symlink/", "_progress/"):
        prefix = f"lake/{folder}account_id={world.account}/"
        for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
            body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
            found[folder + item["Key"].removeprefix(prefix)] = body
    return found


def message(key):
    event = {"detail-type": "Object Created", "detail": {"object": {"key": key}}}
    record = {"MessageId": "1", "ReceiptHandle": "x", "Body": json.dumps(event)}
    return {**record, "Attributes": {"ApproximateReceiveCount": "1"}}


def send(world, key):
    """Invoke the writer with the event of a key, without a queue; return its failures."""
    event = build_event([message(key)], "arn:aws:sqs:us-east-1:123456789012:ParquetQueue", "us-east-1")
    return world.invoke("ParquetWriter", event)["batchItemFailures"]


@pytest.fixture
def exported(quiet_at_once):
    """A world with an export of 30 contacts in two parts, before its event is handled."""
    quiet_at_once.zoho.config.patch({"records": {"Contacts": 30}, "records_per_job": 20})
    quiet_at_once.export_id = quiet_at_once.start()
    assert quiet_at_once.finish(quiet_at_once.export_id)["state"] == "COMPLETED"
    return quiet_at_once


def large_part(world):
    """Return a part with one record, for which S3 gets more than the 5 MiB of a multipart upload's part."""
    (part, *_) = json.loads(world.objects(world.export_id)["manifest.json"])["parts"]
    cells = ["1", base64.b64encode(random.Random(1).randbytes(6_000_000)).decode()]
    row = [*cells, *[""] * (len(part["header"]) - 2)]
    return f"{','.join(part['header'])}\r\n{','.join(row)}\r\n".encode()


def manifest_key(world):
    return f"exports/account_id={world.account}/module=Contacts/export_id={world.export_id}/manifest.json"


def test_completed_export_becomes_parquet_with_the_types_of_its_fields(exported, tmp_path):
    assert exported.pump("ParquetQueue") == [[]]
    objects = landed(exported)
    folder = f"module=Contacts/export_id={exported.export_id}"
    manifest = json.loads(objects[f"{folder}/manifest.json"])
    assert (manifest["rows"], manifest["rescued"]) == (30, {})
    assert manifest["source_manifest"] == manifest_key(exported)
    assert manifest["ids_digest"]
    for number in (1, 2):
        (tmp_path / f"{number}.parquet").write_bytes(objects[f"{folder}/part-0000{number}.parquet"])
    rows = duckdb.sql(f"SELECT count(*), count(DISTINCT id) FROM '{tmp_path}/*.parquet'").fetchall()
    assert rows == [(30, 30)]
    described = dict(
        row[:2] for row in duckdb.sql(f"DESCRIBE SELECT * FROM '{tmp_path}/1.parquet'").fetchall()
    )
    assert (described["id"], described["created_time"]) == ("VARCHAR", "TIMESTAMP WITH TIME ZONE")
    bucket = exported.deployment.outputs["ResultsBucketName"]
    urls = objects["_symlink/module=Contacts/manifest"].decode().splitlines()
    assert urls == [f"s3://{bucket}/{file['key']}" for file in manifest["files"]]


def glue_table(world):
    name = f"{world.account.replace('-', '_')}_contacts"
    (table,) = [
        item
        for item in world.client("glue").get_tables(DatabaseName="crm")["TableList"]
        if item["Name"].startswith(name)
    ]
    return table


def test_table_is_registered_in_glue_and_shows_the_last_full_export(exported):
    exported.pump("ParquetQueue")
    table = glue_table(exported)
    types = {column["Name"]: column["Type"] for column in table["StorageDescriptor"]["Columns"]}
    assert (types["id"], types["created_time"], types["_rescued"]) == (
        "string",
        "timestamp",
        "map<string,string>",
    )
    bucket = exported.deployment.outputs["ResultsBucketName"]
    location = f"s3://{bucket}/lake/_symlink/account_id={exported.account}/module=Contacts/"
    assert table["StorageDescriptor"]["Location"] == location
    assert send(exported, manifest_key(exported)) == []
    assert glue_table(exported)["StorageDescriptor"] == table["StorageDescriptor"]


def test_writer_registers_no_table_without_a_database(exported):
    exported.configure("ParquetWriter", GLUE_DATABASE="")
    assert exported.pump("ParquetQueue") == [[]]
    assert all(
        not item["Name"].startswith(exported.account.replace("-", "_"))
        for item in exported.client("glue").get_tables(DatabaseName="crm")["TableList"]
    )


def test_event_that_arrives_again_changes_nothing(exported):
    assert exported.pump("ParquetQueue") == [[]]
    before = landed(exported)
    assert send(exported, manifest_key(exported)) == []
    assert landed(exported) == before


def test_event_of_a_cancelled_export_whose_manifest_is_gone_ends(world):
    world.export_id = world.start()
    world.http("BulkReadSubmitter", "POST", f"/v1/e/zoho/bulk-read/exports/{world.export_id}/cancel")
    assert send(world, manifest_key(world)) == []
    assert landed(world) == {}
    assert world.pump("ParquetQueue") == []


def test_calendar_is_not_written_as_parquet(world):
    world.export_id = world.start("events", file_type="ics")
    world.finish(world.export_id)
    world.pump("ParquetQueue")
    assert landed(world) == {}


def test_part_that_is_not_what_its_manifest_says_is_retried_later_and_nothing_is_shown(exported):
    s3, bucket = exported.client("s3"), exported.deployment.outputs["ResultsBucketName"]
    key = manifest_key(exported).replace("manifest.json", "part-00002.csv")
    s3.put_object(Bucket=bucket, Key=key, Body=large_part(exported))
    ((failure,),) = exported.pump("ParquetQueue")
    assert failure["itemIdentifier"]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket, Prefix="lake/")
    assert "_symlink/module=Contacts/manifest" not in landed(exported)
    assert exported.export(exported.export_id)["state"] == "COMPLETED"


@pytest.mark.parametrize("body", ["not JSON", "{}", '{"detail": {"object": {"key": 1}}}'])
def test_message_that_is_not_an_event_of_a_manifest_fails_and_is_left_to_the_dead_letter_queue(body, world):
    record = message("") | {"Body": body}
    event = build_event([record], "arn:aws:sqs:us-east-1:123456789012:ParquetQueue", "us-east-1")
    assert world.invoke("ParquetWriter", event) == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert landed(world) == {}
