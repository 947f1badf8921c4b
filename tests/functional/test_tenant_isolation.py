"""An account cannot read, start or change anything of another account, and tokens go to Zoho only.

The attempts use claims, ids, page tokens, callbacks, paths, headers, bodies, connections and responses.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import quote, unquote, urlsplit

import pytest

from tests.support.http import http_event

EXPORTS = "/v1/e/zoho/bulk-read/exports"
PAGE = "/v1/e/zoho/export/contacts"
NO_EXPORT = "20260101T000000Z-0123456789abcdef"


@pytest.fixture
def other(world):
    """Another account whose owner has the same name; the first account's name is a prefix of its name."""
    other = replace(world, account=f"{world.account}0")
    other.store_connection()
    return other


def drain(world, queue):
    """Invoke a queue's function until the queue is empty."""
    while world.pump(queue):
        pass


def connection_of(world):
    name = f"zoho-crm-export/connections/{world.account}/{world.owner}"
    return json.loads(world.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])


def change_connection(world, **changes):
    document = connection_of(world)
    document["token"] |= changes
    name = f"zoho-crm-export/connections/{world.account}/{world.owner}"
    world.client("secretsmanager").put_secret_value(SecretId=name, SecretString=json.dumps(document))


# --- claims ----------------------------------------------------------------------------------

UNUSABLE_NAMES = [
    "",
    " ",
    ".",
    "..",
    "../",
    "../acct-1",
    "/",
    "a/b",
    "acct-1/",
    "a\\b",
    "*",
    "acct-?",
    "acct-1\n",
    "acct-1\x00",
    "acct\u200b-1",
    "аcct-1",  # noqa: RUF001 - Cyrillic
    "ａｃｃｔ-1",  # noqa: RUF001 - full width
    "acct\u20101",
    "ℵcct",
    "acct-١",
    "\ud800",
    "%2e%2e",
    "acct-1%2f..",
    "acct-1#x",
    "EXPORT#1",
    "-x",
    "@x",
    "null",
    "a" * 129,
    "a" * 1_000_000,
    None,
    5,
    True,
    ["acct-1"],
    {"$ne": None},
]


@pytest.mark.parametrize("claim", ["account_id", "uid"])
def test_claim_that_is_not_a_plain_name_is_refused(world, claim):
    for name in UNUSABLE_NAMES:
        claims = {"account_id": world.account, "uid": world.owner, claim: name}
        for function, method, path in (
            ("ExportHandler", "GET", PAGE),
            ("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/contacts"),
            ("BulkReadSubmitter", "GET", EXPORTS),
            ("BulkReadSubmitter", "GET", f"{EXPORTS}/{NO_EXPORT}"),
        ):
            status, response = world.http(function, method, path, claims=claims)
            assert (status, response["errno"]) == (403, 403), (name, path, response)
            assert claim in response["message"]
    assert not world.zoho.journal.requests()


def test_request_without_claims_is_refused(world):
    for function, method, path in (
        ("ExportHandler", "GET", PAGE),
        ("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/contacts"),
        ("BulkReadSubmitter", "GET", EXPORTS),
        ("BulkReadSubmitter", "GET", f"{EXPORTS}/{NO_EXPORT}"),
    ):
        for claims in (None, {}):
            assert world.http(function, method, path, claims=claims)[0] == 403


@pytest.mark.parametrize("name", ["a..b", "a.", "user@tenant.test", "_", "0", "A" * 128])
def test_unusual_plain_name_has_no_connection_and_no_exports(world, name):
    """The name is used as it is in secret names and S3 keys; it matches no other account."""
    claims = {"account_id": name, "uid": name}
    assert world.http("ExportHandler", "GET", PAGE, claims=claims)[0] == 404
    assert world.http("BulkReadSubmitter", "GET", EXPORTS, claims=claims)[1]["data"] == []


