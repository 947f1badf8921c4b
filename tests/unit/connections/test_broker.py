"""Shared access tokens over a table in memory; tests/functional tests them over DynamoDB and processes."""

from dataclasses import replace
from urllib.parse import parse_qsl

import pytest
import requests
import responses

from crm_export import deadline
from crm_export.aws.table import Table, attribute, key
from crm_export.aws.token_cache import DynamoTokenCache
from crm_export.cached import Cached
from crm_export.connections.broker import FreshTokens, SharedToken, TokenBroker, cache_key, refresher
from crm_export.connections.model import Connection
from crm_export.errors import (
    ConnectionMalformed,
    ConnectionReplaced,
    TokenInvalidated,
    ZohoClientRejected,
    ZohoThrottled,
    ZohoUnavailable,
)
from crm_export.telemetry import metrics
from crm_export.zoho.grants import ClientCredentials, RefreshToken, ZohoClientCredentials
from crm_export.zoho.oauth import AccessToken
from simulation.dynamodb import DynamoDb, TableData

CONNECTION = Connection("acct-1", "user-1", "https://api", "https://accounts", RefreshToken("refresh-1"))


class World:
    """A clock that sleeping moves, a table, and Zoho, which issues tokens for an hour."""

    def __init__(self):
        self.now = 1000.0
        self.refreshes = 0
        self.error = None
        self.marked = []
        self.stored = None
        self.table = DynamoDb(TableData(lambda: 0.0))
        self.cache = DynamoTokenCache(self.table, "exports")

    def epoch(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds

    def uniform(self, low, high):
        assert (low, high) == (0.05, 0.25)
        return high

    def random_hex(self, size):
        return "ab" * size

    def refresh(self, connection):
        if self.error:
            raise self.error
        self.refreshes += 1
        self.now += 2  # the token's hour begins before the response arrives
        return AccessToken(f"token {self.refreshes}", 3600)

    def mark(self, connection):
        """ConnectionStore."""
        self.marked.append(connection)

    def stored_now(self, connection):
        """ConnectionStore."""
        return self.stored or connection

    def broker(self, connection=CONNECTION):
        return TokenBroker(connection, self, self.refresh, self.cache, self)


@pytest.fixture
def world():
    return World()


@pytest.mark.parametrize(("until_expiry", "refreshes"), [(60.5, 1), (60, 2)])
def test_token_is_used_until_its_last_minute(world, until_expiry, refreshes):
    broker = world.broker()
    broker.token()
    world.now = 1000 + 3600 - until_expiry
    assert broker.token() == world.broker().token() == f"token {refreshes}"
    assert world.refreshes == refreshes


def test_token_that_zoho_rejects_is_replaced_in_memory_and_cache(world):
    broker = world.broker()
    assert broker.token(broker.token()) == "token 2"
    assert broker.token() == world.broker().token() == "token 2"


def test_rejected_token_is_not_replaced_if_another_container_has_done_so(world):
    broker = world.broker()
    rejected = broker.token()
    assert world.broker().token(rejected) == "token 2"
    assert broker.token(rejected) == "token 2"
    assert world.refreshes == 2


def test_token_is_own_only_in_the_container_that_requested_it(world):
    first, second = world.broker(), world.broker()
    token = first.token()
    assert first.is_own(token)
    assert not second.is_own(second.token())
    assert second.is_own(second.token(rejected=token))
    assert not first.is_own(first.token(rejected=token))


def test_rejected_token_stays_in_the_cache_while_zoho_issues_no_other(world):
    token = world.broker().token()
    world.error = ZohoThrottled("slow down", retry_after=30)
    with pytest.raises(ZohoThrottled):
        world.broker().token(rejected=token)
    assert world.broker().token() == token


def test_two_owners_of_an_account_never_share_a_token(world):
    other = replace(CONNECTION, owner="user-2", grant=RefreshToken("refresh-2"))
    assert world.broker().token() == "token 1"
    assert world.broker(other).token() == "token 2"
    assert world.broker().token() == "token 1"


def test_new_refresh_token_of_a_connection_does_not_find_the_token_of_the_last_one(world):
    world.broker().token()
    assert world.broker(replace(CONNECTION, grant=RefreshToken("refresh-2"))).token() == "token 2"


def test_throttling_is_shared_until_it_is_over(world):
    world.error = ZohoThrottled("slow down", retry_after=30)
    with pytest.raises(ZohoThrottled):
        world.broker().token()
    world.error = None
    world.now += 29.5
    with pytest.raises(ZohoThrottled) as throttled:
        world.broker().token()
    assert throttled.value.retry_after == 1
    world.now += 0.5
    assert world.broker().token() == "token 1"


def test_failed_refresh_leaves_the_next_request_free_to_refresh(world):
    world.error = ZohoUnavailable("down", retry_after=30)
    with pytest.raises(ZohoUnavailable):
        world.broker().token()
    world.error = None
    assert world.broker().token() == "token 1"


@pytest.mark.parametrize(("left", "waited"), [(100, 15), (6, 5)])
def test_wait_for_another_refresh_ends_in_time_for_a_response(world, left, waited):
    world.cache.take_lease(cache_key(CONNECTION), "another", world.now, world.now + 20, None)
    with (
        deadline.clocked_by(lambda: 0.0),
        deadline.ends_in(left),
        pytest.raises(ZohoUnavailable, match="takes too long"),
    ):
        world.broker().token()
    assert waited <= world.now - 1000 < waited + 0.3


def test_lease_of_a_container_that_died_is_taken_over_after_twenty_seconds(world):
    world.error = RuntimeError("the container dies")
    with pytest.raises(RuntimeError):
        world.broker().token()
    world.error = None
    cache, grant = world.cache, cache_key(CONNECTION)
    assert not cache.take_lease(grant, "another", 1020, 1040, None)
    assert cache.take_lease(grant, "another", 1020.5, 1040, None)


@pytest.mark.parametrize(
    ("error", "marked", "metric"),
    [
        (TokenInvalidated("revoked"), [CONNECTION], set()),
        (ZohoClientRejected("our secret is wrong"), [], {"ZohoClientRejected"}),
        (ZohoThrottled("slow down", retry_after=30), [], {"TokensThrottled"}),
    ],
    ids=["revoked", "client", "throttled"],
)
def test_failed_refresh_marks_a_revoked_grant_and_counts_the_others(world, error, marked, metric):
    metrics().metric_set.clear()
    world.error = error
    with pytest.raises(type(error)):
        world.broker().token()
    assert (world.marked, set(metrics().metric_set)) == (marked, metric)


def test_cached_token_expires_from_the_table_a_day_after_its_lease(world):
    world.broker().token()
    item = Table(world.table, "exports").get(key(f"TOKEN#{cache_key(CONNECTION)}", "TOKEN"))
    assert item["expires_at"] == attribute(1000 + 24 * 3600)
    assert "lease_owner" not in item


def test_container_whose_lease_was_taken_over_changes_nothing(world):
    cache = world.cache
    assert cache.take_lease("grant", "first", 1000, 1020, None)
    assert cache.take_lease("grant", "second", 1021, 1041, None)
    cache.put("grant", "first", "late", 5000)
    cache.give_up("grant", "first", 9000)
    assert cache.read("grant") == SharedToken()
    assert not cache.take_lease("grant", "third", 1022, 1042, None)


def test_new_token_ends_the_pause_that_throttling_began(world):
    cache = world.cache
    assert cache.take_lease("grant", "first", 1000, 1020, None)
    cache.give_up("grant", "first", 1030)
    assert cache.take_lease("grant", "second", 1030, 1050, None)
    cache.put("grant", "second", "token", 4000)
    assert cache.read("grant") == SharedToken("token", 4000.0, 0.0)


def test_grants_of_different_servers_share_no_token():
    assert cache_key(CONNECTION) != cache_key(replace(CONNECTION, accounts_server="https://other"))


# --- client credentials, and clients of a connection's own ---

OWN = ZohoClientCredentials("1000.OWN", "own-s3cret")
BY_CLIENT = replace(CONNECTION, grant=ClientCredentials("ZohoCRM.1", "ZohoCRM.bulk.READ"), client=OWN)


def test_client_credentials_get_a_new_token_every_hour_and_share_it(world):
    brokers = [world.broker(BY_CLIENT) for _ in range(2)]
    assert {broker.token() for broker in brokers} == {"token 1"}
    world.now += 3600 - 60
    assert {broker.token() for broker in brokers} == {"token 2"}


@pytest.mark.parametrize(
    "change",
    [
        {"client": ZohoClientCredentials("1000.OWN", "new-s3cret")},
        {"client": None},
        {"grant": ClientCredentials("ZohoCRM.2", "ZohoCRM.bulk.READ")},
        {"grant": ClientCredentials("ZohoCRM.1", "ZohoCRM.modules.READ")},
        {"grant": RefreshToken("refresh-1")},
    ],
    ids=["secret", "client", "organisation", "scope", "grant"],
)
def test_other_client_credentials_never_find_each_others_token(change):
    assert cache_key(BY_CLIENT) != cache_key(replace(BY_CLIENT, **change))


def test_own_client_of_a_connection_does_not_change_the_key_of_its_refresh_token():
    assert cache_key(replace(CONNECTION, client=OWN)) == cache_key(CONNECTION)


@pytest.fixture
def zoho():
    with responses.RequestsMock() as mock:
        yield mock


@pytest.mark.parametrize(
    ("connection", "sent"),
    [
        (CONNECTION, {"client_id": "1000.OURS", "grant_type": "refresh_token", "refresh_token": "refresh-1"}),
        (
            replace(CONNECTION, client=OWN),
            {"client_id": "1000.OWN", "grant_type": "refresh_token", "refresh_token": "refresh-1"},
        ),
        (
            BY_CLIENT,
            {
                "client_id": "1000.OWN",
                "client_secret": "own-s3cret",
                "grant_type": "client_credentials",
                "soid": "ZohoCRM.1",
                "scope": "ZohoCRM.bulk.READ",
            },
        ),
        (replace(BY_CLIENT, client=None), {"client_id": "1000.OURS", "soid": "ZohoCRM.1"}),
    ],
    ids=["refresh token", "own client", "client credentials", "client credentials of ours"],
)
def test_token_is_requested_with_the_grant_and_its_client(zoho, connection, sent):
    zoho.post("https://accounts/oauth/v2/token", json={"access_token": "1000.a"})
    ours = Cached(lambda: ZohoClientCredentials("1000.OURS", "our-s3cret"), lambda: 0.0)
    assert refresher(requests.Session(), ours)(connection).value == "1000.a"
    assert sent.items() <= dict(parse_qsl(zoho.calls[0].request.body)).items()


def test_connection_whose_own_client_is_rejected_is_invalidated(zoho):
    zoho.post("https://accounts/oauth/v2/token", json={"error": "invalid_client_secret"})
    with pytest.raises(TokenInvalidated) as raised:
        refresher(requests.Session(), None)(BY_CLIENT)
    assert "own client id or secret (invalid_client_secret)" in raised.value.remedy


def test_connection_without_a_client_cannot_be_used_where_there_is_no_stack():
    with pytest.raises(ConnectionMalformed, match=r"acct-1/user-1 has no token\.client_id"):
        refresher(requests.Session(), None)(CONNECTION)


def test_secrets_of_a_grant_are_not_in_its_repr():
    shown = repr([replace(BY_CLIENT, grant=RefreshToken("refresh-1")), BY_CLIENT])
    assert "refresh-1" not in shown
    assert "s3cret" not in shown


# --- a connection that was stored again while it was kept ---


@pytest.mark.parametrize("changed", [{"grant": RefreshToken("refresh-2")}, {"accounts_server": "https://eu"}])
@pytest.mark.parametrize("error", [TokenInvalidated("revoked"), ZohoClientRejected("not ours")])
def test_refused_grant_is_not_marked_if_another_one_is_stored(world, changed, error):
    world.error = error
    world.stored = replace(CONNECTION, **changed)
    with pytest.raises(ConnectionReplaced, match="acct-1/user-1 was stored again"):
        world.broker().token()
    assert (world.marked, set(metrics().metric_set)) == ([], set())
    world.error = None
    assert world.broker(world.stored).token() == "token 1"


def test_rejected_token_of_a_grant_that_was_replaced_requests_no_other(world):
    broker = world.broker()
    token = broker.token()
    world.stored = replace(CONNECTION, grant=RefreshToken("refresh-2"))
    assert broker.token() == token
    with pytest.raises(ConnectionReplaced):
        broker.token(rejected=token)
    assert world.refreshes == 1


def test_fresh_tokens_of_a_grant_that_was_replaced_end_with_a_rejection(world):
    tokens = FreshTokens(CONNECTION, world, world.refresh)
    world.stored = replace(CONNECTION, grant=RefreshToken("refresh-2"))
    token = tokens.token()
    with pytest.raises(ConnectionReplaced):
        tokens.token(rejected=token)
    assert world.refreshes == 1
