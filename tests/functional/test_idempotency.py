"""The header Idempotency-Key of POST /v1/e/zoho/bulk-read/{type}."""

import json
import time

import pytest


def post(world, key, export_type="contacts", **body):
    return world.http(
        "BulkReadSubmitter",
        "POST",
        f"/v1/e/zoho/bulk-read/{export_type}",
        body=json.dumps(body) if body else None,
        headers={"idempotency-key": key},
    )


def test_same_key_and_body_return_the_same_export(world):
    query = {"fields": ["Last_Name"], "cvid": "1"}
    first = post(world, "k-1", query={"fields": ["Last_Name"]})
    again = post(world, "k-1", query={"fields": ["Last_Name"]})
    assert (first[0], again[0]) == (202, 202)
    assert first[1]["message"] == "Export is started"
    assert again[1]["message"] == "Export was started by an earlier request"
    assert again[1]["data"] == {**first[1]["data"], "replayed": True}
    assert first[1]["data"]["replayed"] is False
    assert len(world.zoho.journal.requests("/read$", "POST")) == 1
    status, response = post(world, "k-1", query=query)
    assert (status, response["errno"]) == (409, 409)
    assert "k-1" in response["message"]


def test_same_key_for_another_module_is_a_conflict(world):
    assert post(world, "k-1")[0] == 202
    assert post(world, "k-1", "accounts")[0] == 409
    assert post(world, "k-2", "accounts")[0] == 202


def test_same_key_of_another_owner_or_account_is_independent(world):
    first = post(world, "k-1")[1]["data"]["export_id"]
    for account, owner in ((world.account, "user-2"), (f"{world.account}-2", "user-1")):
        world.account, world.owner = account, owner
        world.store_connection()
        status, response = post(world, "k-1")
        assert status == 202, response
        assert response["data"]["export_id"] != first


def test_key_of_a_refused_request_can_be_used_again(world):
    assert post(world, "k-1", query={"fields": ["Nothing"]})[0] == 422
    assert post(world, "k-1", query={"fields": ["Last_Name"]})[0] == 202


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\u00e9"])
def test_invalid_key_is_refused(world, key):
    status, response = post(world, key)
    assert (status, response["errno"]) == (400, 400)
    assert "1 to 255" in response["message"]
    assert not world.zoho.journal.requests("/read$", "POST")


def test_key_is_kept_for_a_day(world):
    export_id = post(world, "k-1")[1]["data"]["export_id"]
    (item,) = key_items(world)
    assert item["export_id"] == {"S": export_id}
    assert int(item["expires_at"]["N"]) - time.time() == pytest.approx(24 * 3600, abs=60)


def key_items(world):
    """Return the items of the account's keys."""
    return world.client("dynamodb").query(
        TableName=world.deployment.outputs["ExportsTableName"],
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"IDEMPOTENCY#{world.account}"}},
    )["Items"]