def test_account_with_a_similar_name_has_no_connection(world, other):
    for account, owner in (
        (world.account[:-1], "user-1"),
        (world.account.upper(), "user-1"),
        (world.account, "user"),
        (world.account, "user-1."),
    ):
        claims = {"account_id": account, "uid": owner}
        assert world.http("ExportHandler", "GET", PAGE, claims=claims)[0] == 404
    assert not world.zoho.journal.requests()


def test_revoked_grant_marks_only_its_own_account(world, other):
    upper = replace(world, account=world.account.upper())
    upper.store_connection()
    world.zoho.config.refresh_tokens.remove(f"1000.{world.account}")
    assert world.http("ExportHandler", "GET", PAGE)[0] == 401
    assert connection_of(world)["token_invalidated"] is True
    for neighbour in (other, upper):
        assert "token_invalidated" not in connection_of(neighbour)
        assert neighbour.http("ExportHandler", "GET", PAGE)[0] == 200


def test_each_account_uses_its_own_token(world, other):
    for asker in (world, other, world, other):
        assert asker.http("ExportHandler", "GET", PAGE)[0] == 200
    asked = world.zoho.journal.requests("/crm/")
    tokens = [request["headers"]["authorization"] for request in asked]
    assert tokens[0] == tokens[2] != tokens[1] == tokens[3]
    assert len(world.zoho.journal.requests("/oauth/v2/token")) == 2


# --- exports of another account --------------------------------------------------------------


def test_export_of_another_account_is_404_like_an_unknown_one(world, other):
    theirs = other.start("deals")
    responses = []
    for export_id in (theirs, NO_EXPORT):
        responses.append(world.http("BulkReadSubmitter", "GET", f"{EXPORTS}/{export_id}"))
    assert responses[0] == responses[1]
    assert responses[0][0] == 404
    assert other.export(theirs)["export_id"] == theirs


def test_export_is_visible_to_all_owners_of_its_account(world):
    """By design: the owner chooses the grant, the account decides who may see the export."""
    export_id = world.start("deals")
    colleague = replace(world, owner="user-2")
    assert colleague.export(export_id)["export_id"] == export_id


def test_page_token_of_another_account_lists_only_own_exports(world, other):
    mine = [world.start("deals")]
    theirs = [other.start("deals") for _ in range(3)]
    mine += [world.start("deals")]
    _, page = other.http("BulkReadSubmitter", "GET", EXPORTS, query={"limit": "2"})
    token = page["pagination"]["next_page_token"]
    status, response = world.http("BulkReadSubmitter", "GET", EXPORTS, query={"page_token": token})
    assert status == 200
    seen = {export["export_id"] for export in response["data"]}
    assert seen <= set(mine)
    assert not seen & set(theirs)


def token_of(value) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "forged",
    [
        {"requested_at": "2026", "export_id": NO_EXPORT},
        {"requested_at": "2026-01-01T00:00:00.000Z", "export_id": f"{NO_EXPORT}/../x"},
        {"requested_at": "2026-01-01T00:00:00.000Z", "export_id": "*"},
        {"requested_at": "2026-01-01T00:00:00.000Z", "export_id": ["x"]},
        {"requested_at": {"$gt": ""}, "export_id": NO_EXPORT},
        {"account_id": "acct-1"},
        [1, 2],
        "x",
        5,
        None,
        "x" * 100_000,
    ],
)
def test_forged_page_token_is_refused(world, forged):
    query = {"page_token": token_of(forged)}
    status, response = world.http("BulkReadSubmitter", "GET", EXPORTS, query=query)
    assert (status, response["errno"]) == (400, 400)


def test_page_token_cannot_choose_the_account(world, other):
    other.start("deals")
    last = {
        "requested_at": "2999-01-01T00:00:00.000Z",
        "export_id": NO_EXPORT,
        "account_id": other.account,
        "pk": "TOKEN#x",
    }
    status, response = world.http("BulkReadSubmitter", "GET", EXPORTS, query={"page_token": token_of(last)})
    assert (status, response["data"]) == (200, [])


