"""The token endpoint: errors come as HTTP 200 too, and in any language."""

import pytest
import requests
import responses

from crm_export import deadline, errors
from crm_export.cached import Cached
from crm_export.zoho.grants import ClientCredentials, RefreshToken, ZohoClientCredentials
from crm_export.zoho.oauth import request_access_token, request_with_current_client

ACCOUNTS = "https://accounts.zoho.eu"
CREDENTIALS = ZohoClientCredentials("1000.ID", "s3cret")


def refresh():
    return request_access_token(requests.Session(), ACCOUNTS, CREDENTIALS, RefreshToken("1000.refresh"))


@pytest.fixture
def zoho():
    with responses.RequestsMock() as mock:
        yield mock


def respond(zoho, body, status=200, **more):
    zoho.post(f"{ACCOUNTS}/oauth/v2/token", json=body, status=status, **more)


@pytest.mark.parametrize(
    ("lifetime", "seconds"),
    [
        ({"expires_in": 3600}, 3600),
        ({"expires_in": 3600000, "expires_in_sec": 3600}, 3600),
        ({}, 3600),
        ({"expires_in": "soon"}, 3600),
        ({"expires_in": "nan"}, 3600),
        ({"expires_in": 10**400}, 3600),
        ({"expires_in": 3600000}, 3600),
        ({"expires_in": -5}, 0),
    ],
)
def test_refresh_returns_token_and_lifetime_in_seconds(zoho, lifetime, seconds):
    respond(zoho, {"access_token": "1000.a", "api_domain": "x", "token_type": "Bearer", **lifetime})
    token = refresh()
    assert (token.value, token.expires_in) == ("1000.a", seconds)
    request = zoho.calls[0].request
    assert "?" not in request.url
    assert sorted(request.body.split("&")) == [
        "client_id=1000.ID",
        "client_secret=s3cret",
        "grant_type=refresh_token",
        "refresh_token=1000.refresh",
    ]


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": "invalid_code"}, errors.TokenInvalidated),
        ({"error": "invalid_grant"}, errors.TokenInvalidated),
        ({"error": "Invalid_Grant"}, errors.TokenInvalidated),
        ({"error": "invalid_token"}, errors.TokenInvalidated),
        ({"error": "INVALID_REQUEST"}, errors.TokenInvalidated),
        ({"error": "unauthorized_client"}, errors.TokenInvalidated),
        ({"error": "access_denied"}, errors.TokenInvalidated),
        ({"error": "Inactive_User"}, errors.TokenInvalidated),
        ({"error": "missing_org_info"}, errors.TokenInvalidated),
        ({"error": "invalid_scope"}, errors.TokenInvalidated),
        ({"error": "invalid_client"}, errors.ZohoClientRejected),
        ({"error": "INVALID_CLIENT"}, errors.ZohoClientRejected),
        ({"error": "invalid_client_secret"}, errors.ZohoClientRejected),
        ({"error": "invalid_redirect_uri"}, errors.ZohoClientRejected),
        (
            {
                "error": "Access Denied",
                "error_description": "You have made too many requests",
                "status": "failure",
            },
            errors.ZohoThrottled,
        ),
        (
            {"error": "Zugriff verweigert", "error_description": "...", "status": "failure"},
            errors.ZohoThrottled,
        ),
        ({"error": "something_new"}, errors.ZohoUnavailable),
        ({"error": "Zugriff verweigert"}, errors.ZohoThrottled),
        ({"error": "Verweigert"}, errors.ZohoThrottled),
        ({"error": "アクセスが拒否されました"}, errors.ZohoThrottled),
        ({"data": [{"error": "Access Denied"}]}, errors.ZohoThrottled),
        ({"data": [{"error": "invalid_code"}]}, errors.TokenInvalidated),
        ({"access_token": "a\nX: y"}, errors.ZohoUnavailable),
        ({"access_token": "ü"}, errors.ZohoUnavailable),
        ({"access_token": "x" * 5000}, errors.ZohoUnavailable),
        ({"access_token": None}, errors.ZohoUnavailable),
        ([], errors.ZohoUnavailable),
    ],
)
def test_refresh_error_is_classified_by_its_body(zoho, status, body, kind):
    respond(zoho, body, status)
    with pytest.raises(kind) as raised:
        refresh()
    assert type(raised.value) is kind
    assert "1000.refresh" not in raised.value.message
    assert "s3cret" not in raised.value.message


