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


# --- client credentials ---

BY_CLIENT = {
    "grant_type": "client_credentials",
    "refresh_token": "",
    "soid": "ZohoCRM.60000000001",
    "scope": "ZohoCRM.modules.contacts.READ,ZohoCRM.org.READ",
}


def test_client_credentials_get_a_token_with_the_requested_scopes_and_no_refresh_token(client):
    body = refresh(client, **BY_CLIENT).json()
    assert body["scope"] == "ZohoCRM.modules.contacts.READ ZohoCRM.org.READ"
    assert body["api_domain"] == URL
    assert "refresh_token" not in body
    headers = {"Authorization": f"Zoho-oauthtoken {body['access_token']}"}
    assert client.get("/crm/v8/Contacts?fields=id", headers=headers).status_code == 200
    assert client.get("/crm/v8/org", headers=headers).json()["org"][0]["zgid"] == "60000000001"
    assert client.get("/crm/v8/users", headers=headers).json()["code"] == "OAUTH_SCOPE_MISMATCH"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"soid": ""}, "missing_org_info"),
        ({"soid": "ZohoCRM.2"}, "invalid_org"),
        ({"scope": "ZohoBooks.invoices.READ"}, "invalid_scope"),
        ({"client_secret": "x"}, "invalid_client_secret"),
    ],
)
def test_wrong_client_credentials_are_refused(client, changes, error):
    assert refresh(client, **{**BY_CLIENT, **changes}).json() == {"error": error}


def test_client_credentials_share_the_limit_of_ten_tokens(client):
    assert all("access_token" in refresh(client, **BY_CLIENT).json() for _ in range(10))
    assert refresh(client, **BY_CLIENT).json()["error"] == "Access Denied"


@pytest.mark.parametrize(
    ("setting", "outcome"),
    [("drop", ("scope", "ZohoCRM.bulk.READ")), ("refuse", ("error", "invalid_scope"))],
)
def test_scope_that_the_organisation_does_not_have_is_dropped_or_refused(start, setting, outcome):
    client = start(unknown_scopes=setting)
    scope = "ZohoCRM.bulk.READ,ZohoSearch.securesearch.READ"
    assert outcome in refresh(client, **{**BY_CLIENT, "scope": scope}).json().items()


# --- codes of a self client ---


def exchange(client, code):
    return refresh(client, grant_type="authorization_code", code=code, refresh_token="").json()


def test_code_is_exchanged_once_for_a_refresh_token_with_its_scopes(client):
    code = client.request("POST", "/__sim__/codes", json_body={"scopes": "ZohoCRM.bulk.READ"}).json()["code"]
    body = exchange(client, code)
    assert body["scope"] == "ZohoCRM.bulk.READ"
    assert refresh(client, refresh_token=body["refresh_token"]).json()["scope"] == "ZohoCRM.bulk.READ"
    assert exchange(client, code) == {"error": "invalid_code"}


def test_code_expires_after_three_minutes(client, clock):
    code = client.organisation.accounts.make_code()
    clock.advance(180)
    assert exchange(client, code) == {"error": "invalid_code"}


# --- the device flow ---


def begin(client, **changes):
    parameters = {
        "grant_type": "device_request",
        "client_id": "1000.LOCAL",
        "scope": "ZohoCRM.bulk.READ",
        "access_type": "offline",
        **changes,
    }
    return client.request("POST", "/oauth/v3/device/code", data=parameters).json()


def poll(client, begun, **changes):
    parameters = {**CREDENTIALS, "grant_type": "device_token", "code": begun["device_code"], **changes}
    return client.request("POST", "/oauth/v3/device/token", data=parameters).json()


def test_device_waits_for_its_user_and_then_gets_a_refresh_token(client, clock):
    begun = begin(client)
    assert (begun["interval"], begun["expires_in"]) == (5000, 300_000)
    assert begun["verification_url"] == f"{URL}/oauth/v3/device"
    assert poll(client, begun) == {"error": "authorization_pending"}
    assert poll(client, begun) == {"error": "slow_down"}
    approved = client.request("POST", f"/__sim__/devices/{begun['user_code']}", json_body={})
    assert approved.json() == {"decided": True}
    clock.advance(5)
    body = poll(client, begun)
    assert refresh(client, refresh_token=body["refresh_token"]).json()["scope"] == "ZohoCRM.bulk.READ"
    clock.advance(5)
    assert poll(client, begun) == {"error": "invalid_code"}


def test_online_access_has_no_refresh_token(start):
    client = start(device_approval="automatic")
    body = poll(client, begin(client, access_type="online"))
    assert "access_token" in body
    assert "refresh_token" not in body


def test_user_may_deny_on_the_page(client):
    begun = begin(client)
    page = client.get(f"/oauth/v3/device?user_code={begun['user_code']}&decision=deny")
    assert "go back to the device" in page.text
    assert poll(client, begun) == {"error": "access_denied"}


def test_page_refuses_a_code_that_no_device_shows(client):
    page = client.get("/oauth/v3/device?user_code=<b>&decision=approve").text
    assert "not valid" in page
    assert "<b>" not in page


def test_device_code_expires_after_five_minutes(client, clock):
    begun = begin(client)
    clock.advance(300)
    assert poll(client, begun) == {"error": "expired"}


def test_user_of_another_data_centre_is_named(start):
    client = start(device_approval="automatic", user_location="eu")
    assert poll(client, begin(client)) == {"error": "other_dc", "user_location": "eu"}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_id": "x"}, "invalid_client"),
        ({"grant_type": "x"}, "invalid_request"),
        ({"scope": "x.y"}, "invalid_scope"),
    ],
)
def test_wrong_request_for_a_device_code_is_refused(client, changes, error):
    assert begin(client, **changes) == {"error": error}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_secret": "x"}, "invalid_client_secret"),
        ({"code": "x"}, "invalid_code"),
        ({"grant_type": "x"}, "invalid_code"),
    ],
)
def test_wrong_poll_is_refused(client, changes, error):
    assert poll(client, begin(client), **changes) == {"error": error}


def test_server_info_names_the_accounts_server_of_each_location(start):
    client = start(accounts_servers={"eu": "http://127.0.0.1:9"})
    locations = client.get("/oauth/serverinfo").json()["locations"]
    assert (locations["eu"], locations["us"]) == ("http://127.0.0.1:9", "https://accounts.zoho.com")


@pytest.mark.parametrize("path", ["/oauth/v3/device/code", "/oauth/v3/device/token", "/oauth/v2/token"])
def test_get_of_a_token_endpoint_is_a_page(client, path):
    assert client.get(path).status_code == 400


def test_organisation_and_user_can_be_read(client):
    assert client.get("/crm/v8/org").json()["org"][0]["company_name"] == "Zylker"
    assert client.get("/crm/v8/users").json()["users"][0]["status"] == "active"