def test_body_cannot_choose_account_owner_or_object(world, other):
    for name, value in (
        ("account_id", other.account),
        ("owner", "user-2"),
        ("export_id", NO_EXPORT),
        ("callback_base_url", "https://evil.example.net"),
        ("key", "exports/x"),
    ):
        body = json.dumps({name: value})
        status, response = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/deals", body=body)
        assert (status, response["errno"]) == (422, 422)
        assert f'"{name}"' in response["message"]


def test_objects_and_links_belong_to_the_account(quiet_at_once, other):
    world = quiet_at_once
    export = world.finish(world.start("deals"))
    assert export["state"] == "COMPLETED"
    bucket = world.deployment.outputs["ResultsBucketName"]
    own = f"/exports/account_id={world.account}/module=Deals/export_id={export['export_id']}/part-00001.csv"
    links = [urlsplit(part["url"]) for part in export["parts"]]
    assert [unquote(link.path).removeprefix(f"/{bucket}") for link in links] == [own]
    assert all("X-Amz-Expires=900&" in f"{link.query}&" for link in links)
    assert other.objects(export["export_id"]) == {}
    assert set(world.objects(export["export_id"])) == {"manifest.json", "part-00001.csv"}


# --- callbacks -------------------------------------------------------------------------------


def test_callback_url_is_valid_for_its_own_part_only(world, other):
    mine, theirs = world.start("deals"), other.start("deals")
    my_url, their_url = world.callback_urls()
    signature = my_url.rpartition("/")[2]
    for forged in (
        their_url.rpartition("/")[0] + f"/{signature}",
        my_url.replace("/1/", "/2/"),
        my_url.replace("/1/", "/01/").replace(mine, theirs),
        my_url.replace(mine, NO_EXPORT),
        my_url.rpartition("/")[0] + "/" + "0" * 64,
        my_url.replace(signature, signature.upper()) if signature.upper() != signature else their_url + "0",
        my_url.replace(signature, quote(signature[:-1])),
    ):
        status, response = world.callback(forged, "{}")
        assert (status, response["errno"]) == (403, 403), forged
    assert not world.receive("DownloadQueue")


def test_callback_with_another_accounts_job_changes_neither_export(world, other):
    mine, theirs = world.start("deals"), other.start("deals")
    job = other.export(theirs)["parts"][0]["job_id"]
    before = other.export(theirs)
    assert world.callback(world.callback_urls()[0], json.dumps({"data": [{"id": job}]}))[0] == 200
    world.pump("DownloadQueue")
    assert world.export(mine)["parts"][0]["job_id"] != job
    assert world.export(mine)["state"] == "COMPLETED"
    assert other.export(theirs) == before


def lose_response_of_create_job(world, how="before"):
    world.zoho.fault(method="POST", path="/read$", drop=how, times=1)


def test_callback_with_a_job_of_another_query_is_not_adopted(quiet_at_once):
    """Zoho knows the job, and it has the same account and module, but another query."""
    world = quiet_at_once
    world.zoho.config.patch({"records": {"Deals": 100}})
    criteria = {"field": {"api_name": "Deal_Name"}, "comparator": "starts_with", "value": "A"}
    others = [
        world.start("deals", query={"criteria": criteria}),
        world.start("deals", query={"fields": ["Deal_Name"]}),
    ]
    for other in others:
        job = world.export(other)["parts"][0]["job_id"]
        lose_response_of_create_job(world)
        export_id = world.start("deals")
        url = world.callback_urls()[-1]
        assert world.callback(url, json.dumps({"data": [{"id": job, "state": "COMPLETED"}]}))[0] == 200
        drain(world, "DownloadQueue")
        assert world.export(export_id)["parts"][0]["job_id"] is None
        world.let_time_pass(export_id)
        world.invoke("ExportReconciler", {})
        world.pump("SubmitQueue")
        export = world.finish(export_id)
        assert (export["state"], export["records"]) == ("COMPLETED", 100)


