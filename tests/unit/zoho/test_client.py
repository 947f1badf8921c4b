"""One connection's calls: a rejected token is refreshed once, and a redirect never followed."""

import pytest
import requests
import responses

from crm_export import deadline, errors
from crm_export.zoho.client import ZohoClient

API = "https://www.zohoapis.eu"
INVALID = {"code": "INVALID_TOKEN", "message": "invalid oauth token", "status": "error", "details": {}}


class Tokens:
    """A TokenSource that gives token-1, token-2, ... and notes what it is told."""

    def __init__(self):
        self.given = 1
        self.invalidated = False

    def token(self):
        return f"token-{self.given}"

    def discard(self, token):
        assert token == self.token()
        self.given += 1

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
    return ZohoClient(requests.Session(), API, tokens)


def test_the_token_goes_in_zohos_own_header(zoho, client):
    zoho.get(f"{API}/x", json={})
    client.request("GET", "/x")
    assert zoho.calls[0].request.headers["Authorization"] == "Zoho-oauthtoken token-1"


def test_a_rejected_token_is_refreshed_once_and_the_call_made_again(zoho, client, tokens):
    zoho.get(f"{API}/x", json=INVALID, status=401)
    zoho.get(f"{API}/x", json={"data": [1]})
    assert client.request("GET", "/x").body == b'{"data": [1]}'
    assert [call.request.headers["Authorization"][-7:] for call in zoho.calls] == ["token-1", "token-2"]
    assert not tokens.invalidated


def test_a_new_token_that_is_rejected_too_invalidates_the_grant(zoho, client, tokens):
    zoho.get(f"{API}/x", json=INVALID, status=401)
    zoho.get(f"{API}/x", json=INVALID, status=401)
    with pytest.raises(errors.TokenInvalidated):
        client.request("GET", "/x")
    assert tokens.invalidated


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_other_refusals_are_not_tried_again_here(zoho, client, tokens, status):
    zoho.get(f"{API}/x", body="<html>", status=status)
    with pytest.raises(errors.ZohoError):
        client.request("GET", "/x")
    assert not tokens.invalidated


@pytest.mark.parametrize("location", ["https://evil.example/", "/elsewhere"])
def test_a_redirect_is_not_followed(zoho, client, location):
    zoho.get(f"{API}/x", status=302, headers={"Location": location})
    with pytest.raises(errors.ZohoUnavailable, match="redirect"):
        client.request("GET", "/x")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, errors.ZohoError), (404, errors.ZohoUnavailable), (500, errors.ZohoUnavailable)],
)
@pytest.mark.parametrize("content_type", ["text/html", "application/zip", "application/json"])
def test_a_refusal_is_no_stream_whatever_it_looks_like(zoho, client, status, kind, content_type):
    zoho.get(f"{API}/x", body=b"<html>", status=status, content_type=content_type)
    with pytest.raises(kind), client.stream("/x"):
        pytest.fail("This is no result.")


def test_json_is_no_result(zoho, client):
    zoho.get(f"{API}/x", json={"code": "NOT_YET", "status": "error"}, status=200)
    with pytest.raises(errors.ZohoError), client.stream("/x"):
        pytest.fail("This is no result.")


def test_a_stream_whose_token_is_rejected_is_asked_for_once_more(zoho, client):
    zoho.get(f"{API}/x", json=INVALID, status=401)
    zoho.get(f"{API}/x", body=b"PK", content_type="application/zip")
    with client.stream("/x") as chunks:
        assert b"".join(chunks) == b"PK"


def test_a_stream_ends_while_there_is_time_to_tidy_up(zoho, client):
    zoho.get(f"{API}/x", body=b"PK", content_type="application/zip")
    with deadline.ends_in(9), pytest.raises(errors.ZohoTimeout), client.stream("/x") as chunks:
        list(chunks)


def test_a_stream_that_breaks_off_is_told(zoho, client):
    zoho.get(f"{API}/x", body=b"1234", headers={"Content-Length": "10"}, auto_calculate_content_length=False)
    with pytest.raises(errors.ZohoUnavailable, match="broke an answer off"), client.stream("/x") as chunks:
        list(chunks)
