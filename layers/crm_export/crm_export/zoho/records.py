"""Reads records with GET /crm/{version}/{Module}: one page for the page API, whole modules for exports.

The page API is our GET /v1/e/zoho/export/{type}.

https://www.zoho.com/crm/developer/docs/api/v8/get-records.html (v2: .../v2/get-records.html)
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import MAXYEAR, MINYEAR, datetime, timedelta
from http import HTTPStatus
from itertools import batched
from typing import TYPE_CHECKING, Any, Self

from crm_export import strict_json
from crm_export.errors import PagingBroken, ResultError, ZohoError, ZohoPaginationLimit, ZohoUnavailable
from crm_export.zoho.catalog import module_scope, records_need_fields
from crm_export.zoho.metadata import MAX_FIELDS, SINGLE_RECORD_TYPES, choose_fields, get_fields
from crm_export.zoho.refusals import error_from, is_name, usable_page_token

if TYPE_CHECKING:  # the table reads cursors, and callback_receiver loads no HTTP client
    from crm_export.zoho.client import ZohoClient

_PAGE_SIZE = 200
_MAX_RECORDS = 100_000  # that page tokens reach
_MAX_IDS = 100  # of one request for records by id
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")  # part of a comma-separated list, and stored in cursors
_BY_TIME = {"sort_by": "Modified_Time", "sort_order": "asc"}
_BY_ID = {"sort_by": "id", "sort_order": "asc"}

type Records = list[dict[str, Any]]
type Listing = tuple[Records, dict[str, Any]]  # `data` and `info` of a response


@dataclass(frozen=True)
class PageRequest:
    """The page that a caller of the page API requests. Zoho chooses the values that are None."""

    page: int = 1
    per_page: int = 10
    page_token: str | None = None
    fields: list[str] = field(default_factory=list)
    sort_by: str | None = None
    sort_order: str | None = None
    modified_since: str | None = None  # ISO 8601 with offset, whole seconds

    def params(self) -> dict[str, str]:
        """Return the query parameters for Zoho."""
        named = {
            "page_token": self.page_token,
            "page": None if self.page_token else str(self.page),
            "per_page": str(self.per_page),
            "fields": ",".join(self.fields),
            "sort_by": self.sort_by,
            "sort_order": self.sort_order,
        }
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True)
class PageResponse:
    """A page for the page API: `data` as Zoho sent it, and `info`, Zoho's own facts about paging."""

    data: Records
    info: dict[str, Any]


@dataclass(frozen=True)
class Cursor:
    """Where a page of an export begins.

    by_time: in the order of Modified_Time; else by page tokens. since: read what was modified at or after
    this time. edge: ids that were read since then and are left out when they come again. page_token: of
    the next page. read: the number of records that page tokens have listed so far.
    """

    by_time: bool
    since: datetime | None = None
    edge: tuple[str, ...] = ()
    page_token: str | None = None
    read: int = 0

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """Return the cursor of an object that `to_json` made."""
        since = stored.get("since")
        return cls(
            by_time="since" in stored,
            since=datetime.fromisoformat(since) if since else None,
            edge=tuple(stored.get("edge", ())),
            page_token=stored.get("page_token"),
            read=int(stored.get("read", 0)),
        )

    def to_json(self) -> dict[str, Any]:
        """Return {"since", "edge"?, "page_token"?} or {"page_token"?, "read"?}."""
        token = {"page_token": self.page_token} if self.page_token else {}
        if not self.by_time:
            return token | ({"read": self.read} if token else {})
        if self.since is None:
            return {"since": None} | token
        return {"since": _text(self.since), "edge": list(self.edge)} | token


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None


BY_ID = Cursor(by_time=False)
BY_MODIFIED_TIME = Cursor(by_time=True)


@dataclass(frozen=True)
class RecordPage:
    """A page of an export: records, numbers as NumberText, and the next page's cursor, None at the end."""

    records: Records
    next: Cursor | None


@dataclass(frozen=True)
class _Source:
    """What an export reads."""

    version: str
    module: str
    fields: list[str]