@pytest.mark.parametrize("version", ["v2", "v6", "v8"])
def test_callback_with_another_parts_job_is_not_adopted(quiet_at_once, version):
    world = quiet_at_once
    world.zoho.config.patch({"records": {"Deals": 150}, "records_per_job": 100})
    world.configure("BulkReadSubmitter", BULK_READ_API_VERSION=version)
    export_id = world.start("deals")
    job = world.export(export_id)["parts"][0]["job_id"]
    body = json.dumps({"data": [{"id": job, "state": "COMPLETED"}]})
    world.callback(world.callback_urls()[0], body)
    lose_response_of_create_job(world, "after")
    world.pump("DownloadQueue")
    second = world.zoho.organisation.jobs.all()[-1].id
    assert f"/{export_id}/2/" in world.callback_urls()[-1]
    world.callback(world.callback_urls()[-1], body)
    drain(world, "DownloadQueue")
    assert world.export(export_id)["parts"][1]["job_id"] is None
    world.callback(world.callback_urls()[-1], json.dumps({"job_id": second, "state": "COMPLETED"}))
    drain(world, "DownloadQueue")
    export = world.export(export_id)
    if version == "v8":  # Zoho does not say which page token a job continues, so another job is created
        assert export["parts"][1]["job_id"] is None
        export = world.finish(export_id)
    else:  # the right job is adopted, and no further job is created
        assert [part["job_id"] for part in export["parts"]] == [job, second]
    assert (export["state"], export["records"]) == ("COMPLETED", 150)


def test_callback_replayed_after_completion_changes_nothing(quiet_at_once):
    world = quiet_at_once
    export_id = world.start("deals")
    export = world.finish(export_id)
    objects, asked = world.objects(export_id), len(world.zoho.journal.requests("/crm/"))
    body = json.dumps({"data": [{"id": export["parts"][0]["job_id"], "state": "FAILURE"}]})
    for _ in range(5):
        assert world.callback(world.callback_urls()[0], body)[0] == 200
        world.pump("DownloadQueue")
    assert {part["state"] for part in world.export(export_id)["parts"]} == {"STORED"}
    assert world.export(export_id)["state"] == "COMPLETED"
    assert world.objects(export_id) == objects
    assert len(world.zoho.journal.requests("/crm/")) == asked


MALFORMED_BODIES = {
    "1 MB": json.dumps({"data": [{"x": "y" * 1_000_000}]}),
    "brackets": "[" * 100_000,
    "nested objects": '{"data":' * 20_000,
    "nested within data": '{"data": [' + "[" * 50_000 + "]" * 50_000 + "]}",
    "a number of 100,000 digits": '{"job_id": ' + "9" * 100_000 + "}",
    "infinity": '{"job_id": 1e999}',
    "not a number": '{"job_id": NaN}',
    "true": '{"job_id": true}',
    "a path": '{"job_id": "../../settings/modules"}',
    "a query": '{"job_id": "1?x=y"}',
    "a long id": '{"job_id": "' + "1" * 65 + '"}',
    "an object": '{"job_id": {"S": "1"}}',
    "half a character": '{"job_id": "\\ud800"}',
    "NUL": "\x00" * 1000,
    "XML": "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
    "a form": "job_id=1&state=COMPLETED",
    "pickle": "\x80\x04K\x01.",
}


@pytest.mark.parametrize("encoding", ["text", "base64", "no base64"])
def test_malformed_body_of_a_signed_callback_is_400(world, encoding):
    export_id = world.start("deals")
    path = urlsplit(world.callback_urls()[0]).path
    for name, text in MALFORMED_BODIES.items():
        body = text
        if encoding == "base64":
            body = base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()
        for content_type in ("application/json", "multipart/form-data; boundary=x"):
            event = http_event("POST", path, body=body, headers={"content-type": content_type})
            event["isBase64Encoded"] = encoding != "text"
            response = world.invoke("CallbackReceiver", event)
            assert response["statusCode"] == 400, name
            assert len(response["body"]) < 1000
    drain(world, "DownloadQueue")
    assert world.export(export_id)["state"] == "COMPLETED"


