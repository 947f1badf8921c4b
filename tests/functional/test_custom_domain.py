"""A custom domain that maps a path to the API, and tokens of other providers."""

import json

import pytest

FUNCTIONS = ("ExportHandler", "BulkReadSubmitter", "CallbackReceiver")


@pytest.fixture
def mapped(quiet_at_once):
    """A world whose API is at /crm/eu of its domain, and whose callbacks go to the host of the request."""
    for function in FUNCTIONS:
        quiet_at_once.configure(function, API_BASE_PATH="crm/eu")
    quiet_at_once.configure("BulkReadSubmitter", CALLBACK_BASE_URL="")
    return quiet_at_once


def test_every_route_is_found_below_the_mapping_key(mapped):
    assert mapped.http("ExportHandler", "GET", "/crm/eu/v1/e/zoho/export/contacts")[0] == 200
    status, body = mapped.http("BulkReadSubmitter", "POST", "/crm/eu/v1/e/zoho/bulk-read/deals")
    assert status == 202
    export_id = body["data"]["export_id"]
    for path in ("exports", f"exports/{export_id}"):
        assert mapped.http("BulkReadSubmitter", "GET", f"/crm/eu/v1/e/zoho/bulk-read/{path}")[0] == 200


def test_callback_url_contains_the_mapping_key_and_is_accepted(mapped):
    _, body = mapped.http("BulkReadSubmitter", "POST", "/crm/eu/v1/e/zoho/bulk-read/deals")
    export_id = body["data"]["export_id"]
    (url,) = mapped.callback_urls()
    assert url.startswith(f"https://api.example.com/crm/eu/v1/e/zoho/bulk-read/callback/{export_id}/1/")
    job = json.dumps({"data": [{"id": mapped.export(export_id)["parts"][0]["job_id"]}]})
    assert mapped.callback(url, job)[0] == 200
    mapped.pump("DownloadQueue")
    assert mapped.export(export_id)["state"] == "COMPLETED"


def test_request_at_the_apis_own_host_goes_on_working(mapped):
    mapped.start("deals")
    (url,) = mapped.callback_urls()
    assert url.startswith("https://api.example.com/v1/e/zoho/bulk-read/callback/")


def test_callback_base_url_may_have_a_path(quiet_at_once):
    world = quiet_at_once
    world.configure("BulkReadSubmitter", CALLBACK_BASE_URL="https://proxy.example.com/zoho")
    export_id = world.start("deals")
    (url,) = world.callback_urls()
    assert url.startswith(f"https://proxy.example.com/zoho/v1/e/zoho/bulk-read/callback/{export_id}/1/")


def test_path_without_the_mapping_key_in_another_place_is_not_found(mapped):
    status, body = mapped.http("ExportHandler", "GET", "/other/v1/e/zoho/export/contacts")
    assert (status, body["code"], body["message"]) == (404, "ROUTE_NOT_FOUND", "Route is not Found")


def test_caller_is_identified_by_the_claims_that_the_stack_names(world):
    claims = {"sub": world.owner, "custom:account": world.account}
    for function in FUNCTIONS[:2]:
        world.configure(function, ACCOUNT_CLAIM="custom:account", OWNER_CLAIM="sub")
    assert world.http("ExportHandler", "GET", "/v1/e/zoho/export/contacts", claims=claims)[0] == 200
    for method, path, expected in (("POST", "deals", 202), ("GET", "exports", 200)):
        status, _ = world.http("BulkReadSubmitter", method, f"/v1/e/zoho/bulk-read/{path}", claims=claims)
        assert status == expected
    status, body = world.http("ExportHandler", "GET", "/v1/e/zoho/export/contacts", claims={"uid": "u"})
    assert (status, body["code"]) == (403, "CALLER_NOT_IDENTIFIED")
    assert "Claim custom:account of the token is missing" in body["message"]