class RecordsReader:
    """The records API with the tokens of one connection.

    page_size and max_records are Zoho's own limits for exports: records of a page, and records that page
    tokens reach.
    """

    def __init__(
        self, client: "ZohoClient", *, page_size: int = _PAGE_SIZE, max_records: int = _MAX_RECORDS
    ) -> None:
        self._client = client
        self._page_size = page_size
        self._max_records = max_records

    # --- one page for the page API ---

    def get_page(self, version: str, module: str, request: PageRequest) -> PageResponse:
        """Return one page of a module. It is empty if there are no records, or none modified since.

        From v3 on Zoho requires `fields`. If the caller names none, they come from the module's metadata, at
        most 50; `info["fields_left_out"]` names the others.
        """
        left_out = list[str]()
        if records_need_fields(version) and not request.fields:
            fields, left_out = choose_fields(self._client, version, module)
            request = replace(request, fields=fields)
        since = request.modified_since
        found = self._get(version, module, request.params(), since=since, loads=strict_json.loads)
        if found is None:
            empty = {"page": request.page, "per_page": request.per_page, "count": 0, "more_records": False}
            return PageResponse([], empty)
        data, info = found
        return PageResponse(data, info | {"fields_left_out": left_out} if left_out else info)

    # --- whole modules for exports ---

    def field_names(self, version: str, module: str) -> tuple[list[str], list[str]]:
        """Return the fields that a list of records can have, and those that only a single record has.

        They come from the metadata, or, if the connection may not read it, from one record in v2.
        """
        try:
            fields = get_fields(self._client, version, module)
        except ZohoError:
            records, _ = self._list("v2", module, {"per_page": "1"})
            names = (name for name in (records or [{}])[0] if is_name(name))
            return [name for name in names if not name.startswith("$") and name != "id"], []
        single = [field.api_name for field in fields if field.data_type in SINGLE_RECORD_TYPES]
        return [field.api_name for field in fields if field.api_name not in {*single, "id"}], single

    def read_page(
        self, version: str, module: str, cvid: str | None, fields: list[str], cursor: Cursor
    ) -> RecordPage:
        """Return the page of an export at a cursor; version is v3 or later.

        From BY_MODIFIED_TIME on, records come in the order of Modified_Time, however many there are and
        whatever is created, changed or deleted in the meantime: no record is missing, and a changed record
        comes again. From BY_ID on, they come by page tokens, which reach 100,000 records
        (ZohoPaginationLimit): for a custom view `cvid`, and for records without Modified_Time.

        Raises PagingBroken, ResultError, ZohoPaginationLimit, ZohoPageTokenExpired, and as
        `ZohoClient.request` does.
        """
        source = _Source(version, module, fields)
        if cursor.by_time:
            return self._page_by_time(source, cursor)
        return self._page_by_id(source, cvid, cursor)

    def _page_by_id(self, source: _Source, cvid: str | None, cursor: Cursor) -> RecordPage:
        records, info = self._list_page(source, {"cvid": cvid} if cvid is not None else _BY_ID, cursor)
        following = None
        if info.get("more_records"):
            read = cursor.read + len(records)
            if read >= self._max_records:
                raise ZohoPaginationLimit(
                    f"Module {source.module} has more records than the {self._max_records} that Zoho lists."
                )
            token = _next_token(source.module, records, info, cursor)
            following = Cursor(by_time=False, page_token=token, read=read)
        return RecordPage(self._with_all_fields(source, records), following)

    def _page_by_time(self, source: _Source, cursor: Cursor) -> RecordPage:
        """Start each page at the time of the last record read: page tokens never reach their limit."""
        others = [name for name in source.fields if name != "Modified_Time"]
        source = replace(source, fields=["Modified_Time", *others])
        found, info = self._list_page(source, _BY_TIME, cursor)
        times = [_modified(source.module, record) for record in found]
        if cursor.since and any(time < cursor.since for time in times):
            raise PagingBroken(f"Zoho does not filter module {source.module} by Modified_Time.")
        edge = set(cursor.edge)
        records = [record for record in found if record["id"] not in edge]
        more = info.get("more_records")
        following = _following(source.module, found, times, info, cursor) if more else None
        return RecordPage(self._with_all_fields(source, records), following)

    def _list_page(self, source: _Source, order: dict[str, str], cursor: Cursor) -> Listing:
        """Return a cursor's page. Raises ResultError if it is empty although Zoho announced more records.

        An empty first page means an empty module, so it is confirmed by a second request.
        """
        params = {
            "fields": ",".join(source.fields[:MAX_FIELDS] or ["id"]),
            "per_page": str(self._page_size),
            **order,
            **({"page_token": cursor.page_token} if cursor.page_token else {"page": "1"}),
        }
        since = _text(cursor.since)
        found, info = self._list(source.version, source.module, params, since)
        if found:
            return found, info
        if since or cursor.page_token:
            raise ResultError(f"Zoho announced more records of module {source.module} and returned none.")
        return self._list(source.version, source.module, params, since)

    def _with_all_fields(self, source: _Source, records: Records) -> Records:
        """Return the records with the fields beyond the 50 of one request, which are read by id.

        Raises ResultError if a record is missing. If it was deleted, the next read of the page omits it.
        """
        for names in batched(source.fields[MAX_FIELDS:], MAX_FIELDS, strict=False):
            more: dict[str, dict[str, Any]] = {}
            for ids in batched([record["id"] for record in records], _MAX_IDS, strict=False):
                params = {"ids": ",".join(ids), "fields": ",".join(names), "per_page": str(self._page_size)}
                found, _ = self._list(source.version, source.module, params)
                more |= {record["id"]: record for record in found}
            missing = [record["id"] for record in records if record["id"] not in more]
            if missing:
                raise ResultError(
                    f"Zoho did not return the fields from {names[0]} on for {len(missing)} of {len(records)} "
                    f"records of module {source.module}, for example {missing[0]}."
                )
            records = [{**record, **more[record["id"]]} for record in records]
        return records

    def _list(self, version: str, module: str, params: dict[str, str], since: str | None = None) -> Listing:
        """Return records with usable ids and exact numbers. Raises ZohoUnavailable for any others."""
        found = self._get(version, module, params, since=since, loads=strict_json.loads_exact)
        if found is None:
            return [], {}
        records, info = found
        if not all(_has_usable_id(record) for record in records):
            raise ZohoUnavailable(f"Zoho returned a record of module {module} without a usable id.")
        if len(records) >= self._page_size and not isinstance(info.get("more_records"), bool):
            raise ZohoUnavailable(
                f"Zoho returned a full page of module {module} without saying whether there are more records."
            )
        return records, info

    # --- both ---

    def _get(
        self,
        version: str,
        module: str,
        params: dict[str, str],
        *,
        since: str | None,
        loads: Callable[[bytes], Any],
    ) -> Listing | None:
        """GET a list of records; return its `data` and `info`, or None if no record matches."""
        path, scopes = f"/crm/{version}/{module}", (module_scope(module),)
        headers = {"If-Modified-Since": since} if since else {}
        response = self._client.request("GET", path, params=params, headers=headers, scopes=scopes)
        if response.status == HTTPStatus.NO_CONTENT or (
            since is not None and response.status == HTTPStatus.NOT_MODIFIED
        ):
            return None
        body = _object(response.body, loads) if response.status == HTTPStatus.OK else {}
        if "data" not in body and body.get("status") == "error":
            raise error_from(response.status, response.body, response.headers, f"GET {path}", scopes)
        data, info = body.get("data"), body.get("info")
        if not isinstance(data, list) or not all(isinstance(record, dict) for record in data):
            raise ZohoUnavailable(f"Zoho responded to GET {path} with HTTP {response.status} but no records.")
        return data, info if isinstance(info, dict) else {}