def test_body_of_an_unsigned_callback_is_not_parsed(world):
    export_id = world.start("deals")
    path = urlsplit(world.callback_urls()[0]).path[:-64] + "0" * 64
    for name, text in MALFORMED_BODIES.items():
        assert world.callback(path, text)[0] == 403, name
    assert not world.pump("DownloadQueue")
    assert world.export(export_id)["parts"][0]["state"] == "SUBMITTED"


# --- paths, methods and headers --------------------------------------------------------------

TAILS = [
    "",
    "/",
    "//",
    "/.",
    "/..",
    "/../",
    "/../exports",
    "/../../export/contacts",
    "/%2e%2e/",
    "%2f",
    "/%00",
    "\x00",
    "/\x00",
    "/x\x00.csv",
    ".",
    "...",
    ";x=y",
    "/;/",
    "\\..\\",
    "/%5c..",
    "?x",
    "#x",
    "%0d%0aX-Evil:%20y",
    "\r\nX-Evil: y",
    "\t",
    " ",
    "/contacts",
    "/é",
    "/\ud800",
    "/\U0001f642",
    "/{type}",
    "/*",
    "/" + "a" * 100_000,
    "/a" * 5_000,
    "/%" + "25" * 5_000 + "2e",
]
NOT_ROUTES = [
    "",
    "/",
    "/v1",
    "//v1/e/zoho/export/contacts",
    "/v1//e/zoho/export/contacts",
    "/V1/e/zoho/export/contacts",
    "/v1/e/zoho/export/contacts/",
    "/v1/e/zoho/bulk-read//contacts",
]
ROUTES = [
    "/v1/e/zoho/export",
    "/v1/e/zoho/bulk-read",
    EXPORTS,
    f"{EXPORTS}/{NO_EXPORT}",
    "/v1/e/zoho/bulk-read/callback",
    f"/v1/e/zoho/bulk-read/callback/{NO_EXPORT}/1/{'0' * 64}",
]
RIGHT = {PAGE, "/v1/e/zoho/bulk-read/contacts"}
METHODS = ["PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "", "X\x00"]


@pytest.mark.parametrize("function", ["ExportHandler", "BulkReadSubmitter", "CallbackReceiver"])
@pytest.mark.parametrize(
    ("route", "tails"), [(route, [""]) for route in NOT_ROUTES] + [(route, TAILS) for route in ROUTES]
)
def test_unusual_path_is_never_a_server_error_and_reveals_nothing(world, other, function, route, tails):
    theirs = other.start("deals")
    world.zoho.journal.clear()
    for path in {text for tail in tails for text in (route + tail, unquote(route + tail))} - RIGHT:
        for method in ("GET", "POST"):
            response = world.request(function, method, path)
            assert response["statusCode"] in (200, 400, 403, 404), (method, path, response)
            body = json.loads(response["body"])
            assert theirs not in response["body"]
            if response["statusCode"] == 200:  # the path with this ending is a route: the list of exports
                assert body["data"] == [], path
    asked = {request["path"] for request in world.zoho.journal.requests()}
    assert asked <= {"/oauth/v2/token", "/crm/v8/settings/modules"}  # "exports" may be a custom module


@pytest.mark.parametrize("function", ["ExportHandler", "BulkReadSubmitter", "CallbackReceiver"])
def test_other_methods_are_404(world, function):
    for method in METHODS:
        for path in (PAGE, EXPORTS, f"{EXPORTS}/{NO_EXPORT}", "/v1/e/zoho/bulk-read/deals", ROUTES[-1]):
            response = world.request(function, method, path)
            assert response["statusCode"] == 404, (method, path, response)
    assert not world.zoho.journal.requests()


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example.net", "x-forwarded-host": "evil.example.net", "forwarded": "host=evil"},
        {"x-http-method-override": "DELETE", "x-original-url": "/v1/e/zoho/bulk-read/exports"},
        {"x-amzn-oidc-data": "e30.e30.", "x-account-id": "acct-1", "x-amz-security-token": "x"},
        {"authorization": "Bearer e30.e30.", "cookie": "account_id=acct-1"},
        {"content-type": "application/json\r\nX-Evil: y", "content-length": "-1"},
        {"transfer-encoding": "chunked", "expect": "100-continue", "accept-encoding": "gzip, \x00"},
        {"x": "y" * 10_000, "": "", "é": "\ud800"},
    ],
)
def test_forged_headers_change_nothing(world, other, headers):
    theirs = other.start("deals")
    world.configure("BulkReadSubmitter", CALLBACK_BASE_URL="")
    response = world.request("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/deals", headers=headers)
    assert response["statusCode"] == 202
    export_id = json.loads(response["body"])["data"]["export_id"]
    # The host is API Gateway's domainName, not a header.
    assert urlsplit(world.callback_urls()[-1]).netloc == "api.example.com"
    _, response = world.http("BulkReadSubmitter", "GET", EXPORTS, headers=headers)
    assert [export["export_id"] for export in response["data"]] == [export_id]
    assert world.http("BulkReadSubmitter", "GET", f"{EXPORTS}/{theirs}", headers=headers)[0] == 404
    forged = f"/v1/e/zoho/bulk-read/callback/{export_id}/1/{'0' * 64}"
    assert world.request("CallbackReceiver", "POST", forged, headers=headers)["statusCode"] == 403


