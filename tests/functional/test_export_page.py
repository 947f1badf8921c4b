"""GET /v1/e/zoho/export/{type}: the seed's contract."""

import pytest


def get(world, export_type, **event):
    return world.http("ExportHandler", "GET", f"/v1/e/zoho/export/{export_type}", **event)


@pytest.mark.parametrize(
    ("export_type", "module"),
    [("contacts", "Contacts"), ("accounts", "Accounts"), ("deals", "Deals"), ("notes", "Notes")],
)
def test_page_of_each_type_is_returned(world, export_type, module):
    status, body = get(world, export_type, query={"page": "2", "limit": "20"})
    assert status == 200
    assert (body["success"], body["message"], len(body["data"])) == (True, "Received Information", 20)
    assert (
        body["pagination"].items() >= {"page": 2, "per_page": 20, "count": 20, "more_records": True}.items()
    )
    (request,) = world.zoho.journal.requests("/crm/", "GET")
    assert request["path"] == f"/crm/v2/{module}"


def test_page_defaults_to_the_first_with_10_records(world):
    status, body = get(world, "contacts")
    assert status == 200
    assert (body["pagination"]["page"], body["pagination"]["per_page"], len(body["data"])) == (
        1,
        10,
        10,
    )


def test_page_of_empty_module_is_empty(world):
    world.zoho.config.patch({"records": {"Deals": 0}})
    status, body = get(world, "deals")
    assert status == 200
    assert body == {
        "success": True,
        "message": "Received Information",
        "data": [],
        "pagination": {"page": 1, "per_page": 10, "count": 0, "more_records": False},
    }


def test_page_without_a_connection_is_404(world):
    status, body = get(world, "contacts", claims={"account_id": "nobody", "uid": "user-1"})
    assert status == 404
    assert body.items() >= {"success": False, "errno": 400, "message": "Access Token is not Found"}.items()
    assert body["request_id"] == "request-1"


def test_page_of_unknown_type_is_404(world):
    status, body = get(world, "invoices")
    assert status == 404
    assert body.items() >= {"success": False, "errno": 400, "message": "Type is not Selected yet"}.items()


def test_connection_is_checked_before_the_type(world):
    _, body = get(world, "nonsense", claims={"account_id": "nobody", "uid": "user-1"})
    assert body["message"] == "Access Token is not Found"


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "201"}, {"page": "-1"}, {"page": "1.5"}, {"limit": "٣"}]
)
def test_page_or_limit_out_of_range_is_refused(world, query):
    status, body = get(world, "contacts", query=query)
    assert (status, body["errno"]) == (400, 400)
    assert next(iter(query)) in body["message"]
    assert not world.zoho.journal.requests("/crm/", "GET")


@pytest.mark.parametrize(
    "claims",
    [
        {"account_id": "null", "uid": "u"},
        {"uid": "u"},
        {"account_id": "a"},
        {"account_id": "../x", "uid": "u"},
        {},
    ],
)
def test_caller_without_usable_claims_is_403(world, claims):
    status, body = get(world, "contacts", claims=claims)
    assert (status, body["errno"]) == (403, 403)
    assert "Claim" in body["message"]


def test_refused_refresh_token_marks_its_own_connection_only(world):
    world.owner = "user-2"
    world.store_connection(refresh_token=f"1000.{world.account}.2")
    world.zoho.config.refresh_tokens.remove(f"1000.{world.account}.2")
    status, body = get(world, "contacts")
    assert (status, body["errno"], body["message"]) == (401, 400, "TOKEN_INVALIDATED")
    for owner, marked in (("user-1", False), ("user-2", True)):
        secret = world.client("secretsmanager").get_secret_value(
            SecretId=f"zoho-crm-export/connections/{world.account}/{owner}"
        )
        assert ('"token_invalidated": true' in secret["SecretString"]) == marked


def test_host_that_is_not_zohos_receives_no_token(world):
    world.account += "x"
    world.store_connection(api_domain="https://www.zohoapis.com.evil.example")
    status, body = get(world, "contacts")
    assert status == 502
    assert "https://www.zohoapis.com.evil.example" in body["message"]
    assert not world.zoho.journal.requests()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"status": 500, "body": "<html>oops</html>"}, (502, 502)),
        (
            {"status": 429, "body": {"code": "TOO_MANY_REQUESTS", "message": "", "status": "error"}},
            (429, 429),
        ),
        ({"status": 403, "body": {"code": "NO_PERMISSION", "message": "Permission denied"}}, (403, 403)),
        ({"drop": "before"}, (502, 502)),
    ],
)
def test_zohos_refusal_is_reported(world, fault, expected):
    world.zoho.fault(path="/crm/v2/Contacts", **fault)
    status, body = get(world, "contacts")
    assert (status, body["errno"]) == expected
    assert body["success"] is False


def page_of(world, data: bytes):
    world.zoho.fault(path="/crm/v2/Contacts", status=200, body=data.decode(), times=1)


def test_lone_surrogate_is_returned_unchanged(world):
    page_of(world, b'{"data": [{"id": "1", "Name": "\\ud800"}], "info": {}}')
    status, body = get(world, "contacts")
    assert (status, body["data"][0]["Name"]) == (200, "\ud800")


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"01", b"1."])
def test_response_that_is_not_json_is_502(world, number):
    page_of(world, b'{"data": [{"id": "1", "Amount": %b}], "info": {}}' % number)
    assert get(world, "contacts")[0] == 502


def test_numbers_are_returned_with_the_characters_that_zoho_sent(world):
    record = '{"id":"1","A":1234567890123456.78,"B":[1.10,{"C":-0.0}],"D":1E+2,"E":1e999,"F":-0,"G":%s}' % (
        "9" * 30
    )
    page_of(world, f'{{"data": [{record}], "info": {{"count": 1.0}}}}'.encode())
    response = world.request("ExportHandler", "GET", "/v1/e/zoho/export/contacts")
    assert response["statusCode"] == 200
    assert f'"data":[{record}],"pagination":{{"count":1.0}}' in response["body"]


def test_page_too_large_for_lambda_says_what_to_do(world):
    page_of(world, b'{"data": [{"id": "1", "Notes": "%b"}], "info": {}}' % (b"x" * 6_000_000))
    status, body = get(world, "contacts")
    assert (status, body["errno"]) == (400, 400)
    assert "Lower limit, or name fewer fields" in body["message"]


def test_failed_token_request_is_not_retried(world):
    world.zoho.fault(method="POST", path="/oauth/v2/token", status=500, body="<html>")
    assert get(world, "contacts")[0] == 502
    assert len(world.zoho.journal.requests("/oauth/v2/token", "POST")) == 1
