"""Calls with one connection's tokens: rejected tokens, retries, streams."""

import math

import pytest
import requests
import responses

from crm_export import deadline, errors, telemetry
from crm_export.system import System
from crm_export.zoho.client import ZohoClient, pause_before_retry

API = "https://www.zohoapis.eu"
INVALID = {"code": "INVALID_TOKEN", "message": "invalid oauth token", "status": "error", "details": {}}


class Tokens:
    """A TokenSource that returns token-1, token-2, ... and records what was called."""

    def __init__(self):
        self.issued = 1
        self.invalidated = False

    def token(self):
        return f"token-{self.issued}"

    def discard(self, token):
        assert token == self.token()
        self.issued += 1

    def invalidate(self):
        self.invalidated = True


@pytest.fixture
def zoho():
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def tokens():
    return Tokens()


@pytest.fixture
def client(tokens):
    return ZohoClient(requests.Session(), API, tokens, System(sleep=lambda _seconds: None))


# --- tokens ---


def test_request_carries_token_in_zohos_own_header(zoho, client):
    zoho.get(f"{API}/x", json={})
    client.request("GET", "/x")
    assert zoho.calls[0].request.headers["Authorization"] == "Zoho-oauthtoken token-1"


def test_request_with_rejected_token_is_sent_once_more_with_a_new_one(zoho, client, tokens):
    zoho.get(f"{API}/x", json=INVALID, status=401)
    zoho.get(f"{API}/x", json={"data": [1]})
    assert client.request("GET", "/x").body == b'{"data": [1]}'
    assert [call.request.headers["Authorization"][-7:] for call in zoho.calls] == ["token-1", "token-2"]
    assert not tokens.invalidated


def test_request_with_new_token_rejected_too_invalidates_the_grant(zoho, client, tokens):
    zoho.get(f"{API}/x", json=INVALID, status=401)
    zoho.get(f"{API}/x", json=INVALID, status=401)
    with pytest.raises(errors.TokenInvalidated):
        client.request("GET", "/x")
    assert tokens.invalidated


@pytest.mark.parametrize("error", [errors.ZohoUnavailable("down"), errors.ZohoThrottled("x", retry_after=1)])
def test_token_request_that_fails_is_not_retried(client, tokens, error):
    calls = []

    def token():
        calls.append(1)
        raise error

    tokens.token = token
    with pytest.raises(type(error)):
        client.request("GET", "/x")
    assert calls == [1]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_other_refusals_do_not_invalidate_the_grant(zoho, client, tokens, status):
    zoho.get(f"{API}/x", body="<html>", status=status)
    with pytest.raises(errors.ZohoError):
        client.request("GET", "/x")
    assert not tokens.invalidated


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


# --- retries ---


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
