"""Rejected access tokens, refused grants and quoted secrets, as callers and exports meet them."""

import json

import pytest

PAGE = "/v1/e/zoho/export/contacts"
START = "/v1/e/zoho/bulk-read/deals"
STALE = ["AUTHENTICATION_FAILED", "INVALID_OAUTHTOKEN", "bare", "redirect", "page"]
INVALID = {"code": "INVALID_TOKEN", "details": {}, "message": "invalid oauth token", "status": "error"}


def get(world):
    return world.http("ExportHandler", "GET", PAGE)


def refreshes(world):
    return len(world.zoho.journal.requests("/oauth/v2/token", "POST"))


def is_marked(world, owner="user-1"):
    name = f"zoho-crm-export/connections/{world.account}/{owner}"
    secret = world.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
    return "token_invalidated" in json.loads(secret)


def second_owner(world):
    world.owner = "user-2"
    world.store_connection(refresh_token=f"1000.{world.account}.2")
    world.owner = "user-1"


# --- client credentials ---


def test_connection_of_client_credentials_serves_pages_and_exports(quiet_at_once):
    world = quiet_at_once
    name = f"zoho-crm-export/connections/{world.account}/{world.owner}"
    token = {
        "grant": "client_credentials",
        "client_id": world.zoho.config.client_id,
        "client_secret": world.zoho.config.client_secret,
        "soid": world.zoho.config.soid,
        "scope": "ZohoCRM.modules.READ,ZohoCRM.bulk.READ",
        "api_domain": world.zoho.url,
        "accounts_server": world.zoho.url,
    }
    secrets = world.client("secretsmanager")
    secrets.put_secret_value(SecretId=name, SecretString=json.dumps({"token": token}))
    assert get(world)[0] == 200
    assert world.finish(world.start("deals"))["state"] == "COMPLETED"
    assert refreshes(world) == 1
    world.zoho.config.patch({"client_secret": "rotated"})
    world.zoho.organisation.tokens.expire_all()
    status, body = get(world)
    assert (status, body["message"]) == (401, "TOKEN_INVALIDATED")
    assert is_marked(world)


# --- rejected access tokens ---


@pytest.mark.parametrize("response", STALE)
def test_page_with_a_stale_token_costs_one_refresh(world, response):
    world.zoho.config.patch({"stale_token": response})
    assert get(world)[0] == 200
    world.zoho.organisation.tokens.expire_all()
    assert get(world)[0] == 200
    assert refreshes(world) == 2
    assert not is_marked(world)


@pytest.mark.parametrize("response", STALE)
def test_export_with_a_stale_token_at_every_step_completes(quiet_at_once, response):
    world = quiet_at_once
    world.zoho.config.patch({"stale_token": response})
    get(world)
    world.zoho.organisation.tokens.expire_all()
    export_id = world.start("deals")
    world.zoho.organisation.tokens.expire_all()
    world.invoke("ExportReconciler", {})
    world.zoho.fault(path="/result$", status=429, times=1, headers={"Retry-After": "1"})
    world.pump("DownloadQueue")
    world.zoho.organisation.tokens.expire_all()
    assert world.finish(export_id)["state"] == "COMPLETED"
    assert not is_marked(world)


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 401, "body": ""},
        {"status": 401, "body": "<html>Unauthorized</html>"},
        {"status": 403, "body": "<html>Forbidden</html>"},
        {"status": 503, "body": {**INVALID, "code": "AUTHENTICATION_FAILED"}},
        {"status": 302, "body": "", "headers": {"Location": "https://accounts.zoho.com/signin"}},
    ],
    ids=["bare 401", "HTML 401", "HTML 403", "token code with 503", "login page"],
)
@pytest.mark.parametrize("path", ["/read$", r"/read/\d+$", "/result$"])
def test_gateway_that_refuses_everything_for_a_while_ends_no_export(quiet_at_once, path, fault):
    world = quiet_at_once
    world.zoho.fault(path=path, **fault)
    export_id = world.start("deals")
    for _ in range(4):
        world.let_time_pass(export_id)
        world.invoke("ExportReconciler", {})
        world.pump("SubmitQueue")
        world.pump("DownloadQueue")
    assert world.export(export_id)["state"] == "RUNNING"
    world.zoho.organisation.faults.clear()
    assert world.finish(export_id)["state"] == "COMPLETED"
    assert not is_marked(world)


