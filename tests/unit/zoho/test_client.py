"""Calls with one connection's tokens: rejected tokens, retries, streams."""

import math
from contextlib import suppress
from dataclasses import replace

import pytest
import requests
import responses

from crm_export import deadline, errors, telemetry
from crm_export.aws.token_cache import DynamoTokenCache
from crm_export.connections.broker import FreshTokens, TokenBroker, cache_key
from crm_export.connections.model import Connection
from crm_export.system import System
from crm_export.zoho.client import ZohoClient, pause_before_retry
from crm_export.zoho.credits import metering
from crm_export.zoho.grants import RefreshToken
from crm_export.zoho.oauth import AccessToken
from simulation.dynamodb import DynamoDb, TableData

API = "https://www.zohoapis.eu"
CONNECTION = Connection("acct-1", "user-1", API, "https://accounts.zoho.eu", RefreshToken("1000.refresh"))
SYSTEM = System(sleep=lambda _seconds: None)


def error(code):
    return {"code": code, "message": "invalid oauth token", "status": "error", "details": {}}


INVALID = error("INVALID_TOKEN")


class Accounts:
    """Zoho's token endpoint, which issues token-1, token-2, ..., and the store of connections."""

    def __init__(self):
        self.issued = 0
        self.api_domain = API
        self.marked = []
        self.stored = None  # a connection that replaces the one in use

    def refresh(self, _connection):
        self.issued += 1
        return AccessToken(f"token-{self.issued}", 3600, self.api_domain)

    def stored_now(self, connection):
        return self.stored or connection

    def mark(self, connection):
        self.marked.append(("one", connection))

    def mark_account(self, connection):
        self.marked.append(("account", connection))


@pytest.fixture
def zoho():
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def accounts():
    return Accounts()


@pytest.fixture
def client(accounts):
    return ZohoClient(requests.Session(), API, FreshTokens(CONNECTION, accounts, accounts.refresh), SYSTEM)


def tokens_sent(zoho):
    return [call.request.headers["Authorization"].removeprefix("Zoho-oauthtoken ") for call in zoho.calls]


# --- tokens ---


def test_request_carries_token_in_zohos_own_header(zoho, client):
    zoho.get(f"{API}/x", json={})
    client.request("GET", "/x")
    assert zoho.calls[0].request.headers["Authorization"] == "Zoho-oauthtoken token-1"


LOGIN = {"Location": "https://accounts.zoho.eu/signin?servicename=ZohoCRM"}
STALE = {
    "INVALID_TOKEN": {"json": INVALID, "status": 401},
    "AUTHENTICATION_FAILED": {"json": error("AUTHENTICATION_FAILED"), "status": 401},
    "INVALID_OAUTHTOKEN": {"json": error("INVALID_OAUTHTOKEN"), "status": 401},
    "INVALID_TOKEN with 200": {"json": INVALID, "status": 200},
    "INVALID_TOKEN within data": {"json": {"data": [INVALID]}, "status": 200},
    "unknown code": {"json": error("A_CODE_OF_TOMORROW"), "status": 401},
    "bare 401": {"body": "", "status": 401},
    "HTML 401": {"body": "<html>", "status": 401, "content_type": "text/html"},
    "redirect to a login page": {"status": 302, "headers": LOGIN},
    "login page": {"body": "<html>Sign in", "content_type": "text/html"},
}
# What the same response means if brand-new tokens get it, too; only Zoho's codes about tokens mark the grant.
MEANS = {
    "unknown code": errors.ZohoPermissionDenied,
    **dict.fromkeys(
        ("bare 401", "HTML 401", "redirect to a login page", "login page"), errors.ZohoUnavailable
    ),
}


@pytest.mark.parametrize("response", STALE)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_request_with_stale_token_is_sent_once_more_with_a_new_one(zoho, client, accounts, method, response):
    zoho.add(method, f"{API}/x", **STALE[response])
    zoho.add(method, f"{API}/x", json={"data": [1]})
    assert client.request(method, "/x").body == b'{"data": [1]}'
    assert tokens_sent(zoho) == ["token-1", "token-2"]
    assert not accounts.marked


