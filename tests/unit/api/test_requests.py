"""Limits of parameters and bodies, at their edges."""

import json

import pytest

from crm_export.api.requests import (
    at_root,
    caller_of,
    cancel_request,
    export_request,
    json_object,
    list_request,
    parse_page_request,
    start_request,
)
from crm_export.errors import CallerNotIdentified, InvalidRequest
from crm_export.exports.model import Caller
from crm_export.settings import ApiSettings
from tests.support.http import http_event

CALLER = {"authorizer": {"jwt": {"claims": {"account_id": "a", "uid": "u"}}}}
CLAIMS = {"requestContext": CALLER}


def test_body_of_256_kb_is_read_and_one_byte_more_is_refused():
    frame = json.dumps({"x": ""})
    body = json.dumps({"x": "y" * (256 * 1024 - len(frame))})
    assert len(json_object({"body": body})["x"]) == 256 * 1024 - len(frame)
    with pytest.raises(InvalidRequest, match="has 262145 bytes; at most 262144 are allowed"):
        json_object({"body": body + " "})


def test_list_has_20_exports_unless_limit_says_otherwise():
    assert list_request(CLAIMS) == ("a", 20, None, None)
    assert list_request({**CLAIMS, "queryStringParameters": {"limit": "100"}})[1] == 100
    with pytest.raises(InvalidRequest, match="limit is '101'; it must be a whole number from 1 to 100"):
        list_request({**CLAIMS, "queryStringParameters": {"limit": "101"}})


def test_list_is_limited_to_a_run_whose_name_is_checked():
    assert list_request({**CLAIMS, "queryStringParameters": {"run_id": "a.B_9-"}})[3] == "a.B_9-"
    with pytest.raises(InvalidRequest, match="run_id is 'a b'; it must be 1 to 64 of A-Z"):
        list_request({**CLAIMS, "queryStringParameters": {"run_id": "a b"}})


def test_request_to_cancel_names_the_export_of_its_path():
    event = http_event("POST", "/v1/e/zoho/bulk-read/exports/x-1/cancel")
    assert cancel_request({**event, "requestContext": CALLER}) == (Caller("a", "u"), "x-1")


@pytest.mark.parametrize(
    ("read", "allowed"),
    [
        (
            lambda event: parse_page_request("v8", event["queryStringParameters"]),
            "page, limit, page_token, fields, sort_by, sort_order, modified_since",
        ),
        (list_request, "limit, page_token, run_id"),
        (export_request, "none"),
        (lambda event: start_request(event).read_body(), "none"),
    ],
    ids=["page", "list", "export", "start"],
)
@pytest.mark.parametrize("name", ["per_page", "Limit", ""])
def test_unknown_parameter_is_refused_with_the_known_ones(read, allowed, name):
    post = {"rawPath": "/v1/e/zoho/bulk-read/contacts", "requestContext": {"domainName": "x"} | CALLER}
    with pytest.raises(InvalidRequest) as raised:
        read(post | {"queryStringParameters": {name: "1"}})
    assert raised.value.message == f"The query string has the parameter {name!r}; allowed: {allowed}."


def test_last_numbered_record_can_be_read():
    assert parse_page_request("v8", {"page": "10", "limit": "200"}).page == 10
    with pytest.raises(InvalidRequest, match="numbers only the first 2000 records"):
        parse_page_request("v8", {"page": "11", "limit": "200"})


@pytest.mark.parametrize("token", ["x" * 2001, "\u00e9", "a\nb"])
def test_page_token_that_zoho_cannot_have_issued_is_refused(token):
    assert parse_page_request("v8", {"page_token": "x" * 2000}).page_token
    with pytest.raises(InvalidRequest, match="must be the next_page_token of the last page"):
        parse_page_request("v8", {"page_token": token})


@pytest.mark.parametrize("body", ["\ud800", '{"x": "\ud800"}'], ids=["alone", "in a string"])
def test_body_with_a_lone_surrogate_is_refused(body):
    with pytest.raises(InvalidRequest, match="The body is not JSON"):
        json_object({"body": body})


# --- the claims of the caller ---

