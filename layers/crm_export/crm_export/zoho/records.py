"""Pages of records: GET /crm/{version}/{Module}.

https://www.zoho.com/crm/developer/docs/api/v8/get-records.html (v2: .../v2/get-records.html)
"""
# Reads a whole module through GET /crm/{version}/{Module}, page by page, each from a checkpoint.
#
# For modules that Bulk Read does not take. https://www.zoho.com/crm/developer/docs/api/v8/get-records.html
#

import re
from dataclasses import dataclass, field, replace
from datetime import MAXYEAR, MINYEAR, datetime, timedelta
from itertools import batched
from typing import Any

from crm_export import strict_json
from crm_export.errors import PagingBroken, ResultError, ZohoError, ZohoPaginationLimit, ZohoUnavailable
from crm_export.zoho import catalog
from crm_export.zoho.catalog import records_need_fields
from crm_export.zoho.client import ZohoClient
from crm_export.zoho.metadata import MAX_FIELDS, SINGLE_RECORD_TYPES, choose_fields, get_fields
from crm_export.zoho.refusals import error_from, is_name, parse_json, usable_page_token

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
    path, needed = f"/crm/{version}/{module}", (catalog.module_scope(module),)
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


PER_PAGE = 200
MAX_RECORDS = 100_000  # that page tokens reach
# Cursors to begin with.
BY_ID: "Cursor" = {}
BY_MODIFIED_TIME: "Cursor" = {"since": None}
_MAX_IDS = 100  # of one request for records by id
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")  # it is asked for by a list with commas, and kept in checkpoints

Cursor = dict[str, Any]


@dataclass(frozen=True)
class RecordPage:
    """Records, their numbers as Zoho wrote them (texts), and where the next page begins, if there is one."""

    records: list[dict[str, Any]]
    next: Cursor | None


@dataclass(frozen=True)
class _Wanted:
    version: str
    module: str
    fields: list[str]