@pytest.mark.parametrize("response", STALE)
def test_request_whose_new_token_is_rejected_too_ends_as_the_response_means(client, accounts, response):
    kind = MEANS.get(response, errors.TokenInvalidated)
    with responses.RequestsMock() as zoho:
        zoho.post(f"{API}/x", **STALE[response])
        with pytest.raises(kind) as raised:
            client.request("POST", "/x")
        assert tokens_sent(zoho) == ["token-1", "token-2"]
    assert type(raised.value) is kind
    is_dead = kind is errors.TokenInvalidated
    assert accounts.marked == ([("account", CONNECTION)] if is_dead else [])


def test_second_rejection_says_in_the_remedy_which_host_rejects_the_tokens(zoho, client):
    zoho.get(f"{API}/x", json=INVALID, status=401)
    with pytest.raises(errors.TokenInvalidated) as raised:
        client.request("GET", "/x")
    assert raised.value.message == "TOKEN_INVALIDATED"
    assert raised.value.remedy == f"Connect the account to Zoho again. {API} rejects its new access tokens."


def test_token_of_another_container_is_blanked_in_what_zoho_quotes(zoho, cache, accounts):
    put(cache, "theirs-in-a-form-of-its-own")
    quoting = error("INVALID_DATA") | {"message": "token=theirs-in-a-form-of-its-own."}
    zoho.post(f"{API}/x", json=quoting, status=400)
    shared = TokenBroker(CONNECTION, accounts, accounts.refresh, cache, SYSTEM)
    with pytest.raises(errors.ZohoQueryRefused, match=r"token=\*\*\*\."):
        ZohoClient(requests.Session(), API, shared, SYSTEM).request("POST", "/x")


def test_scope_mismatch_costs_no_new_token(zoho, client, accounts):
    zoho.get(f"{API}/x", json=error("OAUTH_SCOPE_MISMATCH"), status=401)
    with pytest.raises(errors.ZohoPermissionDenied):
        client.request("GET", "/x")
    assert accounts.issued == 1


@pytest.mark.parametrize("code", ["INVALID_TOKEN", "AUTHENTICATION_FAILED", "A_CODE_OF_TOMORROW"])
def test_rejected_token_with_5xx_is_an_outage_and_costs_no_new_token(zoho, client, accounts, code):
    zoho.post(f"{API}/x", json=error(code), status=503)
    with pytest.raises(errors.ZohoUnavailable):
        client.request("POST", "/x")
    assert accounts.issued == 1


@pytest.mark.parametrize("other", ["https://www.zohoapis.com", "http://127.0.0.1:9000"])
def test_grant_of_another_host_is_not_marked_and_the_error_names_the_host(zoho, client, accounts, other):
    accounts.api_domain = other
    zoho.get(f"{API}/x", json=INVALID, status=401)
    with pytest.raises(errors.WrongDataCentre, match=other) as raised:
        client.request("GET", "/x")
    assert "acct-1/user-1" in raised.value.message
    assert API in raised.value.message
    assert not accounts.marked


# --- tokens that other containers have requested ---


@pytest.fixture
def cache():
    return DynamoTokenCache(DynamoDb(TableData(lambda: 0.0)), "exports")


@pytest.fixture
def shared(accounts, cache):
    """Return a client whose tokens are shared through the cache."""
    return ZohoClient(
        requests.Session(), API, TokenBroker(CONNECTION, accounts, accounts.refresh, cache, SYSTEM), SYSTEM
    )


def put(cache, token, rejected=None):
    """Store a token as another container does."""
    assert cache.take_lease(cache_key(CONNECTION), "another", 0.0, math.inf, rejected)
    cache.put(cache_key(CONNECTION), "another", token, math.inf)


def replacing(cache, *tokens):
    """Return a response of Zoho that rejects the token, while other containers store these, one at a time."""
    coming = list(tokens)

    def respond(request):
        rejected = request.headers["Authorization"].rpartition(" ")[2]
        if coming:
            put(cache, coming.pop(0), rejected)
        return 401, {}, '{"code": "INVALID_TOKEN"}'

    return respond


def test_rejected_token_of_another_container_is_replaced_by_our_own_before_the_grant_is_marked(
    zoho, shared, accounts, cache
):
    put(cache, "theirs-1")
    zoho.add_callback("GET", f"{API}/x", replacing(cache, "theirs-2"))
    with pytest.raises(errors.TokenInvalidated):
        shared.request("GET", "/x")
    assert tokens_sent(zoho) == ["theirs-1", "theirs-2", "token-1"]
    assert accounts.marked == [("account", CONNECTION)]


