"""The token endpoint and the checks of access tokens."""

from urllib.parse import urlencode

import pytest

from tests.unit.zoho_simulator.conftest import CREDENTIALS, URL


def refresh(client, *, form=True, **changes):
    parameters = {**CREDENTIALS, **changes}
    if form:
        return client.request("POST", "/oauth/v2/token", data=parameters)
    return client.request("POST", f"/oauth/v2/token?{urlencode(parameters)}")


def test_token_response_names_another_api_domain(start):
    assert (
        refresh(start(api_domain="https://www.zohoapis.eu")).json()["api_domain"] == "https://www.zohoapis.eu"
    )


@pytest.mark.parametrize(
    ("style", "status", "says"),
    [
        ("AUTHENTICATION_FAILED", 401, b'"code":"AUTHENTICATION_FAILED"'),
        ("INVALID_OAUTHTOKEN", 401, b'"code":"INVALID_OAUTHTOKEN"'),
        ("bare", 401, b""),
        ("redirect", 302, b""),
        ("page", 200, b"Sign in"),
    ],
)
def test_invalid_access_token_has_the_response_that_is_set(start, style, status, says):
    client = start(stale_token=style)
    client.organisation.tokens.expire_all()
    response = client.get("/crm/v2/Contacts")
    assert response.status_code == status
    assert says in response.content
    assert ("signin" in response.headers.get("Location", "")) == (style == "redirect")


@pytest.mark.parametrize("form", [False, True])
def test_token_is_issued_for_parameters_in_query_or_form(client, form):
    response = refresh(client, form=form)
    body = response.json()
    assert response.status_code == 200
    assert body["api_domain"] == URL
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 3600)
    assert "refresh_token" not in body
    assert body["access_token"].startswith("1000.")


def test_old_style_expiry_is_in_milliseconds(start):
    body = refresh(start(expires_in_style="expires_in_sec")).json()
    assert (body["expires_in_sec"], body["expires_in"]) == (3600, 3_600_000)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_id": "x"}, "invalid_client"),
        ({"client_secret": "x"}, "invalid_client_secret"),
        ({"refresh_token": "x"}, "invalid_code"),
        ({"grant_type": "x"}, "invalid_code"),
    ],
)
def test_wrong_credentials_are_an_error_with_http_200(client, changes, error):
    response = refresh(client, **changes)
    assert (response.status_code, response.json()) == (200, {"error": error})


def test_eleventh_token_within_ten_minutes_is_refused(client, clock):  # the client took the first
    assert all("access_token" in refresh(client).json() for _ in range(9))
    throttled = refresh(client)
    assert throttled.status_code == 400
    assert throttled.json()["error"] == "Access Denied"
    clock.advance(600)
    assert "access_token" in refresh(client).json()


def test_throttle_status_can_be_set(start):
    client = start(tokens_per_window=1, throttle_status=200)
    response = refresh(client)
    assert (response.status_code, response.json()["status"]) == (200, "failure")


def test_sixteenth_token_invalidates_the_first(start):
    client = start(tokens_per_window=100)
    for _ in range(14):
        refresh(client)
    assert client.get("/crm/v2/Contacts").status_code == 200
    refresh(client)
    assert client.get("/crm/v2/Contacts").json()["code"] == "INVALID_TOKEN"


def test_access_token_expires_after_an_hour(client, clock):
    clock.advance(3599)
    assert client.get("/crm/v2/Contacts").status_code == 200
    clock.advance(1)
    response = client.get("/crm/v2/Contacts")
    assert response.status_code == 401
    assert response.json() == {
        "code": "INVALID_TOKEN", "details": {}, "message": "invalid oauth token", "status": "error",
    }  # fmt: skip


def test_bearer_is_accepted_and_other_schemes_are_refused(client):
    token = client.authorization.partition(" ")[2]

    def outcome(authorization):
        response = client.get("/crm/v2/Contacts", headers={"Authorization": authorization})
        return response.status_code, response.json().get("code")

    assert outcome(f"Bearer {token}") == (200, None)
    assert outcome(f"Basic {token}") == (401, "INVALID_TOKEN")
    assert outcome("Zoho-oauthtoken 1000.nonsense") == (401, "INVALID_TOKEN")
    assert outcome("") == (401, "AUTHENTICATION_FAILURE")


def test_removed_refresh_token_is_invalid_with_its_access_tokens(client):
    client.config.refresh_tokens.remove("1000.local.refresh")
    assert refresh(client).json() == {"error": "invalid_code"}
    assert client.get("/crm/v2/Contacts").status_code == 401


def test_missing_scope_is_refused(start):
    client = start(scopes="ZohoCRM.modules.contacts.READ,ZohoCRM.bulk.READ")
    assert client.get("/crm/v2/Contacts").status_code == 200
    assert client.get("/crm/v2/Deals").json()["code"] == "OAUTH_SCOPE_MISMATCH"
    refused = client.create({"query": {"module": {"api_name": "Deals"}}})
    assert (refused.status_code, refused.json()["code"]) == (401, "OAUTH_SCOPE_MISMATCH")


def test_tokens_depend_on_the_random_generator_only(start):
    assert start().authorization == start().authorization


def test_one_access_token_can_be_expired(client):
    client.organisation.tokens.expire(client.authorization.removeprefix("Zoho-oauthtoken "))
    assert client.get("/crm/v8/settings/modules").json()["code"] == "INVALID_TOKEN"