def _object(body: bytes, loads: Callable[[bytes], Any]) -> dict[str, Any]:
    try:
        found = loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _has_usable_id(record: dict[str, Any]) -> bool:
    found = record.get("id")
    return isinstance(found, str) and _ID.fullmatch(found) is not None


def _next_token(module: str, records: Records, info: dict[str, Any], cursor: Cursor) -> str:
    token = usable_page_token(info.get("next_page_token"))
    if not records or token is None:
        raise PagingBroken(f"Zoho announces more records of module {module}, but no next page.")
    if token == cursor.page_token:
        raise PagingBroken(
            f"Zoho announces more records of module {module}, but repeats the same page token."
        )
    return token


def _following(
    module: str, found: Records, times: list[datetime], info: dict[str, Any], cursor: Cursor
) -> Cursor:
    """Return the next cursor: from the last record's time on, or by token while all have the same time."""
    if not found or times != sorted(times):
        raise PagingBroken(f"Zoho does not list module {module} in the order of Modified_Time.")
    # A second earlier: whether If-Modified-Since means "at" or "after" is not documented.
    since = (times[-1] - timedelta(seconds=1)).replace(microsecond=0)
    recent = tuple(record["id"] for record, time in zip(found, times, strict=True) if time >= since)
    if cursor.since is None or since > cursor.since:
        kept = cursor.edge if cursor.since is not None and times[0] >= since else ()
        return Cursor(by_time=True, since=since, edge=kept + recent)
    edge = tuple(dict.fromkeys(cursor.edge + recent))
    return replace(cursor, edge=edge, page_token=_next_token(module, found, info, cursor))


def _modified(module: str, record: dict[str, Any]) -> datetime:
    moment = strict_json.moment(record.get("Modified_Time"))
    # The first and last year of the calendar leave no room for another offset or a second less.
    if moment is None or moment.year in {MINYEAR, MAXYEAR}:
        raise PagingBroken(f"Records of module {module} have no Modified_Time with an offset.")
    return moment