# --- hosts that a token is sent to -----------------------------------------------------------

UNTRUSTED = [
    "http://169.254.169.254",
    "http://169.254.169.254/latest/meta-data/iam",
    "http://[fd00:ec2::254]",
    "http://2852039166",
    "http://0xa9fea9fe",
    "https://169.254.169.254.nip.io",
    "http://localhost",
    "https://localhost:443",
    "http://127.0.0.1:1",
    "http://[::1]",
    "http://0",
    "https://www.zohoapis.com.evil.com",
    "https://evil.com/www.zohoapis.com",
    "https://www.zohoapis.com@evil.com",
    "https://evil@www.zohoapis.com",
    "https://:x@www.zohoapis.com",
    "https://evil.com#www.zohoapis.com",
    "https://evil.com?www.zohoapis.com",
    "https://evil.com\\www.zohoapis.com",
    "https://evil.com/.www.zohoapis.com",
    "https://wwwzohoapis.com",
    "https://zohoapis.com",
    "https://x.zohoapis.com",
    "https://www.zohoapis.com.",
    "https://www.zohoapis.co",
    "https://www.zohoapis.com:443",
    "https://www.zohoapis.com:8443",
    "https://www.zohoapis.com/x",
    "https://www.zohoapis.com//",
    "https://www.zohoapis.com?",
    "https://www.zohoapis.com#",
    "https://WWW.ZOHOAPIS.COM",
    "https://www.zohoapis.com%2eevil.com",
    "https://www.zoho\u0430pis.com",
    "https://www.xn--zohopis-2fg.com",
    "https://www。zohoapis。com",
    "https://www.zohoapis.com\n",
    " https://www.zohoapis.com",
    "https://www.zohoapis.com\x00.evil.com",
    "http://www.zohoapis.com",
    "ftp://www.zohoapis.com",
    "file:///etc/passwd",
    "//www.zohoapis.com",
    "www.zohoapis.com",
    "https:///www.zohoapis.com",
    "https://",
    "https://[",
    "javascript:alert(1)",
]


