"""Header Idempotency-Key of POST bulk-read."""

import json
import time
from functools import partial

import pytest

from crm_export import deadline
from crm_export.aws.idempotency import once
from crm_export.errors import RequestInProgress


def post(world, key, export_type="contacts", **body):
    status, answer = world.http(
        "BulkReadSubmitter",
        "POST",
        f"/v1/e/zoho/bulk-read/{export_type}",
        body=json.dumps(body) if body else None,
        headers={"idempotency-key": key},
    )
    if status == 202:
        world.exports.add(answer["data"]["export_id"])
    return status, answer


def test_the_same_key_and_body_give_the_same_export(world):
    query = {"fields": ["Last_Name"], "cvid": "1"}
    first = post(world, "k-1", query={"fields": ["Last_Name"]})
    again = post(world, "k-1", query={"fields": ["Last_Name"]})
    assert (first[0], again[0]) == (202, 202)
    assert first[1]["data"]["export_id"] == again[1]["data"]["export_id"]
    assert len(world.zoho.journal.requests("/read$", "POST")) == 1
    status, answer = post(world, "k-1", query=query)
    assert (status, answer["errno"]) == (409, 409)
    assert "k-1" in answer["message"]


def test_the_same_key_for_another_module_is_another_request(world):
    assert post(world, "k-1")[0] == 202
    assert post(world, "k-1", "accounts")[0] == 409
    assert post(world, "k-2", "accounts")[0] == 202


def test_keys_of_two_owners_and_two_accounts_are_apart(world):
    first = post(world, "k-1")[1]["data"]["export_id"]
    for account, owner in ((world.account, "user-2"), (f"{world.account}-2", "user-1")):
        world.account, world.owner = account, owner
        world.store_connection()
        status, answer = post(world, "k-1")
        assert status == 202, answer
        assert answer["data"]["export_id"] != first


def test_a_refused_request_does_not_bind_its_key(world):
    assert post(world, "k-1", query={"fields": ["Nothing"]})[0] == 422
    assert post(world, "k-1", query={"fields": ["Last_Name"]})[0] == 202


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\u00e9"])
def test_a_key_that_is_none_is_refused(world, key):
    status, answer = post(world, key)
    assert (status, answer["errno"]) == (400, 400)
    assert "1 to 255" in answer["message"]
    assert not world.zoho.journal.requests("/read$", "POST")


def test_while_a_request_is_worked_on_the_same_one_is_told_to_come_back(world):
    """The second comes within the first, as from a client that gave up waiting."""
    table = world.deployment.outputs["ExportsTableName"]
    ask = partial(
        once, world.aws.client("dynamodb"), table, account_id=world.account, owner="o", key="k", request={}
    )

    def do():
        with pytest.raises(RequestInProgress, match="ask again") as refused:
            ask(do=lambda: "second")
        assert refused.value.retry_after
        return "first"

    assert ask(do=do) == "first"
    assert ask(do=lambda: "third") == "first"


def test_a_request_whose_function_died_can_be_sent_again(world):
    """The first is never finished; its invocation's time is over."""
    table = world.deployment.outputs["ExportsTableName"]
    ask = partial(
        once, world.aws.client("dynamodb"), table, account_id=world.account, owner="o", key="k", request={}
    )

    class Died(BaseException):
        pass

    def die():
        raise Died

    with deadline.ends_in(0.05), pytest.raises(Died):
        ask(do=die)
    time.sleep(0.1)
    assert ask(do=lambda: "again") == "again"
