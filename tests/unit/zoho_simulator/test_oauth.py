"""The token endpoint and the checks on access tokens."""

import pytest
import requests


def refresh(client, *, form=False, **changes):
    parameters = {
        "grant_type": "refresh_token",
        "client_id": "1000.LOCAL",
        "client_secret": "local-secret",
        "refresh_token": "1000.local.refresh",
        **changes,
    }
    url = f"{client.simulator.url}/oauth/v2/token"
    return requests.post(url, **{"data" if form else "params": parameters}, timeout=10)


@pytest.mark.parametrize("form", [False, True])
def test_token_from_query_or_form(client, form):
    answer = refresh(client, form=form)
    body = answer.json()
    assert answer.status_code == 200
    assert body["api_domain"] == client.simulator.url
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
def test_errors_come_as_http_200(client, changes, error):
    answer = refresh(client, **changes)
    assert (answer.status_code, answer.json()) == (200, {"error": error})


def test_eleventh_token_within_ten_minutes_is_refused(start, clock):
    client = start(clock=clock)  # takes the first token itself
    assert all("access_token" in refresh(client).json() for _ in range(9))
    throttled = refresh(client)
    assert throttled.status_code == 400
    assert throttled.json()["error"] == "Access Denied"
    clock.now += 600
    assert "access_token" in refresh(client).json()


def test_throttle_status_can_be_set(start):
    client = start(tokens_per_window=1, throttle_status=200)
    answer = refresh(client)
    assert (answer.status_code, answer.json()["status"]) == (200, "failure")


def test_sixteenth_token_ends_the_first(start):
    client = start(tokens_per_window=100)
    for _ in range(14):
        refresh(client)
    assert client.get("/crm/v2/Contacts").status_code == 200
    refresh(client)
    assert client.get("/crm/v2/Contacts").json()["code"] == "INVALID_TOKEN"


def test_access_token_ends_after_an_hour(start, clock):
    client = start(clock=clock)
    clock.now += 3599
    assert client.get("/crm/v2/Contacts").status_code == 200
    clock.now += 1
    answer = client.get("/crm/v2/Contacts")
    assert answer.status_code == 401
    assert answer.json() == {
        "code": "INVALID_TOKEN", "details": {}, "message": "invalid oauth token", "status": "error",
    }  # fmt: skip


def test_bearer_is_accepted_and_other_schemes_are_not(client):
    token = client.session.headers["Authorization"].partition(" ")[2]
    url = f"{client.simulator.url}/crm/v2/Contacts"

    def code(header):
        answer = requests.get(url, headers=header, timeout=10)
        return answer.status_code, answer.json().get("code")

    assert code({"Authorization": f"Bearer {token}"}) == (200, None)
    assert code({"Authorization": f"Basic {token}"}) == (401, "INVALID_TOKEN")
    assert code({"Authorization": "Zoho-oauthtoken 1000.nonsense"}) == (401, "INVALID_TOKEN")
    assert code({}) == (401, "AUTHENTICATION_FAILURE")


def test_revoked_refresh_token_is_dead_with_its_access_tokens(client):
    url = f"{client.simulator.url}/oauth/v2/token/revoke"
    answer = requests.post(url, data={"token": "1000.local.refresh"}, timeout=10)
    assert answer.json() == {"status": "success"}
    assert refresh(client).json() == {"error": "invalid_code"}
    assert client.get("/crm/v2/Contacts").status_code == 401
    again = requests.post(url, params={"token": "1000.local.refresh"}, timeout=10)
    assert (again.status_code, again.headers["Content-Type"]) == (400, "text/html;charset=UTF-8")


def test_scope_is_asked_for(start):
    client = start(scopes="ZohoCRM.modules.contacts.READ,ZohoCRM.bulk.READ")
    assert client.get("/crm/v2/Contacts").status_code == 200
    assert client.get("/crm/v2/Deals").json()["code"] == "OAUTH_SCOPE_MISMATCH"
    refused = client.create({"query": {"module": {"api_name": "Deals"}}})
    assert (refused.status_code, refused.json()["code"]) == (401, "OAUTH_SCOPE_MISMATCH")