def test_grant_is_not_marked_for_tokens_of_other_containers_alone(zoho, shared, accounts, cache):
    put(cache, "theirs-1")
    zoho.add_callback("POST", f"{API}/x", replacing(cache, "theirs-2", "theirs-3"))
    with pytest.raises(errors.ZohoUnavailable, match="other containers"):
        shared.request("POST", "/x")
    assert tokens_sent(zoho) == ["theirs-1", "theirs-2", "theirs-3"]
    assert (accounts.issued, accounts.marked) == (0, [])


def test_rejected_token_leaves_the_cache_with_its_replacement(zoho, shared, accounts, cache):
    put(cache, "theirs-1")
    zoho.get(f"{API}/x", json=INVALID, status=401)
    zoho.get(f"{API}/x", json={})
    shared.request("GET", "/x")
    assert cache.read(cache_key(CONNECTION)).token == "token-1"
    assert accounts.issued == 1


@pytest.mark.parametrize(
    "failure", [errors.ZohoUnavailable("down"), errors.ZohoThrottled("x", retry_after=1)]
)
def test_token_request_that_fails_is_not_retried(failure):
    calls = []

    def refresh(_connection):
        calls.append(1)
        raise failure

    client = ZohoClient(requests.Session(), API, FreshTokens(CONNECTION, Accounts(), refresh), SYSTEM)
    with pytest.raises(type(failure)):
        client.request("GET", "/x")
    assert calls == [1]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_other_refusals_do_not_invalidate_the_grant(zoho, client, accounts, status):
    zoho.get(f"{API}/x", body="<html>", status=status)
    with pytest.raises(errors.ZohoError):
        client.request("GET", "/x")
    assert not accounts.marked


@pytest.mark.parametrize("location", ["https://evil.example/", "/elsewhere"])
def test_redirect_is_not_followed(zoho, client, location):
    zoho.get(f"{API}/x", status=302, headers={"Location": location})
    with pytest.raises(errors.ZohoUnavailable, match="redirect"):
        client.request("GET", "/x")


@pytest.mark.parametrize(("header", "value"), [("4999", 4999.0), ("0", 0.0), ("many", None)])
def test_credits_left_are_recorded(zoho, client, header, value):
    telemetry.metrics().metric_set.clear()
    zoho.get(f"{API}/x", json={}, headers={"X-API-CREDITS-REMAINING": header})
    client.request("GET", "/x")
    recorded = telemetry.metrics().metric_set.pop("ZohoCreditsRemaining", {"Value": [None]})
    assert recorded["Value"] == [value]


@pytest.mark.parametrize(
    ("responses_", "spent"),
    [
        ([{"json": {}}], 1),
        ([{"json": INVALID, "status": 401}, {"json": {}}], 1),
        ([{"body": "<html>", "status": 500}, {"json": {}}], 1),
        ([{"json": error("INTERNAL_ERROR"), "status": 500}, {"json": {}}], 2),
        ([{"json": error("INVALID_MODULE"), "status": 400}], 1),
        ([{"json": error("TOO_MANY_REQUESTS"), "status": 429}], 0),
    ],
)
def test_each_response_of_zohos_api_is_metered_but_no_rejected_token_and_no_throttle(
    zoho, client, responses_, spent
):
    for response in responses_:
        zoho.get(f"{API}/x", **response)
    with metering() as meter, suppress(errors.ZohoError):
        client.request("GET", "/x")
    assert meter.credits == spent


def test_response_that_arrives_when_no_time_is_left_is_metered(zoho, client):
    now = [0.0]

    def respond(_request):
        now[0] = 9.5
        return 201, {}, '{"data": []}'

    zoho.add_callback("POST", f"{API}/crm/bulk/v8/read", respond)
    with (
        deadline.clocked_by(lambda: now[0]),
        deadline.ends_in(10),
        metering() as meter,
        pytest.raises(errors.ZohoTooSlow),
    ):
        client.request("POST", "/crm/bulk/v8/read", json={})
    assert meter.credits == 50


def test_download_is_metered(zoho, client):
    zoho.get(f"{API}/result", body=b"PK", content_type="application/zip")
    with metering() as meter, client.stream("/result") as chunks:
        assert b"".join(chunks) == b"PK"
    assert meter.credits == 1


# --- retries ---


def test_json_with_the_content_type_of_a_page_is_read(zoho, client):
    zoho.get(f"{API}/x", body=b'{"data": []}', content_type="text/html")
    assert client.request("GET", "/x").body == b'{"data": []}'


