"""Zoho's refusals as our callers see them: in the response, and in an export that fails later."""

import json

import pytest

EXPORTS = "/v1/e/zoho/bulk-read"
BULK_SCOPES = "Add the scopes ZohoCRM.bulk.READ and ZohoCRM.modules.contacts.READ to the grant."


def error(code, **details):
    return {"code": code, "message": "m", "status": "error", "details": details}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("status", "refusal", "expected"),
    [
        (401, {"code": "OAUTH_SCOPE_MISMATCH"}, (403, BULK_SCOPES)),
        (400, {"code": "NO_PERMISSION", "permissions": ["Crm_View"]}, (403, "Needed: Crm_View.")),
        (400, {"code": "CRITERIA_LIMIT_EXCEEDED", "max_limit": 25}, (422, "The limit is 25.")),
        (400, {"code": "FIELD_NOT_SUPPORTED", "api_name": "Tag"}, (422, "It is about Tag.")),
        (400, {"code": "INVALID_CALLBACK_URL"}, (502, "Set CallbackBaseUrl")),
        (415, {"code": "MEDIA_TYPE_NOT_SUPPORTED"}, (502, "Report the message")),
        (400, {"code": "A_CODE_OF_TOMORROW"}, (422, "(A_CODE_OF_TOMORROW: m)")),
    ],
)
def test_refused_job_is_reported_in_the_response(world, wrapped, status, refusal, expected):
    expected_status, says = expected
    body = error(**refusal)
    body = {"data": [body]} if wrapped else body
    world.zoho.fault(method="POST", path="/read$", status=status, body=body)
    answered, response = world.http("BulkReadSubmitter", "POST", f"{EXPORTS}/contacts")
    assert (answered, response["errno"], response["zoho_code"]) == (
        expected_status,
        expected_status,
        refusal["code"],
    )
    assert says in f"{response['message']} {response['remedy']}"
    _, listed = world.http("BulkReadSubmitter", "GET", f"{EXPORTS}/exports")
    assert listed["data"][0]["state"] == "FAILED"


@pytest.mark.parametrize(
    ("status", "code", "expected", "says"),
    [
        (401, "OAUTH_SCOPE_MISMATCH", 403, "Add the scope ZohoCRM.modules.deals.READ to the grant."),
        (403, "NOT_SUPPORTED", 403, "NOT_SUPPORTED: m"),
        (400, "TOO_MANY_REQUESTS", 429, "TOO_MANY_REQUESTS: m"),
        (400, "EXPIRED_VALUE", 422, "EXPIRED_VALUE: m"),
        (400, "INVALID_HOST", 502, "token.api_domain"),
        (200, "INVALID_MODULE", 422, "INVALID_MODULE: m"),
    ],
)
def test_refused_page_is_reported(world, status, code, expected, says):
    world.zoho.fault(path="/crm/v2/Deals", status=status, body=error(code))
    response = world.request("ExportHandler", "GET", "/v1/e/zoho/export/deals")
    body = json.loads(response["body"])
    assert (response["statusCode"], body["errno"], body["zoho_code"]) == (expected, expected, code)
    assert says in f"{body['message']} {body['remedy']}"
    assert response["headers"].get("Retry-After") == ("60" if expected == 429 else None)


@pytest.mark.parametrize(
    ("code", "failure", "remedy"),
    [
        ("PAGE_RANGE_EXCEEDED", "ZOHO_PAGE_RANGE_EXCEEDED", "Split the export by criteria"),
        ("OAUTH_SCOPE_MISMATCH", "ZOHO_PERMISSION_DENIED", "connect again"),
        ("INVALID_URL_PATTERN", "ZOHO_REQUEST_MALFORMED", "BulkReadApiVersion"),
    ],
)
def test_export_that_fails_later_says_why_and_what_to_do(world, code, failure, remedy):
    """The first job is postponed by Zoho's limit, the second try is refused."""
    limit = {"status": 429, "headers": {"Retry-After": "1"}, "body": error("TOO_MANY_REQUESTS"), "times": 1}
    world.zoho.fault(method="POST", path="/read$", **limit)
    world.zoho.fault(method="POST", path="/read$", status=400, body=error(code))
    export_id = world.start()
    assert world.export(export_id)["state"] == "RUNNING"
    world.let_time_pass(export_id)
    world.configure("ExportReconciler", PART_QUIET_SECONDS="0")
    world.invoke("ExportReconciler", {})
    world.pump("SubmitQueue")
    export = world.export(export_id)
    assert (export["state"], export["failure"]["code"]) == ("FAILED", failure)
    assert f"POST /crm/bulk/v8/read with HTTP 400 ({code}: m" in export["failure"]["message"]
    assert remedy in export["failure"]["remedy"]


def test_callback_with_an_impossible_job_id_ends_nothing(world):
    world.zoho.fault(method="POST", path="/read$", drop="before", times=1)
    export_id = world.start()
    world.zoho.fault(path="/read/nonsense$", status=404, body=error("INVALID_URL_PATTERN"))
    world.callback(world.callback_urls()[-1], json.dumps({"job_id": "nonsense"}))
    world.pump("DownloadQueue")
    export = world.export(export_id)
    assert (export["state"], export["parts"][0]["job_id"]) == ("RUNNING", None)


def test_refused_export_is_counted_without_an_alarm(world, capsys):
    """The alarm is on ExportsFailed; the caller has to correct a typo in a query."""
    body = json.dumps({"query": {"fields": ["Nothing"]}})
    status, _ = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/contacts", body=body)
    assert status == 422
    lines = capsys.readouterr().out
    assert '"ExportsRefused"' in lines
    assert '"ExportsFailed"' not in lines
