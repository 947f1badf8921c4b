"""The events that other programs get when an export has ended, over moto's EventBridge."""

import json

import pytest

ENDED = {
    "source": ["zoho-crm-export"],
    "detail-type": ["Export Completed", "Export Failed", "Export Cancelled"],
}


@pytest.fixture
def received(world):
    """A function that returns the events of the account since the test began."""
    sqs, events = world.client("sqs"), world.client("events")
    url = sqs.create_queue(QueueName=f"ended-{world.account}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="ended", EventPattern=json.dumps(ENDED))
    events.put_targets(Rule="ended", Targets=[{"Id": "1", "Arn": arn}])

    def receive():
        found = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            found += [json.loads(message["Body"]) for message in messages]
        return [event for event in found if event["detail"]["account_id"] == world.account]

    yield receive
    events.remove_targets(Rule="ended", Ids=["1"])
    events.delete_rule(Name="ended")
    sqs.delete_queue(QueueUrl=url)


def item_of(world, export_id):
    key = {"pk": {"S": f"EXPORT#{export_id}"}, "sk": {"S": "META"}}
    table = world.deployment.outputs["ExportsTableName"]
    return world.client("dynamodb").get_item(TableName=table, Key=key)["Item"]


def test_completed_export_is_announced_with_its_manifest(quiet_at_once, received):
    world = quiet_at_once
    export = world.finish(world.start("deals"))
    (event,) = received()
    detail = event["detail"]
    assert event["detail-type"] == "Export Completed"
    assert (detail["export_id"], detail["records"]) == (export["export_id"], export["records"])
    s3 = world.client("s3")
    manifest = s3.get_object(Bucket=detail["bucket"], Key=detail["manifest_key"])["Body"].read()
    assert json.loads(manifest)["records"] == detail["records"]
    assert "open" not in item_of(world, export["export_id"])


def test_export_that_fails_later_is_announced_with_code_and_remedy(quiet_at_once, received):
    world = quiet_at_once
    export_id = world.start("deals")
    world.set_item(export_id, "META", deadline_at={"S": "2026-01-01T00:00:00.000Z"})
    world.invoke("ExportReconciler", {})
    (event,) = received()
    failure = world.export(export_id)["failure"]
    assert event["detail-type"] == "Export Failed"
    assert event["detail"].items() >= {"export_id": export_id, **failure}.items()


def test_export_that_is_refused_within_the_post_is_announced(world, received):
    world.zoho.fault(method="POST", path="/read$", error="INVALID_DATA")
    status, _ = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/deals")
    assert status == 422
    (event,) = received()
    assert (event["detail-type"], event["detail"]["code"]) == ("Export Failed", "ZOHO_QUERY_REFUSED")


def test_export_that_could_not_be_announced_is_announced_by_the_reconciler(quiet_at_once, received):
    world = quiet_at_once
    export = world.finish(world.start("deals"))
    received()
    world.set_item(export["export_id"], "META", open={"S": "OPEN"})  # as if its function had died then
    world.invoke("ExportReconciler", {})
    (event,) = received()
    assert event["detail"]["export_id"] == export["export_id"]
    assert "open" not in item_of(world, export["export_id"])
    world.invoke("ExportReconciler", {})
    assert received() == []


def test_cancelled_export_is_announced_when_its_objects_are_deleted(quiet_at_once, received):
    world = quiet_at_once
    export_id = world.start("contacts")
    path = f"/v1/e/zoho/bulk-read/exports/{export_id}/cancel"
    status, response = world.http("BulkReadSubmitter", "POST", path)
    assert (status, response["data"]["state"]) == (200, "CANCELLED")
    assert world.http("BulkReadSubmitter", "POST", path)[0] == 200
    world.pump("DownloadQueue")
    (event,) = received()
    assert (event["detail-type"], event["detail"]["export_id"]) == ("Export Cancelled", export_id)
    item = item_of(world, export_id)
    assert "open" not in item and "cleaned_at" in item
    assert world.export(export_id)["state"] == "CANCELLED"


def test_completed_export_cannot_be_cancelled(quiet_at_once):
    world = quiet_at_once
    export = world.finish(world.start("deals"))
    path = f"/v1/e/zoho/bulk-read/exports/{export['export_id']}/cancel"
    status, response = world.http("BulkReadSubmitter", "POST", path)
    assert (status, response["code"]) == (409, "EXPORT_NOT_CANCELLABLE")
    assert world.export(export["export_id"])["state"] == "COMPLETED"


def test_operator_starts_an_export_of_a_run_and_lists_it(world):
    def ask(method, path, **more):
        request = {"account_id": world.account, "owner": world.owner, "method": method, **more}
        event = {"operator": request | {"path": f"/v1/e/zoho/bulk-read/{path}"}}
        return json.loads(world.invoke("BulkReadSubmitter", event)["body"])["data"]

    started = ask("POST", "deals", body={"run_id": "night-1"}, api_url="https://api.example.com")
    world.start("deals")
    assert [export["export_id"] for export in ask("GET", "exports", query={"run_id": "night-1"})] == [
        started["export_id"]
    ]
    assert ask("GET", f"exports/{started['export_id']}")["run_id"] == "night-1"