_TIMES = {"iat": "1795352400", "exp": "1795356000"}
# Claims as an HTTP API passes them on: all values are strings, arrays are in brackets.
COGNITO_ID = {
    "sub": "5f0c1a2b-3c4d-4e5f-8a9b-0c1d2e3f4a5b", "custom:account": "acct-1", "token_use": "id",
    "cognito:username": "jo", "cognito:groups": "[admins users]", "email_verified": "true",
    "iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Abc", "aud": "client", **_TIMES,
}  # fmt: skip
COGNITO_ACCESS = {
    "sub": "5f0c1a2b-3c4d-4e5f-8a9b-0c1d2e3f4a5b", "client_id": "7abc", "username": "jo",
    "token_use": "access", "scope": "exports/read exports/write", "version": "2", **_TIMES,
}  # fmt: skip
AUTH0 = {
    "sub": "auth0|507f1f77bcf86cd799439020", "https://acme.example/account": "acct-1",
    "https://acme.example/user": "jo@acme.example", "azp": "client", "scope": "openid profile",
    "aud": "[https://api.example https://acme.eu.auth0.com/userinfo]", **_TIMES,
}  # fmt: skip
ENTRA = {
    "oid": "00000000-1111-2222-3333-444444444444", "tid": "99999999-8888-7777-6666-555555555555",
    "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", "roles": "[Exports.Read]", "ver": "2.0", **_TIMES,
}  # fmt: skip
OKTA = {
    "uid": "00u1a2b3c4D5e6F7g8h9", "cid": "0oa1b2c3d4E5f6G7h8i9", "sub": "jo@acme.example",
    "scp": "[openid exports]", "ver": "1", **_TIMES,
}  # fmt: skip


@pytest.mark.parametrize(
    ("claims", "account_claim", "owner_claim", "account_id", "owner"),
    [
        ({"account_id": "a", "uid": "u", **_TIMES}, "account_id", "uid", "a", "u"),
        (COGNITO_ID, "custom:account", "sub", "acct-1", "5f0c1a2b-3c4d-4e5f-8a9b-0c1d2e3f4a5b"),
        (COGNITO_ACCESS, "client_id", "username", "7abc", "jo"),
        (
            AUTH0, "https://acme.example/account", "https://acme.example/user", "acct-1", "jo@acme.example",
        ),
        (
            ENTRA, "tid", "oid", "99999999-8888-7777-6666-555555555555",
            "00000000-1111-2222-3333-444444444444",
        ),
        (OKTA, "cid", "uid", "0oa1b2c3d4E5f6G7h8i9", "00u1a2b3c4D5e6F7g8h9"),
    ],
    ids=["ours", "Cognito ID token", "Cognito access token", "Auth0", "Entra", "Okta"],
)  # fmt: skip
def test_caller_is_in_the_claims_that_the_settings_name(
    claims, account_claim, owner_claim, account_id, owner
):
    api = ApiSettings.from_env({"ACCOUNT_CLAIM": account_claim, "OWNER_CLAIM": owner_claim})
    event = http_event("GET", "/v1/e/zoho/bulk-read/exports", claims=claims)
    assert caller_of(event, api) == Caller(account_id, owner)
    assert export_request(event, api) == Caller(account_id, owner)
    assert list_request(event, api)[0] == account_id


@pytest.mark.parametrize(
    ("claims", "names", "message"),
    [
        (COGNITO_ACCESS, ("custom:account", "sub"), "Claim custom:account of the token is missing"),
        (COGNITO_ID, ("custom:account", "username"), "Claim username of the token is missing"),
        ({"https://x/y": '{"account": "a"}'}, ("https://x/y.account", "sub"), "Claim https://x/y.account of"),
        (AUTH0, ("https://acme.example/account", "sub"), "Claim sub of the token is 'auth0|507f"),
        ({"tid": "null", "oid": "o"}, ("tid", "oid"), "Claim tid of the token is 'null'"),
        (None, ("tid", "oid"), "Claim tid of the token is missing"),
    ],
)
def test_claim_that_is_missing_or_unusable_is_named(claims, names, message):
    api = ApiSettings(account_claim=names[0], owner_claim=names[1])
    with pytest.raises(CallerNotIdentified) as raised:
        caller_of(http_event("GET", "/v1/e/zoho/export/contacts", claims=claims), api)
    assert raised.value.message.startswith(message)
    assert "AccountClaim and OwnerClaim" in raised.value.remedy


# --- a custom domain with a mapping key ---


@pytest.mark.parametrize("base_path", ["crm", "/crm/", "crm/eu"])
def test_mapping_key_moves_from_the_path_to_callback_urls(base_path):
    prefix = f"/{base_path.strip('/')}"
    event = at_root(http_event("POST", f"{prefix}/v1/e/zoho/bulk-read/contacts"), base_path)
    start = start_request(event)
    assert (event["rawPath"], start.export_type) == ("/v1/e/zoho/bulk-read/contacts", "contacts")
    assert start.base_url == f"https://api.example.com{prefix}"


@pytest.mark.parametrize(
    ("path", "base_path"),
    [
        ("/v1/e/zoho/bulk-read/contacts", "crm"),  # called at the API's own host
        ("/v1/e/zoho/bulk-read/contacts", ""),
        ("/crm2/v1/e/zoho/bulk-read/contacts", "crm"),
        ("/crm", "crm"),
        ("//v1/e/zoho/bulk-read/contacts", ""),
    ],
)
def test_path_without_the_mapping_key_stays_as_it_is(path, base_path):
    event = http_event("POST", path)
    assert at_root(event, base_path) == event


def test_event_without_a_path_stays_as_it_is():
    assert at_root({}, "crm") == {}