@pytest.mark.parametrize("function", ["ExportHandler", "BulkReadSubmitter"])
def test_new_token_that_zoho_rejects_marks_the_account_and_says_what_to_do(world, function):
    second_owner(world)
    world.zoho.fault(path="^/crm/", status=401, body={**INVALID, "code": "AUTHENTICATION_FAILED"})
    call = ("GET", PAGE) if function == "ExportHandler" else ("POST", START)
    status, body = world.http(function, *call)
    assert (status, body["errno"], body["message"]) == (401, 400, "TOKEN_INVALIDATED")
    assert body["remedy"] == (
        f"Connect the account to Zoho again. {world.zoho.url} rejects its new access tokens."
    )
    assert is_marked(world, "user-1")
    assert is_marked(world, "user-2")


# --- the wrong host ---


def test_tokens_of_another_data_centre_are_named_and_nothing_is_marked(world):
    second_owner(world)
    world.zoho.config.patch({"api_domain": "https://www.zohoapis.eu"})
    world.zoho.fault(path="^/crm/", status=401, body=INVALID)
    status, body = get(world)
    assert (status, body["errno"]) == (502, 502)
    assert "https://www.zohoapis.eu" in body["message"]
    assert "Store the connection again" in body["remedy"]
    status, body = world.http("BulkReadSubmitter", "POST", START)
    assert (status, body["errno"]) == (502, 502)
    assert not is_marked(world, "user-1")
    assert not is_marked(world, "user-2")


def test_export_whose_tokens_are_of_another_data_centre_fails_with_its_name(quiet_at_once):
    world = quiet_at_once
    export_id = world.start("deals")
    world.zoho.organisation.tokens.expire_all()
    world.zoho.config.patch({"api_domain": "https://www.zohoapis.eu"})
    world.zoho.fault(path="^/crm/", status=401, body=INVALID)
    failure = world.finish(export_id)["failure"]
    assert failure["code"] == "WRONG_DATA_CENTRE"
    assert "https://www.zohoapis.eu" in failure["message"]
    assert not is_marked(world)


@pytest.mark.parametrize("accounts_server", [None, ""])
def test_trusted_domain_without_an_accounts_server_receives_no_secret(world, accounts_server):
    world.account += "x"
    world.store_connection(accounts_server=accounts_server)
    status, body = get(world)
    assert status == 502
    assert "no token.accounts_server" in body["message"]
    assert not world.zoho.journal.requests()


def test_rejected_client_names_the_accounts_server(world):
    world.zoho.fault(path="/oauth/v2/token", status=200, body={"error": "invalid_client"})
    status, body = get(world)
    assert status == 502
    assert world.zoho.url in body["message"]
    assert "accounts_server" in body["remedy"]
    assert not is_marked(world)


# --- refused grants ---

REFUSALS = [
    "invalid_code", "invalid_grant", "unauthorized_client", "access_denied", "INVALID_REQUEST",
    "Inactive_User",
]  # fmt: skip


@pytest.mark.parametrize("code", REFUSALS)
def test_refused_grant_ends_the_request_and_marks_its_own_connection(world, code):
    second_owner(world)
    world.zoho.fault(path="/oauth/v2/token", status=200, body={"error": code})
    status, body = get(world)
    assert (status, body["message"]) == (401, "TOKEN_INVALIDATED")
    assert body["remedy"].startswith("Connect the account to Zoho again.")
    assert f"({code})" in body["remedy"]
    assert is_marked(world, "user-1")
    assert not is_marked(world, "user-2")


@pytest.mark.parametrize("code", REFUSALS)
def test_refused_grant_fails_an_export_that_runs(quiet_at_once, code):
    world = quiet_at_once
    export_id = world.start("deals")
    world.zoho.organisation.tokens.expire_all()
    world.zoho.fault(path="/oauth/v2/token", status=400, body={"error": code})
    failure = world.finish(export_id, rounds=2)["failure"]
    assert failure["code"] == "TOKEN_INVALIDATED"
    assert f"({code})" in failure["remedy"]


