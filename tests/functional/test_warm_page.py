"""Pages from a container that has served one before: what it calls, and when it notices a new connection."""

import json

import pytest

from crm_export.system import System
from crm_export.wiring import Container, boto3_client

PAGE = "/v1/e/zoho/export/contacts"


class Warm:
    """One container for all invocations, its clock, and the AWS calls of its clients."""

    def __init__(self, world):
        self.now = 1000.0
        self.aws_calls = []
        self.clients = []
        self._container = None
        world.make_container = self.container

    def container(self, variables):
        system = System(monotonic=lambda: self.now)
        self._container = self._container or Container(variables, aws=self.client, system=system)
        return self._container

    def client(self, service):
        client = boto3_client(service)
        client.meta.events.register("before-call", self.record, unique_id="warm page")
        self.clients.append(client)
        return client

    def record(self, model, **_):
        self.aws_calls.append(model.name)


@pytest.fixture
def warm(world):
    warm = Warm(world)
    yield warm
    for client in warm.clients:
        client.meta.events.unregister("before-call", unique_id="warm page")


def get(world):
    return world.http("ExportHandler", "GET", PAGE, query={"limit": "200"})


def secret_name(world):
    return f"zoho-crm-export/connections/{world.account}/{world.owner}"


def connect_again(world, refresh_token, **changes):
    """Replace the account's grant at Zoho and in the store, as an operator does."""
    token = {"refresh_token": refresh_token, "api_domain": world.zoho.url, "accounts_server": world.zoho.url}
    world.zoho.config.refresh_tokens.add(refresh_token)
    world.client("secretsmanager").put_secret_value(
        SecretId=secret_name(world), SecretString=json.dumps({"token": {**token, **changes}})
    )


def disconnect(world):
    world.client("secretsmanager").delete_secret(SecretId=secret_name(world), ForceDeleteWithoutRecovery=True)


def test_warm_page_makes_one_call_to_zoho_and_none_to_aws(world, warm):
    assert get(world)[0] == 200
    world.zoho.journal.clear()
    warm.aws_calls.clear()
    pages = [get(world) for _ in range(3)]
    assert [status for status, _ in pages] == [200] * 3
    assert len(pages[0][1]["data"]) == 200
    assert [request["path"] for request in world.zoho.journal.requests()] == ["/crm/v2/Contacts"] * 3
    assert warm.aws_calls == []


def test_connection_is_read_again_after_a_minute(world, warm):
    get(world)
    warm.aws_calls.clear()
    warm.now += 59.5
    get(world)
    assert warm.aws_calls == []
    warm.now += 0.5
    assert get(world)[0] == 200
    assert warm.aws_calls == ["GetSecretValue"]


def test_connection_is_read_for_each_page_if_none_is_kept(world, warm):
    world.configure("ExportHandler", CONNECTION_CACHE_SECONDS="0")
    get(world)
    warm.aws_calls.clear()
    get(world)
    get(world)
    assert warm.aws_calls == ["GetSecretValue"] * 2


@pytest.mark.parametrize("token_cache", ["shared", "off"])
def test_page_after_a_reconnect_whose_old_grant_is_revoked_succeeds(world, warm, token_cache):
    world.configure("ExportHandler", ACCESS_TOKEN_CACHE=token_cache)
    assert get(world)[0] == 200
    connect_again(world, f"1000.{world.account}.new")
    world.zoho.config.refresh_tokens.remove(f"1000.{world.account}")
    world.zoho.organisation.tokens.expire_all()
    assert get(world)[0] == 200
    users = [grant.refresh_token for grant in world.zoho.organisation.tokens._grants.values()]
    assert users[-1] == f"1000.{world.account}.new"
    stored = world.client("secretsmanager").get_secret_value(SecretId=secret_name(world))["SecretString"]
    assert "token_invalidated" not in stored


def test_rejected_token_brings_the_new_connection_although_the_old_grant_still_works(world, warm):
    get(world)
    connect_again(world, f"1000.{world.account}.new")
    world.zoho.organisation.tokens.expire_all()
    assert get(world)[0] == 200
    users = [grant.refresh_token for grant in world.zoho.organisation.tokens._grants.values()]
    assert users[-1] == f"1000.{world.account}.new"


def test_reconnect_that_zoho_does_not_reveal_is_noticed_after_a_minute(world, warm):
    get(world)
    connect_again(world, f"1000.{world.account}.new")
    get(world)
    warm.now += 60
    get(world)
    sent = [entry["headers"]["authorization"] for entry in world.zoho.journal.requests("/crm/")]
    assert (sent[0] == sent[1], sent[1] == sent[2]) == (True, False)


def test_deleted_connection_stops_working_within_a_minute(world, warm):
    get(world)
    disconnect(world)
    assert get(world)[0] == 200
    warm.now += 60
    status, body = get(world)
    assert (status, body["message"]) == (404, "Access Token is not Found")


def test_deleted_connection_stops_working_at_once_if_zoho_rejects_its_token(world, warm):
    get(world)
    disconnect(world)
    world.zoho.organisation.tokens.expire_all()
    status, body = get(world)
    assert (status, body["message"]) == (404, "Access Token is not Found")


def test_new_connection_is_found_by_a_container_that_has_looked_for_it(world, warm):
    get(world)
    world.account += "-late"
    assert get(world)[0] == 404
    world.store_connection()
    assert get(world)[0] == 200


def test_tenants_of_a_warm_container_never_get_the_connection_of_another(world, warm):
    """Each of these differs from another one in its account or in its owner only."""
    accounts = [world.account, f"{world.account}-2"]
    callers = [(account, owner) for account in accounts for owner in ("user-1", "user-2")]
    for caller in callers[1:]:
        world.account, world.owner = caller
        world.store_connection(refresh_token=f"1000.{'.'.join(caller)}")
    sent = {caller: set() for caller in callers}
    for caller in callers * 2:
        world.zoho.journal.clear()
        world.account, world.owner = caller
        assert get(world)[0] == 200
        (request,) = world.zoho.journal.requests("/crm/")
        sent[caller].add(request["headers"]["authorization"])
    assert [len(tokens) for tokens in sent.values()] == [1] * 4
    assert len(set.union(*sent.values())) == 4
