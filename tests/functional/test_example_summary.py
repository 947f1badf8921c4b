"""examples/summary, in this process: an export and a sync are summarized after their events."""

import importlib
import json

import pytest

from tests.functional.test_syncs import SyncWorld

BUCKET = "summaries-of-the-test"


@pytest.fixture
def handle(quiet_at_once, monkeypatch):
    """Deliver the event of a completed export; return the summary in the bucket."""
    world = quiet_at_once
    s3 = world.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    app = importlib.import_module("examples.summary.function.app")
    for name, value in {
        "AWS_ENDPOINT_URL": world.aws.url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "SUMMARY_BUCKET": BUCKET,
    }.items():
        monkeypatch.setenv(name, value)

    def handle_it(export_id, lake="off"):
        monkeypatch.setenv("LAKE_OUTPUT", lake)
        export = world.export(export_id)
        names = ("export_id", "module", "state", "requested_at", "completed_at", "records", "manifest_key")
        bucket = world.deployment.outputs["ResultsBucketName"]
        ours = {"account_id": world.account, "owner": world.owner, "bucket": bucket}
        event = {"detail-type": "Export Completed", "detail": {name: export[name] for name in names} | ours}
        app.lambda_handler({"Records": [{"body": json.dumps(event)}]}, None)
        folder = f"account_id={world.account}/module={export['module']}/export_id={export_id}"
        key = f"summaries/{folder}/summary.json"
        if not s3.list_objects_v2(Bucket=BUCKET, Prefix=key).get("Contents"):
            return None
        return json.load(s3.get_object(Bucket=BUCKET, Key=key)["Body"])

    handle_it.world, handle_it.app = world, app
    yield handle_it
    for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        s3.delete_object(Bucket=BUCKET, Key=item["Key"])
    s3.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def exported(handle):
    """The id of a completed export of 30 deals in two parts."""
    handle.world.zoho.config.patch({"records": {"Deals": 30}, "records_per_job": 20})
    export_id = handle.world.start("deals")
    assert handle.world.finish(export_id)["state"] == "COMPLETED"
    return export_id


def types_of(summary):
    return {column["column_name"].lower(): column["column_type"] for column in summary["columns"]}


def test_summary_of_the_parquet_has_the_types_of_the_lake(handle, exported):
    handle.world.pump("ParquetQueue")
    summary = handle(exported, lake="on")
    records = handle.world.export(exported)["records"]
    assert (summary["source"], summary["rows"], summary["module"]) == ("Parquet", records, "Deals")
    assert (types_of(summary)["id"], types_of(summary)["amount"]) == ("VARCHAR", "DECIMAL(28,2)")


def test_summary_of_the_csv_needs_no_lake(handle, exported):
    summary = handle(exported)
    assert (summary["source"], summary["rows"]) == ("CSV", handle.world.export(exported)["records"])
    assert types_of(summary)["id"] == "VARCHAR"


def test_event_before_the_parquet_is_there_is_left_to_the_queue(handle, exported):
    with pytest.raises(handle.app.NotInLakeYet):
        handle(exported, lake="on")


def test_event_that_arrives_twice_gives_the_same_summary(handle, exported):
    assert handle(exported) == handle(exported)


def test_calendar_has_no_summary(handle):
    export_id = handle.world.start("events", file_type="ics")
    assert handle.world.finish(export_id)["state"] == "COMPLETED"
    assert handle(export_id) is None


def test_summary_of_a_run_of_a_sync_is_of_the_current_records(handle):
    sync = SyncWorld(handle.world, "Invoices")
    sync.put()
    sync.tick()
    sync.change(create=2, delete=1)
    run = sync.run()
    summary = handle(run["export_id"], lake="on")
    assert (summary["source"], summary["rows"]) == ("current records of the sync", len(sync.folded()))
    assert summary["rows"] > run["records"]