def test_token_endpoint_that_is_down_marks_nothing(world):
    world.zoho.fault(path="/oauth/v2/token", status=503, body={"error": "invalid_code"})
    assert get(world)[0] == 502
    assert not is_marked(world)


@pytest.mark.parametrize("drop", ["before", "after"])
def test_token_request_whose_connection_was_closed_is_sent_again_once(world, drop):
    world.zoho.fault(path="/oauth/v2/token", drop=drop, times=1)
    assert get(world)[0] == 200
    assert refreshes(world) == 2
    world.zoho.organisation.tokens.expire_all()
    world.zoho.fault(path="/oauth/v2/token", drop=drop)
    assert get(world)[0] == 502
    assert refreshes(world) == 4


def test_create_job_whose_connection_was_closed_is_not_sent_again(world):
    world.zoho.fault(method="POST", path="/read$", drop="before", times=1)
    world.start("deals")
    assert len(world.zoho.journal.requests("/read$", "POST")) == 1


def test_owners_of_an_account_use_tokens_of_their_own(world):
    """Zoho lets each of them see other records, so a shared token would show one's records to the other."""
    second_owner(world)
    for owner in ("user-1", "user-2", "user-1", "user-2"):
        world.owner = owner
        assert get(world)[0] == 200
    assert refreshes(world) == 2
    users = [grant.refresh_token for grant in world.zoho.organisation.tokens._grants.values()]
    assert users[-2:] == [f"1000.{world.account}", f"1000.{world.account}.2"]
    headers = [entry["headers"]["authorization"] for entry in world.zoho.journal.requests("/crm/v2/Contacts")]
    assert (len(set(headers)), headers[:2]) == (2, headers[2:])


# --- secrets that Zoho quotes ---


def secrets_of(world):
    """Return the secrets of our requests: access tokens, and the signatures of callback URLs."""
    signatures = [url.rpartition("/")[2] for url in world.callback_urls()]
    return [*world.zoho.organisation.tokens._grants, *signatures, f"1000.{world.account}"]


@pytest.mark.parametrize("encoding", ["plain", "percent", "json"])
def test_refusal_that_quotes_our_request_shows_no_secret(world, capsys, encoding):
    quoting = {"error": "INVALID_DATA", "quote": encoding}
    world.zoho.fault(method="POST", path="/read$", **quoting)
    world.zoho.fault(path="/crm/v2/Contacts", **quoting)
    status, refused = world.http("BulkReadSubmitter", "POST", START)
    page_status, page = get(world)
    assert (status, page_status) == (422, 422)
    _, listed = world.http("BulkReadSubmitter", "GET", "/v1/e/zoho/bulk-read/exports")
    (export,) = listed["data"]
    shown = json.dumps([refused, page, listed, world.export(export["export_id"])]) + capsys.readouterr().out
    assert "***" in export["failure"]["message"]
    assert "***" in page["message"]
    assert [secret for secret in secrets_of(world) if secret in shown] == []


def test_failed_job_that_quotes_the_callback_shows_no_signature(small_jobs):
    world = small_jobs
    export_id = world.start()
    (url,) = world.callback_urls()
    quoted = url.replace(":", "%3A").replace("/", "%2F")
    error = {"code": "INVALID_DATA", "message": f"Invalid URL '{quoted}' for callback.", "details": {}}
    datum = {
        "id": world.export(export_id)["parts"][0]["job_id"],
        "state": "FAILURE",
        "result": {"error_message": error},
        "query": {"module": {"api_name": "Contacts"}},
    }
    world.zoho.fault(method="GET", path=r"/read/\d+$", status=200, body={"data": [datum]})
    failure = world.finish(export_id)["failure"]
    items = world.client("dynamodb").scan(TableName=world.deployment.outputs["ExportsTableName"])["Items"]
    assert failure["code"] == "ZOHO_QUERY_REFUSED"
    assert "%2F***" in failure["message"]
    for shown in (json.dumps(failure), json.dumps(items)):
        assert url.rpartition("/")[2] not in shown
