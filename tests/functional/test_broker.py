"""The access-token broker, measured by the requests that reach Zoho's token endpoint."""

import json
import multiprocessing
import os
import threading
import time
from collections import Counter

import boto3
import pytest

from crm_export.aws.token_cache import DynamoTokenCache
from crm_export.connections.broker import TokenBroker, cache_key
from crm_export.connections.model import Connection
from crm_export.errors import ZohoThrottled, ZohoUnavailable
from crm_export.system import System
from crm_export.zoho.grants import RefreshToken, ZohoClientCredentials
from crm_export.zoho.oauth import AccessToken, request_access_token
from crm_export.zoho.transport import make_session

PAGE = "/v1/e/zoho/export/contacts"


def stored(world):
    """Return the world's connection."""
    grant = RefreshToken(f"1000.{world.account}")
    return Connection(world.account, "o", world.zoho.url, world.zoho.url, grant)


def refreshes(world):
    return len(world.zoho.journal.requests("/oauth/v2/token", "POST"))


def get(world):
    return world.http("ExportHandler", "GET", PAGE)


def fail_tokens(world, status=400, description="You have made too many requests continuously.", **more):
    body = {"error_description": description, "error": "Access Denied", "status": "failure"}
    world.zoho.fault(method="POST", path="/oauth/v2/token", status=status, body=body, **more)


def test_containers_share_one_token(world):
    for _ in range(3):  # each invocation is a new container
        assert get(world)[0] == 200
    world.start()
    assert refreshes(world) == 1


def test_cache_off_requests_a_token_for_every_call(world):
    world.configure("ExportHandler", ACCESS_TOKEN_CACHE="off")
    for _ in range(3):
        assert get(world)[0] == 200
    assert refreshes(world) == 3


def test_token_is_not_used_in_its_last_minute(world):
    world.zoho.config.patch({"access_token_seconds": 59.0})
    for _ in range(2):
        assert get(world)[0] == 200
    assert refreshes(world) == 2


def test_cached_token_that_zoho_rejects_costs_one_refresh_and_one_retry(world):
    assert get(world)[0] == 200
    world.zoho.organisation.tokens.expire_all()
    world.zoho.journal.clear()
    assert get(world)[0] == 200
    calls = [request["path"] for request in world.zoho.journal.requests()]
    assert calls == ["/crm/v2/Contacts", "/oauth/v2/token", "/crm/v2/Contacts"]


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    "description", ["You have made too many requests continuously.", "リクエストが多すぎます。"]
)
def test_throttling_is_shared_by_all_containers(world, status, description):
    fail_tokens(world, status, description)
    for _ in range(3):
        response = world.request("ExportHandler", "GET", PAGE)
        assert (response["statusCode"], json.loads(response["body"])["errno"]) == (429, 429)
        assert 1 <= int(response["headers"]["Retry-After"]) <= 121
    assert refreshes(world) == 1


def test_revoked_refresh_token_marks_the_account_and_a_new_grant_is_used(world):
    world.zoho.config.refresh_tokens.remove(f"1000.{world.account}")
    status, body = get(world)
    assert (status, body["errno"], body["message"]) == (401, 400, "TOKEN_INVALIDATED")
    name = f"zoho-crm-export/connections/{world.account}/{world.owner}"
    secrets = world.client("secretsmanager")
    document = json.loads(secrets.get_secret_value(SecretId=name)["SecretString"])
    assert document["token_invalidated"] is True
    document["token"]["refresh_token"] = "1000.reconnected"
    world.zoho.config.refresh_tokens.add("1000.reconnected")
    secrets.put_secret_value(SecretId=name, SecretString=json.dumps(document))
    assert get(world)[0] == 200


def test_rejected_client_is_our_fault_and_marks_no_grant(world):
    world.zoho.fault(method="POST", path="/oauth/v2/token", body={"error": "invalid_client"}, status=200)
    status, body = get(world)
    assert (status, body["errno"], body["zoho_code"]) == (502, 502, "invalid_client")
    name = f"zoho-crm-export/connections/{world.account}/{world.owner}"
    document = world.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
    assert "token_invalidated" not in document


def test_failed_refresh_leaves_the_next_request_free_to_refresh(world):
    world.zoho.fault(method="POST", path="/oauth/v2/token", status=500, body="<html>", times=3)
    assert get(world)[0] == 502
    world.zoho.organisation.faults.clear()
    assert get(world)[0] == 200