def look_alikes(url):
    """Return URLs that resemble the one origin that this stack trusts in addition to Zoho's."""
    port = urlsplit(url).port
    return [
        f"http://127.0.0.1:{port}@evil.com",
        f"http://127.0.0.1:{port}.evil.com",
        f"http://evil.com@127.0.0.1:{port}",
        f"http://127.0.0.1:{port}/x",
        f"http://127.0.0.1:{port}0",
        f"https://127.0.0.1:{port}",
        f"http://127.1:{port}",
        f"http://2130706433:{port}",
    ]


@pytest.mark.parametrize("member", ["api_domain", "accounts_server"])
def test_connection_with_an_untrusted_host_is_refused_before_anything_is_sent(world, member):
    for untrusted in [*UNTRUSTED, *look_alikes(world.zoho.url)]:
        change_connection(world, **{member: untrusted})
        for function, method, path in (
            ("ExportHandler", "GET", PAGE),
            ("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/deals"),
        ):
            status, response = world.http(function, method, path)
            assert (status, response["errno"]) == (502, 502), untrusted
            assert f"{member} {untrusted!r}" in response["message"]
            assert "TrustedZohoOrigins" in response["message"]
    assert not world.zoho.journal.requests()
    assert world.http("BulkReadSubmitter", "GET", EXPORTS)[1]["data"] == []


def test_connection_that_becomes_untrusted_fails_a_running_export(quiet_at_once):
    world = quiet_at_once
    export_id = world.start("deals")
    world.zoho.journal.clear()
    change_connection(world, api_domain="http://169.254.169.254")
    export = world.finish(export_id)
    assert (export["state"], export["failure"]["code"]) == ("FAILED", "UNTRUSTED_ORIGIN")
    assert export["failure"]["remedy"]
    assert not world.zoho.journal.requests()


@pytest.fixture
def other_host() -> Iterator[tuple[str, list[str]]]:
    """A host that is not Zoho: its URL, and a list with an item for each connection to it."""
    connections: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def handle(self) -> None:
            connections.append("connected")
            super().handle()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", connections
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("status", [301, 307])
def test_redirect_is_not_followed(quiet_at_once, other_host, status):
    world, (url, connections) = quiet_at_once, other_host
    redirect = {"status": status, "headers": {"Location": f"{url}/x"}, "body": ""}
    world.zoho.fault(path="/oauth/v2/token", times=1, **redirect)
    assert world.http("ExportHandler", "GET", PAGE)[0] == 502
    world.zoho.fault(path="/crm/v2/Contacts", **redirect)
    assert world.http("ExportHandler", "GET", PAGE)[0] == 502
    for call, method in ((r"/read$", "POST"), (r"/read/\d+$", "GET"), (r"/result$", "GET")):
        world.zoho.fault(method=method, path=call, times=1, **redirect)
    status, response = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/deals")
    assert status in (202, 502), response
    export_id = world.http("BulkReadSubmitter", "GET", EXPORTS)[1]["data"][0]["export_id"]
    export = world.finish(export_id)
    assert export["state"] == "COMPLETED" or export["failure"]["code"].startswith("ZOHO_"), export
    assert connections == []


def test_redirect_without_a_location_is_502(world):
    world.zoho.fault(path="/crm/v2/Contacts", status=302, body={"data": [{"id": "1"}]})
    assert world.http("ExportHandler", "GET", PAGE)[0] == 502


def test_download_url_of_a_job_does_not_receive_the_token(quiet_at_once, other_host):
    world, (url, connections) = quiet_at_once, other_host
    export_id = world.start("deals")
    job = world.export(export_id)["parts"][0]["job_id"]
    result = {"page": 1, "count": 1, "more_records": False, "download_url": f"{url}/x"}
    datum = {"id": job, "state": "COMPLETED", "result": result, "query": {"module": {"api_name": "Deals"}}}
    world.zoho.fault(method="GET", path=f"/read/{job}$", status=200, body={"data": [datum]}, times=1)
    world.finish(export_id)
    assert connections == []
    assert world.zoho.journal.requests(f"/read/{job}/result$", "GET")
