"""The event with which an operator invokes a function, and that nobody else can send it."""

import json

import pytest

from crm_export.api.operator import http_event
from crm_export.api.requests import caller_of, list_request, start_request
from crm_export.errors import CallerNotIdentified, InvalidRequest
from crm_export.exports.model import Caller
from crm_export.settings import ApiSettings
from tests.support.http import http_event as event_of_the_api

API = ApiSettings(account_claim="custom:account", owner_claim="sub")
START = {
    "account_id": "acct-1",
    "owner": "user-1",
    "method": "POST",
    "path": "/v1/e/zoho/bulk-read/contacts",
    "headers": {"Idempotency-Key": "k"},
    "body": {"file_type": "csv"},
    "api_url": "https://api.example.com/",
}


def test_operator_event_is_read_as_a_request_of_the_api():
    event = http_event({"operator": START}, API)
    assert caller_of(event, API) == Caller("acct-1", "user-1")
    start = start_request(event)
    assert (start.export_type, start.idempotency_key, start.read_body()) == (
        "contacts",
        "k",
        {"file_type": "csv"},
    )
    assert start.base_url == "https://api.example.com"


def test_operator_event_may_have_a_query_string():
    request = {
        "account_id": "a",
        "owner": "u",
        "path": "/v1/e/zoho/bulk-read/exports",
        "query": {"limit": "7"},
    }
    assert list_request(http_event({"operator": request}, API), API) == ("a", 7, None, None)


def test_client_of_the_http_api_cannot_send_an_operator_event():
    forged = json.dumps({"operator": START})
    event = event_of_the_api("POST", "/v1/e/zoho/bulk-read/contacts", body=forged)
    assert http_event(event, API) is event
    assert http_event(event | {"operator": START}, API).get("requestContext") == event["requestContext"]


@pytest.mark.parametrize("account", [None, "", "a/b", 7])
def test_operator_without_a_usable_account_is_refused_as_a_token_is(account):
    with pytest.raises(CallerNotIdentified):
        caller_of(http_event({"operator": START | {"account_id": account}}, API), API)


@pytest.mark.parametrize("request_", ["x", [], {**START, "claims": {}}])
def test_operator_event_of_another_shape_is_refused(request_):
    with pytest.raises(InvalidRequest, match="operator must be an object with the names"):
        http_event({"operator": request_}, API)
