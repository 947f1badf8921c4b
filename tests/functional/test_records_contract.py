"""The source document's contract of GET /v1/e/zoho/export/{type}, row by row in its own words.

The document is "Zoho - CRM Data Export"; where Zoho itself behaves otherwise, the row says so.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass
class Row:
    """A sentence of the document, a request, and the response: status and parts of the body."""

    quote: str
    path: str
    status: int
    body: dict[str, Any]
    query: dict[str, str] = field(default_factory=dict)
    claims: dict[str, str] | None = None
    upstream: str | None = None  # the request that Zoho receives; "" for none
    records: dict[str, int] = field(default_factory=dict)


NOBODY = {"account_id": "nobody", "uid": "user-1"}
NO_TOKEN = {"success": False, "errno": 400, "message": "Access Token is not Found"}
NO_TYPE = {"success": False, "errno": 400, "message": "Type is not Selected yet"}
RECEIVED = {"success": True, "message": "Received Information"}

ROWS = [
    Row("contacts → Contacts", "contacts", 200, RECEIVED, upstream="/crm/v2/Contacts?page=1&per_page=10"),
    Row("accounts → Accounts", "accounts", 200, RECEIVED, upstream="/crm/v2/Accounts?page=1&per_page=10"),
    Row("deals → Deals", "deals", 200, RECEIVED, upstream="/crm/v2/Deals?page=1&per_page=10"),
    Row("notes → Notes", "notes", 200, RECEIVED, upstream="/crm/v2/Notes?page=1&per_page=10"),
    Row(
        "Set default pagination: page=1, per_page=10",
        "deals",
        200,
        RECEIVED,
        {},
        upstream="/crm/v2/Deals?page=1&per_page=10",
    ),
    Row(
        "GET /v1/e/zoho/export/contacts?page=1&limit=20",
        "contacts",
        200,
        RECEIVED,
        {"page": "1", "limit": "20"},
        upstream="/crm/v2/Contacts?page=1&per_page=20",
    ),
    Row("Default per_page is 10, maximum is typically 200", "deals", 200, RECEIVED, {"limit": "200"}),
    Row(
        'No Token Found: Return 404 with "Access Token is not Found"',
        "contacts",
        404,
        NO_TOKEN,
        claims=NOBODY,
        upstream="",
    ),
    Row('Invalid Type: Return 404 with "Type is not Selected yet"', "invoices", 404, NO_TYPE, upstream=""),
    Row(
        "2. Fetch Stored Token … 3. Validate Type Parameter",
        "invoices",
        404,
        NO_TOKEN,
        claims=NOBODY,
        upstream="",
    ),
    Row("Type Case Sensitive: URL parameters lowercase (contacts)", "Contacts", 404, NO_TYPE, upstream=""),
    Row("Check if type is one of the supported values", "contacts%2F..", 404, NO_TYPE, upstream=""),
    Row("Check if type is one of the supported values", "contacts/1", 404, NO_TYPE, upstream=""),
    Row(
        # Zoho responds with 204 and no body, not with "an empty data array"; the caller sees this.
        'Pagination object still included … "data": [], "pagination": {"page": 1, "per_page": 10, …}',
        "deals",
        200,
        {
            **RECEIVED,
            "data": [],
            "pagination": {"page": 1, "per_page": 10, "count": 0, "more_records": False},
        },
        records={"Deals": 0},
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.quote for row in ROWS])
def test_page_is_as_the_document_says(world, row):
    world.zoho.config.patch({"records": row.records})
    more = {"claims": row.claims} if row.claims else {}
    status, body = world.http(
        "ExportHandler", "GET", f"/v1/e/zoho/export/{row.path}", query=row.query, **more
    )
    assert status == row.status, body
    assert body.items() >= row.body.items()
    received = [
        request["path"] + "?" + "&".join(f"{name}={value}" for name, value in request["query"].items())
        for request in world.zoho.journal.requests("/crm/")
    ]
    if row.upstream is not None:
        assert received == ([row.upstream] if row.upstream else [])
    assert set(body) == (
        {"success", "message", "data", "pagination"}
        if status == 200
        else {"success", "errno", "message", "request_id", "code", "remedy"}
    )


def test_info_becomes_pagination_unchanged(world):
    """ "Rename info to pagination": nothing of it is lost or changed, nor of the records."""
    info = {"page": 1, "per_page": 10, "count": 1, "more_records": True, "sort_by": "id", "sort_order": "asc"}
    record = {
        "id": "3652397000000624013",
        "Owner": {"name": "John Doe", "id": "3652397000000186017"},
        "X": None,
    }
    world.zoho.fault(path="/crm/v2/Contacts", status=200, body={"data": [record], "info": info})
    status, body = world.http("ExportHandler", "GET", "/v1/e/zoho/export/contacts")
    assert status == 200
    assert body == {**RECEIVED, "data": [record], "pagination": info}


def test_loop_of_the_document_reads_every_record_once(world):
    """ "while (hasMore) … page=${page}&limit=100 … hasMore = response.pagination.more_records; page++" """
    world.zoho.config.patch({"records": {"Contacts": 450}})
    seen, page, has_more = [], 1, True
    while has_more:
        query = {"page": str(page), "limit": "100"}
        _, body = world.http("ExportHandler", "GET", "/v1/e/zoho/export/contacts", query=query)
        seen += [record["id"] for record in body["data"]]
        has_more = body["pagination"]["more_records"]
        page += 1
    assert len(seen) == len(set(seen)) == 450


def test_token_invalidation_marks_all_connections_of_the_account(world):
    """ "Updates all account tokens with token_invalidated: true … error message: TOKEN_INVALIDATED" """
    invalid = {"code": "INVALID_TOKEN", "details": {}, "message": "invalid oauth token", "status": "error"}
    world.zoho.fault(path="/crm/v2/Contacts", status=401, body=invalid)
    world.owner = "user-2"
    world.store_connection()
    status, body = world.http("ExportHandler", "GET", "/v1/e/zoho/export/contacts")
    assert (status, body["success"], body["errno"], body["message"]) == (401, False, 400, "TOKEN_INVALIDATED")
    for owner in ("user-1", "user-2"):
        name = f"zoho-crm-export/connections/{world.account}/{owner}"
        secret = world.client("secretsmanager").get_secret_value(SecretId=name)
        assert json.loads(secret["SecretString"])["token_invalidated"] is True


def test_cache_off_requests_a_token_for_every_call(world):
    """ "Every API call refreshes access token (2 API calls per request)": AccessTokenCache=off"""
    world.configure("ExportHandler", ACCESS_TOKEN_CACHE="off")
    for _ in range(2):
        world.http("ExportHandler", "GET", "/v1/e/zoho/export/contacts")
    assert [request["path"] for request in world.zoho.journal.requests()] == [
        "/oauth/v2/token",
        "/crm/v2/Contacts",
    ] * 2