@pytest.mark.parametrize("code", ["invalid_grant", "Inactive_User"])
def test_refused_grant_says_what_to_do_and_why(zoho, code):
    respond(zoho, {"error": code})
    with pytest.raises(errors.TokenInvalidated) as raised:
        refresh()
    assert raised.value.message == "TOKEN_INVALIDATED"
    assert raised.value.remedy == (
        f"Connect the account to Zoho again. Zoho's token endpoint ({ACCOUNTS}) "
        f"refused its refresh token ({code})."
    )


def test_rejected_client_names_the_accounts_server_that_was_asked(zoho):
    respond(zoho, {"error": "invalid_client"})
    with pytest.raises(errors.ZohoClientRejected, match=ACCOUNTS) as raised:
        refresh()
    assert "accounts_server" in raised.value.remedy


@pytest.mark.parametrize("code", ["invalid_code", "invalid_grant", "invalid_client"])
@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, errors.ZohoUnavailable), (503, errors.ZohoUnavailable), (429, errors.ZohoThrottled)],
)
def test_refusal_during_an_outage_is_not_final(zoho, code, status, kind):
    respond(zoho, {"error": code}, status)
    with pytest.raises(kind):
        refresh()


def test_refresh_has_ten_seconds_whatever_the_function_has_left():
    limits = []

    class Session:
        def request(self, *_args, timeout, **_kwargs):
            limits.append(timeout)
            raise requests.ReadTimeout

    for left in (5, 900):
        with deadline.ends_in(left), pytest.raises(errors.ZohoTimeout):
            request_access_token(Session(), ACCOUNTS, CREDENTIALS, RefreshToken("1000.refresh"))
    assert limits == [(3.05, pytest.approx(4, abs=0.5)), (3.05, 10.0)]


@pytest.mark.parametrize("quoted", ["refresh-of-the-grant", "secret-of-the-client", "token-that-was-issued"])
def test_secrets_of_a_refresh_are_blanked_from_then_on(zoho, quoted):
    respond(zoho, {"access_token": "token-that-was-issued"})
    credentials = ZohoClientCredentials("1000.ID", "secret-of-the-client")
    request_access_token(requests.Session(), ACCOUNTS, credentials, RefreshToken("refresh-of-the-grant"))
    assert errors.ZohoUnavailable(f"Zoho quotes {quoted}.").message == "Zoho quotes ***."


@pytest.mark.parametrize(
    ("named", "kept"), [("https://www.zohoapis.in", "https://www.zohoapis.in"), (5, None)]
)
def test_refresh_returns_the_api_domain_of_the_token(zoho, named, kept):
    respond(zoho, {"access_token": "1000.a", "api_domain": named})
    assert refresh().api_domain == kept


@pytest.mark.parametrize(("header", "seconds"), [("33", 33), ("soon", 120), ("86400", 900)])
def test_throttling_carries_retry_after_of_at_most_15_minutes(zoho, header, seconds):
    respond(zoho, {"error": "Access Denied", "status": "failure"}, headers={"Retry-After": header})
    with pytest.raises(errors.ZohoThrottled) as raised:
        refresh()
    assert raised.value.retry_after == seconds


def test_redirect_is_not_followed(zoho):
    respond(zoho, {}, 302, headers={"Location": "https://evil.example/"})
    with pytest.raises(errors.ZohoUnavailable, match="redirect"):
        refresh()


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (requests.ReadTimeout(), errors.ZohoTimeout),
        (requests.ConnectTimeout(), errors.ZohoTimeout),
        (requests.ConnectionError("refused"), errors.ZohoUnavailable),
    ],
)
def test_failed_connection_raises_timeout_or_unavailable(zoho, failure, kind):
    zoho.post(f"{ACCOUNTS}/oauth/v2/token", body=failure)
    with pytest.raises(kind, match=r"accounts\.zoho\.eu"):
        refresh()
    assert len(zoho.calls) == 1