def test_expires_in_next_to_expires_in_sec_is_read_as_milliseconds(world):
    world.zoho.config.patch({"expires_in_style": "expires_in_sec"})
    assert get(world)[0] == 200
    table = world.deployment.outputs["ExportsTableName"]
    connection = stored(world)
    shared = DynamoTokenCache(world.client("dynamodb"), table).read(cache_key(connection))
    assert 3000 < shared.usable_until - time.time() < 3600


def test_table_item_expires_and_does_not_reveal_the_grant(world):
    get(world)
    items = world.client("dynamodb").scan(TableName=world.deployment.outputs["ExportsTableName"])["Items"]
    tokens = [item for item in items if item["pk"]["S"].startswith("TOKEN#")]
    assert tokens
    assert all(item["expires_at"]["N"].isdigit() for item in tokens)
    assert f"1000.{world.account}" not in json.dumps(items)


# --- many at once ----------------------------------------------------------------------------


class NoStore:
    def mark(self, connection):
        raise AssertionError("the grant must not be marked")

    mark_account = mark


def make_broker(aws_url, zoho_url, table, refresh_token):
    client = boto3.client(
        "dynamodb",
        endpoint_url=aws_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    session, credentials = make_session(), ZohoClientCredentials("1000.LOCAL", "local-secret")
    connection = Connection("a", "o", zoho_url, zoho_url, RefreshToken(refresh_token))

    def refresh(grant):
        return request_access_token(session, grant.accounts_server, credentials, grant.grant)

    return TokenBroker(connection, NoStore(), refresh, DynamoTokenCache(client, table))


def request_tokens(arguments, start, results):
    """One process with ten threads, each with a broker of its own, as ten containers have."""
    brokers = [make_broker(*arguments) for _ in range(10)]
    start.wait()

    def one(broker):
        try:
            results.put(broker.token())
        except Exception as error:
            results.put(repr(error))

    threads = [threading.Thread(target=one, args=(broker,)) for broker in brokers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_many_requests_in_several_processes_cause_one_refresh(world):
    arguments = (
        world.aws.url,
        world.zoho.url,
        world.deployment.outputs["ExportsTableName"],
        f"1000.{world.account}",
    )
    spawn = multiprocessing.get_context("forkserver")
    spawn.set_forkserver_preload(["tests.functional.test_broker"])
    start, results = spawn.Barrier(6), spawn.Queue()
    processes = [spawn.Process(target=request_tokens, args=(arguments, start, results)) for _ in range(6)]
    for process in processes:
        process.start()
    tokens = Counter(results.get(timeout=120) for _ in range(60))
    for process in processes:
        process.join()
    assert len(tokens) == 1, tokens
    assert refreshes(world) == 1
    assert os.getpid() not in {process.pid for process in processes}


class Clock:
    """A clock that only the test moves."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


def test_container_that_dies_while_refreshing_blocks_others_for_its_lease_only(world):
    cache = DynamoTokenCache(world.client("dynamodb"), world.deployment.outputs["ExportsTableName"])
    connection = stored(world)
    clock = Clock()
    assert cache.take_lease(cache_key(connection), "died", clock.now, clock.now + 20, None)
    broker = TokenBroker(
        connection, NoStore(), lambda _: AccessToken("t", 3600.0), cache, System(epoch=clock)
    )
    clock.now += 21
    assert broker.token() == "t"


def test_wait_for_another_refresh_ends_with_a_clear_error(world):
    cache = DynamoTokenCache(world.client("dynamodb"), world.deployment.outputs["ExportsTableName"])
    connection = stored(world)
    clock = Clock()
    cache.take_lease(cache_key(connection), "slow", clock.now, clock.now + 20, None)

    def sleep(_seconds):
        clock.now += 1

    system = System(epoch=clock, sleep=sleep)
    broker = TokenBroker(connection, NoStore(), lambda _: AccessToken("t", 3600.0), cache, system)
    with pytest.raises(ZohoUnavailable, match="Another request"):
        broker.token()
    cache.give_up(cache_key(connection), "slow", clock.now + 50)
    with pytest.raises(ZohoThrottled, match="retry in 51 seconds"):
        broker.token()
