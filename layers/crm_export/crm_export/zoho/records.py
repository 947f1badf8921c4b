"""Pages of records: GET /crm/{version}/{Module}.

https://www.zoho.com/crm/developer/docs/api/v8/get-records.html (v2: .../v2/get-records.html)
"""

from dataclasses import dataclass, field
from typing import Any

from crm_export.errors import ZohoUnavailable
from crm_export.zoho import scopes
from crm_export.zoho.client import ZohoClient
from crm_export.zoho.fields import choose_fields
from crm_export.zoho.responses import error_from, parse_json
from crm_export.zoho.versions import records_need_fields

# The path's {type} -> Zoho's module.
MODULES = {"contacts": "Contacts", "accounts": "Accounts", "deals": "Deals", "notes": "Notes"}
_OK, _NO_CONTENT, _NOT_MODIFIED = 200, 204, 304


@dataclass(frozen=True)
class PageRequest:
    """Which page is asked for. Fields that are None are Zoho's to choose."""

    page: int = 1
    per_page: int = 10
    page_token: str | None = None
    fields: list[str] = field(default_factory=list)
    sort_by: str | None = None
    sort_order: str | None = None
    modified_since: str | None = None  # ISO 8601 with offset, whole seconds


@dataclass(frozen=True)
class RecordsPage:
    """`data` as Zoho sent it, `info` as Zoho's own paging facts."""

    data: list[dict[str, Any]]
    info: dict[str, Any]


def get_records(client: ZohoClient, version: str, module: str, wanted: PageRequest) -> RecordsPage:
    """One page of a module. No records, or none modified since, gives an empty page.

    From v3 on Zoho wants the fields named. Where the caller names none, they are those of the module's
    metadata, at most 50; `info["fields_left_out"]` names the others.
    """
    params = {"page_token": wanted.page_token} if wanted.page_token else {"page": str(wanted.page)}
    params["per_page"] = str(wanted.per_page)
    fields, left_out = wanted.fields, list[str]()
    if records_need_fields(version) and not fields:
        fields, left_out = choose_fields(client, version, module)
    if fields:
        params["fields"] = ",".join(fields)
    params |= {
        name: value
        for name, value in (("sort_by", wanted.sort_by), ("sort_order", wanted.sort_order))
        if value
    }
    headers = {"If-Modified-Since": wanted.modified_since} if wanted.modified_since else {}
    path, needed = f"/crm/{version}/{module}", (scopes.of_module(module),)
    response = client.request("GET", path, params=params, headers=headers, scopes=needed)
    if response.status in {_NO_CONTENT, _NOT_MODIFIED}:
        empty = {"page": wanted.page, "per_page": wanted.per_page, "count": 0, "more_records": False}
        return RecordsPage([], empty)
    body = parse_json(response.body) if response.status == _OK else None
    if isinstance(body, dict) and "data" not in body and body.get("status") == "error":
        raise error_from(response.status, response.body, response.headers, f"GET {path}", needed)
    data, info = (body.get("data"), body.get("info")) if isinstance(body, dict) else (None, None)
    if not isinstance(data, list) or not all(isinstance(record, dict) for record in data):
        raise ZohoUnavailable(f"Zoho answered GET {path} with HTTP {response.status} but no records.")
    info = dict(info) if isinstance(info, dict) else {}
    return RecordsPage(data, info | {"fields_left_out": left_out} if left_out else info)
