"""The header Idempotency-Key of POST /v1/e/zoho/bulk-read/{type}."""

import json
import time
from functools import partial

import pytest

from crm_export import deadline
from crm_export.aws.idempotency import once
from crm_export.errors import RequestInProgress
from crm_export.exports.model import Caller


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
    assert first[1]["data"]["export_id"] == again[1]["data"]["export_id"]
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


@pytest.fixture
def run_once(world):
    """Return a function that runs `do` with the same Idempotency-Key each time."""
    table = world.deployment.outputs["ExportsTableName"]
    return partial(once, world.client("dynamodb"), table, Caller(world.account, "o"), "k", {})


def test_repeated_request_is_refused_while_the_first_is_running(run_once):
    """The second request arrives during the first, as from a client that stopped waiting."""

    def do():
        with pytest.raises(RequestInProgress, match="still running; send it again") as refused:
            run_once(lambda: "second")
        assert refused.value.retry_after
        return "first"

    assert run_once(do) == "first"
    assert run_once(lambda: "third") == "first"


def test_request_whose_function_died_can_be_sent_again(run_once):
    """The first request never ends; the time of its invocation is over."""

    class Died(BaseException):
        pass

    def die():
        raise Died

    with deadline.ends_in(0.05), pytest.raises(Died):
        run_once(die)
    time.sleep(0.1)
    assert run_once(lambda: "again") == "again"


def test_key_is_kept_for_a_day(world, run_once):
    run_once(lambda: "first")
    (item,) = world.client("dynamodb").query(
        TableName=world.deployment.outputs["ExportsTableName"],
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"IDEMPOTENCY#{world.account}"}},
    )["Items"]
    assert int(item["expires_at"]["N"]) - time.time() == pytest.approx(24 * 3600, abs=60)