class RecordPages:
    """The records of a module in the name of one connection.

    A page is found by a cursor. From BY_MODIFIED_TIME on, records come in the order of Modified_Time,
    however many they are, and whatever is created, changed or deleted meanwhile: none is left out, and one
    that was changed comes once more. From BY_ID on they come by page tokens, of which Zoho gives 100,000
    records (ZohoPaginationLimit): with a custom view, or where records have no Modified_Time.
    """

    def __init__(self, client: ZohoClient) -> None:
        self._client = client

    def field_names(self, version: str, module: str) -> tuple[list[str], list[str]]:
        """All fields a list of records can have, and those that only a single record has.

        From the metadata; where the connection may not read them, from a record as v2 gives it.
        """
        try:
            fields = get_fields(self._client, version, module)
        except ZohoError:
            records, _ = self._get("v2", module, {"per_page": "1"})
            names = (name for name in (records or [{}])[0] if is_name(name))
            return [name for name in names if not name.startswith("$") and name != "id"], []
        single = [field.api_name for field in fields if field.data_type in SINGLE_RECORD_TYPES]
        return [field.api_name for field in fields if field.api_name not in {*single, "id"}], single

    def page(
        self, version: str, module: str, query: dict[str, Any], fields: list[str], cursor: Cursor
    ) -> RecordPage:
        """The page at a cursor. Of the query, cvid counts; version is v3 or later.

        Raises PagingBroken, ZohoPaginationLimit, ZohoPageTokenExpired, and as `ZohoClient.request`.
        """
        wanted = _Wanted(version, module, fields)
        if "since" in cursor:
            return self._page_by_time(wanted, cursor)
        order = {"cvid": query["cvid"]} if "cvid" in query else {"sort_by": "id", "sort_order": "asc"}
        records, info = self._list_some(wanted, order, cursor)
        following: Cursor | None = None
        if info.get("more_records"):
            read = int(cursor.get("read", 0)) + len(records)
            if read >= MAX_RECORDS:
                raise ZohoPaginationLimit(f"Zoho lists {MAX_RECORDS} records of {module}; there are more.")
            following = {"page_token": _next_token(module, records, info, cursor), "read": read}
        return RecordPage(self._complete(wanted, records), following)

    def _page_by_time(self, wanted: _Wanted, cursor: Cursor) -> RecordPage:
        """Each page begins anew at the time the last one came to, so that no limit is ever met.

        `edge` holds the ids that were read at that time, to be left out when they come again.
        """
        others = [name for name in wanted.fields if name != "Modified_Time"]
        wanted = replace(wanted, fields=["Modified_Time", *others])
        order = {"sort_by": "Modified_Time", "sort_order": "asc"}
        found, info = self._list_some(wanted, order, cursor, since=cursor["since"])
        times = [_modified(wanted.module, record) for record in found]
        begun = cursor["since"] and datetime.fromisoformat(cursor["since"])
        if begun and any(time < begun for time in times):
            raise PagingBroken(f"Zoho does not filter module {wanted.module} by Modified_Time.")
        edge = set(cursor.get("edge", ()))
        records = [record for record in found if record["id"] not in edge]
        following = (
            _following(wanted.module, found, times, info, cursor) if info.get("more_records") else None
        )
        return RecordPage(self._complete(wanted, records), following)

    def _list_some(
        self, wanted: _Wanted, order: dict[str, str], cursor: Cursor, *, since: str | None = None
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """A page that is empty ends the module: so it is asked for twice, or, where Zoho has said that there
        are more records, not believed.
        """
        found, info = self._list(wanted, order, cursor, since=since)
        if found:
            return found, info
        if since or cursor.get("page_token"):
            raise ResultError(f"Zoho said that module {wanted.module} has more records, and gave none.")
        return self._list(wanted, order, cursor, since=since)

    def _list(
        self, wanted: _Wanted, order: dict[str, str], cursor: Cursor, *, since: str | None = None
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        token = cursor.get("page_token")
        params = {
            "fields": ",".join(wanted.fields[:MAX_FIELDS] or ["id"]),
            "per_page": str(PER_PAGE),
            **order,
            **({"page_token": token} if token else {"page": "1"}),
        }
        headers = {"If-Modified-Since": since} if since else {}
        return self._get(wanted.version, wanted.module, params, headers)

    def _complete(self, wanted: _Wanted, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The records with the fields beyond the fifty of one request.

        Raises ResultError where one is missing: if it was deleted, the page read anew is without it.
        """
        for names in batched(wanted.fields[MAX_FIELDS:], MAX_FIELDS, strict=False):
            more: dict[str, dict[str, Any]] = {}
            for ids in batched([record["id"] for record in records], _MAX_IDS, strict=False):
                params = {"ids": ",".join(ids), "fields": ",".join(names), "per_page": str(PER_PAGE)}
                found, _ = self._get(wanted.version, wanted.module, params)
                more |= {record["id"]: record for record in found}
            missing = [record["id"] for record in records if record["id"] not in more]
            if missing:
                raise ResultError(
                    f"Zoho gave {len(missing)} of {len(records)} records of module {wanted.module} without "
                    f"their fields from {names[0]} on, {missing[0]} among them."
                )
            records = [{**record, **more[record["id"]]} for record in records]
        return records

    def _get(
        self, version: str, module: str, params: dict[str, str], headers: dict[str, str] | None = None
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        path = f"/crm/{version}/{module}"
        needed = (catalog.module_scope(module),)
        response = self._client.request("GET", path, params=params, headers=headers or {}, scopes=needed)
        if response.status == _NO_CONTENT or (response.status == _NOT_MODIFIED and headers):
            return [], {}
        body = _parse(response.body) if response.status == _OK else None
        data, info = (body.get("data"), body.get("info")) if isinstance(body, dict) else (None, None)
        if not (isinstance(data, list) and all(_is_record(record) for record in data)):
            raise ZohoUnavailable(f"Zoho answered GET {path} with HTTP {response.status} but no records.")
        info = info if isinstance(info, dict) else {}
        if len(data) >= PER_PAGE and not isinstance(info.get("more_records"), bool):
            raise ZohoUnavailable(f"Zoho answered GET {path} with a full page, but not if there is more.")
        return data, info


def _parse(body: bytes) -> Any:
    try:
        return strict_json.loads_exact(body)
    except ValueError:
        return None


def _is_record(value: Any) -> bool:
    found = value.get("id") if isinstance(value, dict) else None
    return isinstance(found, str) and _ID.fullmatch(found) is not None


def _next_token(module: str, records: list[dict[str, Any]], info: dict[str, Any], cursor: Cursor) -> str:
    token = usable_page_token(info.get("next_page_token"))
    if not records or token is None:
        raise PagingBroken(f"Zoho says module {module} has more records, but not how to go on.")
    if token == cursor.get("page_token"):
        raise PagingBroken(f"Zoho says module {module} has more records, but the paging leads nowhere.")
    return token


def _following(
    module: str,
    found: list[dict[str, Any]],
    times: list[datetime],
    info: dict[str, Any],
    cursor: Cursor,
) -> Cursor:
    """Where to go on: from the last record's time, or, while all are of one time, by the page token."""
    if not found or times != sorted(times):
        raise PagingBroken(f"Zoho does not list module {module} in the order of Modified_Time.")
    # A second earlier: whether If-Modified-Since means "at" or "after" is not documented.
    since = times[-1] - timedelta(seconds=1)
    begun = cursor["since"] and datetime.fromisoformat(cursor["since"])
    recent = [record["id"] for record, time in zip(found, times, strict=True) if time >= since]
    if begun is None or since > begun:
        kept = cursor.get("edge", []) if begun is not None and times[0] >= since else []
        return {"since": since.isoformat(timespec="seconds"), "edge": [*kept, *recent]}
    edge = list(dict.fromkeys([*cursor.get("edge", []), *recent]))
    return {"since": cursor["since"], "edge": edge, "page_token": _next_token(module, found, info, cursor)}


def _modified(module: str, record: dict[str, Any]) -> datetime:
    try:
        moment = datetime.fromisoformat(str(record.get("Modified_Time")))
    except ValueError:
        moment = None
    # The years at the calendar's ends leave no room for another offset, or a second less.
    if moment is None or moment.tzinfo is None or moment.year in {MINYEAR, MAXYEAR}:
        raise PagingBroken(f"Records of module {module} do not tell their Modified_Time with its offset.")
    return moment