@pytest.mark.parametrize("page", ["<html>Forbidden", ""])
def test_403_of_a_gateway_is_retried(zoho, client, page):
    zoho.get(f"{API}/x", body=page, status=403, content_type="text/html")
    zoho.get(f"{API}/x", body="ok")
    assert client.request("GET", "/x").body == b"ok"


@pytest.mark.parametrize(("method", "calls"), [("GET", 3), ("POST", 1)])
def test_outage_is_retried_twice_for_get_only(zoho, client, method, calls):
    zoho.add(method, f"{API}/x", body="<html>", status=500)
    with pytest.raises(errors.ZohoUnavailable):
        client.request(method, "/x")
    assert len(zoho.calls) == calls


def test_outage_that_ends_within_the_retries_is_not_reported(zoho, client):
    zoho.get(f"{API}/x", body="<html>", status=500)
    zoho.get(f"{API}/x", json=INVALID, status=401)
    zoho.get(f"{API}/x", body="<html>", status=500)
    zoho.get(f"{API}/x", body="ok")
    assert client.request("GET", "/x").body == b"ok"


@pytest.mark.parametrize(("left", "waited"), [(math.inf, 59), (28, 27)])
def test_request_with_all_its_retries_takes_a_minute_or_what_the_function_has_left(accounts, left, waited):
    now = [0.0]

    class Session:
        def request(self, *_args, timeout, **_kwargs):
            now[0] += min(25, timeout[1])
            raise requests.ReadTimeout

    tokens = FreshTokens(CONNECTION, accounts, accounts.refresh)
    client = ZohoClient(Session(), API, tokens, System(sleep=SYSTEM.sleep, uniform=lambda low, _high: low))
    with (
        deadline.clocked_by(lambda: now[0]),
        deadline.ends_in(left),
        pytest.raises(errors.ZohoTimeout),
    ):
        client.request("GET", "/x")
    assert now[0] == pytest.approx(waited, abs=2)


@pytest.mark.parametrize("kind", [errors.ZohoUnavailable, errors.ZohoTimeout])
def test_pause_before_retry_grows_and_ends_after_two_retries(kind):
    pauses = [pause_before_retry(kind("x"), "GET", attempt, math.inf) for attempt in (1, 2, 3)]
    assert 0 <= pauses[0] <= 0.8
    assert 0 <= pauses[1] <= 1.6
    assert pauses[2] is None


def test_pause_before_retry_has_jitter():
    error = errors.ZohoUnavailable("x")
    assert len({pause_before_retry(error, "GET", 1, math.inf) for _ in range(20)}) > 10


@pytest.mark.parametrize("kind", [errors.ZohoUnavailable, errors.ZohoTimeout, errors.ZohoThrottled])
def test_pause_before_retry_of_post_is_none(kind):
    assert pause_before_retry(kind("x", retry_after=1), "POST", 1, math.inf) is None


@pytest.mark.parametrize(
    "kind",
    [errors.ZohoNotFound, errors.ZohoPermissionDenied, errors.ZohoQueryRefused, errors.ZohoTokenRejected],
)
def test_pause_before_retry_of_refusal_is_none(kind):
    assert pause_before_retry(kind("x"), "GET", 1, math.inf) is None


@pytest.mark.parametrize(("retry_after", "waits"), [(1, True), (3, True), (4, False), (None, False)])
def test_pause_before_retry_honours_a_short_retry_after_only(retry_after, waits):
    error = errors.ZohoThrottled("x", retry_after=retry_after)
    pause = pause_before_retry(error, "GET", 1, math.inf)
    assert (pause is not None) == waits
    assert pause is None or pause >= retry_after


@pytest.mark.parametrize(("remaining", "retried"), [(20, True), (5, False), (0, False)])
def test_pause_before_retry_without_time_for_a_call_is_none(remaining, retried):
    assert (pause_before_retry(errors.ZohoUnavailable("x"), "GET", 1, remaining) is not None) == retried


# --- streams ---


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, errors.ZohoError), (404, errors.ZohoUnavailable), (500, errors.ZohoUnavailable)],
)
@pytest.mark.parametrize("content_type", ["text/html", "application/zip", "application/json"])
def test_stream_of_refusal_raises_whatever_its_content_type(zoho, client, status, kind, content_type):
    zoho.get(f"{API}/x", body=b"<html>", status=status, content_type=content_type)
    with pytest.raises(kind), client.stream("/x"):
        pytest.fail("a refusal was returned as a stream")


