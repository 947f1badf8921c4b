"""The budget of downloads, the deadline of jobs, and messages that are malformed or received often."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from crm_export.aws.download_budget import DynamoDownloadBudget
from local.triggers.pollers import build_event
from tests.functional.test_bulk_read import assert_complete

UNKNOWN = "20260101T000000Z-0123456789abcdef"
NOW = datetime(2026, 11, 22, 13, 0, 0, tzinfo=UTC)


@pytest.fixture
def budget(world):
    table = world.deployment.outputs["ExportsTableName"]
    return DynamoDownloadBudget(world.client("dynamodb"), table, 3)


def test_budget_allows_its_downloads_in_any_minute(world, budget):
    started = []
    for second in range(0, 180, 7):
        now = NOW + timedelta(seconds=second)
        if budget.take(world.account, now) == 0:
            started.append(second)
    assert started[:3] == [0, 7, 14]
    assert all(len([then for then in started if second - 60 < then <= second]) <= 3 for second in range(180))
    assert len(started) == 9


def test_spent_budget_returns_the_seconds_to_wait_for_this_account_only(world, budget):
    assert [budget.take(world.account, NOW) for _ in range(3)] == [0, 0, 0]
    wait = budget.take(world.account, NOW + timedelta(seconds=20))
    assert wait == 40
    assert budget.take(f"{world.account}-2", NOW) == 0
    assert budget.take(world.account, NOW + timedelta(seconds=20 + wait)) == 0


def test_concurrent_takes_never_exceed_the_budget(world, budget):
    real = world.client("dynamodb")

    class Racing:
        """Another worker takes a download between our read and our write, once."""

        exceptions = real.exceptions
        raced = False

        def get_item(self, **kwargs):
            item = real.get_item(**kwargs)
            if not self.raced:
                self.raced = True
                assert budget.take(world.account, NOW) == 0
            return item

        put_item = staticmethod(real.put_item)

    table = world.deployment.outputs["ExportsTableName"]
    assert DynamoDownloadBudget(Racing(), table, 1).take(world.account, NOW) == 60


def test_part_beyond_the_budget_waits_in_its_queue_without_a_request_to_zoho(small_jobs):
    world = small_jobs
    world.configure("ResultDownloader", DOWNLOADS_PER_MINUTE="1")
    export_id = world.start()
    for _ in range(3):
        world.invoke("ExportReconciler", {})
        world.pump("DownloadQueue")
        world.pump("SubmitQueue")
    states = [part["state"] for part in world.export(export_id)["parts"]]
    assert states[:2] == ["STORED", "READY"]
    assert len(world.zoho.journal.requests("/result$", "GET")) == 1
    world.configure("ResultDownloader", DOWNLOADS_PER_MINUTE="10")
    assert_complete(world, world.finish(export_id), 250)


def hours_ago(hours):
    moment = datetime.now(UTC) - timedelta(hours=hours)
    return {"S": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")}


def test_overdue_job_is_replaced(small_jobs):
    world = small_jobs
    world.zoho.config.patch({"in_progress_seconds": 1e6})
    export_id = world.start()
    overdue = world.export(export_id)["parts"][0]["job_id"]
    world.invoke("ExportReconciler", {})
    world.pump("DownloadQueue")
    assert world.export(export_id)["parts"][0]["job_id"] == overdue
    world.set_item(export_id, "PART#00001", submitted_at=hours_ago(3.1))
    world.zoho.config.patch({"in_progress_seconds": 0.0})
    world.zoho.fault(method="GET", path=f"/read/{overdue}$", status=200, body=json.dumps(
        {"data": [{"id": overdue, "state": "IN PROGRESS"}]}
    ))  # fmt: skip
    export = world.finish(export_id)
    assert_complete(world, export, 250)
    assert export["parts"][0]["job_id"] != overdue


def test_export_fails_with_the_reason_when_replaced_jobs_are_overdue_too(small_jobs):
    world = small_jobs
    world.zoho.config.patch({"in_progress_seconds": 1e6})
    export_id = world.start()
    for _ in range(8):
        if world.export(export_id)["state"] == "FAILED":
            break
        world.let_time_pass(export_id)
        world.set_item(export_id, "PART#00001", submitted_at=hours_ago(3.1))
        world.invoke("ExportReconciler", {})
        world.pump("DownloadQueue")
        world.pump("SubmitQueue")
    export = world.export(export_id)
    assert (export["state"], export["failure"]["code"]) == ("FAILED", "JOB_OVERDUE")
    assert "IN PROGRESS" in export["failure"]["message"]
    assert len(world.callback_urls()) == 3


@pytest.mark.parametrize(
    "body",
    ["", "no json", "[]", "{}", '{"export_id": "../x", "part": 1}', "[" * 100_000]
    + [json.dumps({"export_id": UNKNOWN, "part": p}) for p in (0, -1, "1", True, 1e9)],
)
def test_malformed_message_is_reported_as_failed(small_jobs, body):
    world = small_jobs
    client, url = world.client("sqs"), world.deployment.queues["SubmitQueue"]
    client.send_message(QueueUrl=url, MessageBody=body or " ")
    (message,) = world.receive("SubmitQueue")
    message["Body"] = body
    event = build_event([message], "arn:aws:sqs:us-east-1:123456789012:SubmitQueue", "us-east-1")
    failed = world.invoke("BulkReadSubmitter", event)["batchItemFailures"]
    assert failed == [{"itemIdentifier": message["MessageId"]}]
    client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def test_message_received_eight_times_is_replaced_by_a_new_one(small_jobs):
    world = small_jobs
    world.zoho.fault(method="POST", path="/read$", status=429, times=1)
    export_id = world.start()
    world.zoho.fault(method="POST", path="/read$", status=429)
    url = world.deployment.queues["SubmitQueue"]
    old = world.receive("SubmitQueue")
    if not old:  # its delay is not over; only the receive count matters
        old = [send(world, url, export_id)]
    old[0]["Attributes"]["ApproximateReceiveCount"] = "8"
    world.let_time_pass(export_id)
    event = build_event(old, "arn:aws:sqs:us-east-1:123456789012:SubmitQueue", "us-east-1")
    delayed = count_delayed(world, url)
    assert world.invoke("BulkReadSubmitter", event)["batchItemFailures"] == []
    assert count_delayed(world, url) == delayed + 1


def count_delayed(world, url):
    name = "ApproximateNumberOfMessagesDelayed"
    return int(
        world.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]
    )


def send(world, url, export_id):
    client = world.client("sqs")
    client.send_message(QueueUrl=url, MessageBody=json.dumps({"export_id": export_id, "part": 1}))
    (message,) = world.receive("SubmitQueue")
    return message
