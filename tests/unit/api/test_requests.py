"""Limits of parameters and bodies, at their edges."""

import json

import pytest

from crm_export.api.requests import (
    export_request,
    json_object,
    list_request,
    parse_page_request,
    start_request,
)
from crm_export.errors import InvalidRequest

CALLER = {"authorizer": {"jwt": {"claims": {"account_id": "a", "uid": "u"}}}}
CLAIMS = {"requestContext": CALLER}


def test_body_of_256_kb_is_read_and_one_byte_more_is_refused():
    frame = json.dumps({"x": ""})
    body = json.dumps({"x": "y" * (256 * 1024 - len(frame))})
    assert len(json_object({"body": body})["x"]) == 256 * 1024 - len(frame)
    with pytest.raises(InvalidRequest, match="has 262145 bytes; at most 262144 are allowed"):
        json_object({"body": body + " "})


def test_list_has_20_exports_unless_limit_says_otherwise():
    assert list_request(CLAIMS) == ("a", 20, None)
    assert list_request({**CLAIMS, "queryStringParameters": {"limit": "100"}})[1] == 100
    with pytest.raises(InvalidRequest, match="limit is '101'; it must be a whole number from 1 to 100"):
        list_request({**CLAIMS, "queryStringParameters": {"limit": "101"}})


@pytest.mark.parametrize(
    ("read", "allowed"),
    [
        (
            lambda event: parse_page_request("v8", event["queryStringParameters"]),
            "page, limit, page_token, fields, sort_by, sort_order, modified_since",
        ),
        (list_request, "limit, page_token"),
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