def test_stream_of_json_raises(zoho, client):
    zoho.get(f"{API}/x", json={"code": "NOT_YET", "status": "error"}, status=200)
    with pytest.raises(errors.ZohoError), client.stream("/x"):
        pytest.fail("JSON was returned as a stream")


def test_stream_of_an_html_page_raises(zoho, client):
    zoho.get(f"{API}/x", body=b"<html>Maintenance", content_type="text/html")
    with pytest.raises(errors.ZohoUnavailable), client.stream("/x"):
        pytest.fail("a page was returned as a result")


def test_stream_without_a_body_has_no_chunks(zoho, client):
    zoho.get(f"{API}/x", status=204)
    with client.stream("/x") as chunks:
        assert list(chunks) == []


def test_stream_with_rejected_token_is_requested_once_more(zoho, client):
    zoho.get(f"{API}/x", json=INVALID, status=401)
    zoho.get(f"{API}/x", body=b"PK", content_type="application/zip")
    with client.stream("/x") as chunks:
        assert b"".join(chunks) == b"PK"


def test_stream_ends_while_there_is_time_to_clean_up(zoho, client):
    zoho.get(f"{API}/x", body=b"PK", content_type="application/zip")
    with deadline.ends_in(9), pytest.raises(errors.ZohoTimeout), client.stream("/x") as chunks:
        list(chunks)


def test_stream_that_ends_early_raises(zoho, client):
    zoho.get(f"{API}/x", body=b"1234", headers={"Content-Length": "10"}, auto_calculate_content_length=False)
    with pytest.raises(errors.ZohoUnavailable, match="ended early"), client.stream("/x") as chunks:
        list(chunks)


# --- a connection that was stored again while it was kept ---

SECOND = replace(CONNECTION, api_domain="https://www.zohoapis.com", grant=RefreshToken("1000.second"))
THIRD = replace(CONNECTION, grant=RefreshToken("1000.third"))


@pytest.fixture
def of_stored(accounts):
    """Return a function that makes the client of a connection, whose successor is that of the stored one."""

    def make(connection):
        tokens = FreshTokens(connection, accounts, accounts.refresh)
        session, successor = requests.Session(), lambda: make(accounts.stored)
        return ZohoClient(session, connection.api_domain, tokens, SYSTEM, successor)

    return make


def test_request_that_meets_a_replaced_connection_goes_to_the_stored_one(zoho, accounts, of_stored):
    zoho.post(f"{API}/x", json=INVALID, status=401)
    zoho.post(f"{SECOND.api_domain}/x", json={"data": [1]})
    accounts.stored = SECOND
    assert of_stored(CONNECTION).request("POST", "/x").body == b'{"data": [1]}'
    assert tokens_sent(zoho) == ["token-1", "token-2"]
    assert not accounts.marked


def test_stream_that_meets_a_replaced_connection_comes_from_the_stored_one(zoho, accounts, of_stored):
    zoho.get(f"{API}/x", json=INVALID, status=401)
    zoho.get(f"{SECOND.api_domain}/x", body=b"PK", content_type="application/zip")
    accounts.stored = SECOND
    with of_stored(CONNECTION).stream("/x") as chunks:
        assert b"".join(chunks) == b"PK"


def test_connection_that_is_replaced_twice_within_a_request_ends_it(zoho, accounts, of_stored):
    def store_third(_request):
        accounts.stored = THIRD
        return 401, {}, '{"code": "INVALID_TOKEN"}'

    zoho.get(f"{API}/x", json=INVALID, status=401)
    zoho.add_callback("GET", f"{SECOND.api_domain}/x", store_third)
    accounts.stored = SECOND
    with pytest.raises(errors.ConnectionReplaced):
        of_stored(CONNECTION).request("GET", "/x")
    assert len(zoho.calls) == 2
    assert not accounts.marked


def test_rejected_tokens_of_the_stored_connection_mark_it_and_not_the_replaced_one(zoho, accounts, of_stored):
    zoho.get(f"{API}/x", json=INVALID, status=401)
    zoho.get(f"{SECOND.api_domain}/x", json=INVALID, status=401)
    accounts.stored, accounts.api_domain = SECOND, SECOND.api_domain
    with pytest.raises(errors.TokenInvalidated):
        of_stored(CONNECTION).request("GET", "/x")
    assert accounts.marked == [("account", SECOND)]