# --- the client's secret changes ---


class OurClient:
    """The secret with client id and secret, which may change, and a clock that only the test moves."""

    def __init__(self):
        self.secret, self.now, self.reads = "old-s3cret", 0.0, 0
        self.cached = Cached(self.read, lambda: self.now)

    def read(self):
        self.reads += 1
        return ZohoClientCredentials("1000.ID", self.secret)

    def refresh(self):
        grant = RefreshToken("1000.refresh")
        return request_with_current_client(requests.Session(), ACCOUNTS, self.cached, grant).value


@pytest.fixture
def our_client(zoho):
    """Our client at a Zoho that accepts only the secret new-s3cret."""

    def token(request):
        right = "client_secret=new-s3cret" in request.body
        return 200, {}, '{"access_token": "1000.a"}' if right else '{"error": "invalid_client_secret"}'

    zoho.add_callback("POST", f"{ACCOUNTS}/oauth/v2/token", token)
    return OurClient()


def test_rejected_client_is_read_again_at_once_and_the_token_requested_again(our_client):
    our_client.cached.get()
    our_client.secret = "new-s3cret"
    assert our_client.refresh() == "1000.a"
    assert our_client.reads == 2


def test_rejected_client_that_did_not_change_is_not_tried_twice(our_client, zoho):
    with pytest.raises(errors.ZohoClientRejected):
        our_client.refresh()
    assert (our_client.reads, len(zoho.calls)) == (2, 1)


def test_rejected_client_is_read_again_at_most_every_ten_seconds(our_client):
    for _ in range(2):
        with pytest.raises(errors.ZohoClientRejected):
            our_client.refresh()
        our_client.now += 9
    assert our_client.reads == 2
    our_client.secret = "new-s3cret"
    our_client.now += 1
    assert our_client.refresh() == "1000.a"


def test_accepted_client_is_kept_for_five_minutes(our_client):
    our_client.secret = "new-s3cret"
    for seconds in (0, 299, 1):
        our_client.now += seconds
        our_client.refresh()
    assert our_client.reads == 2


# --- other grants ---


def test_client_credentials_are_sent_in_the_body_and_their_refusal_is_named(zoho):
    respond(zoho, {"error": "missing_org_info"})
    grant = ClientCredentials("ZohoCRM.1", "ZohoCRM.bulk.READ,ZohoCRM.modules.READ")
    with pytest.raises(errors.TokenInvalidated) as raised:
        request_access_token(requests.Session(), ACCOUNTS, CREDENTIALS, grant)
    assert raised.value.zoho_code == "missing_org_info"
    assert "refused its client credentials (missing_org_info)" in raised.value.reason
    assert sorted(zoho.calls[0].request.body.split("&")) == [
        "client_id=1000.ID",
        "client_secret=s3cret",
        "grant_type=client_credentials",
        "scope=ZohoCRM.bulk.READ%2CZohoCRM.modules.READ",
        "soid=ZohoCRM.1",
    ]


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("ZohoCRM.bulk.READ ZohoCRM.org.ALL", {"ZohoCRM.bulk.READ", "ZohoCRM.org.ALL"}),
        ("ZohoCRM.bulk.READ,ZohoCRM.org.ALL", {"ZohoCRM.bulk.READ", "ZohoCRM.org.ALL"}),
        ("", None),
        (5, None),
    ],
)
def test_scopes_are_those_that_the_response_names(zoho, scope, scopes):
    respond(zoho, {"access_token": "1000.a", "scope": scope})
    assert refresh().scopes == scopes


def test_new_refresh_token_is_returned_and_not_shown(zoho):
    respond(zoho, {"access_token": "1000.a", "refresh_token": "1000.new-refresh-token"})
    token = refresh()
    assert token.refresh_token == "1000.new-refresh-token"
    assert "new-refresh" not in repr(token)
    assert errors.ZohoUnavailable("of 1000.new-refresh-token").message == "of ***"
