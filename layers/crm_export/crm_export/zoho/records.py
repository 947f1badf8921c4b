"""Reads records with GET /crm/{version}/{Module}: one page for the page API, whole modules for exports.

The page API is our GET /v1/e/zoho/export/{type}.

https://www.zoho.com/crm/developer/docs/api/v8/get-records.html (v2: .../v2/get-records.html)
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import MAXYEAR, MINYEAR, datetime, timedelta
from hashlib import blake2b
from http import HTTPStatus
from itertools import batched
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from crm_export import strict_json
from crm_export.errors import PagingBroken, ResultError, ZohoError, ZohoPaginationLimit, ZohoUnavailable
from crm_export.strict_json import RawJson
from crm_export.zoho.catalog import (
    PARENT_MODULE,
    POLYMORPHIC_LOOKUPS,
    list_parameters,
    module_scope,
    records_need_fields,
)
from crm_export.zoho.metadata import MAX_FIELDS, SINGLE_RECORD_TYPES, choose_fields, get_fields
from crm_export.zoho.refusals import error_from, is_name, parse_json, usable_page_token

if TYPE_CHECKING:  # the table reads cursors, and callback_receiver loads no HTTP client
    from crm_export.zoho.client import ZohoClient

_PAGE_SIZE = 200
_MAX_RECORDS = 100_000  # that page tokens reach
_MAX_IDS = 100  # of one request for records by id
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")  # part of a comma-separated list, and stored in cursors
_TOKENS_KEPT = 1_000  # hashes in a cursor: twice as many as page tokens reach
_MODULE_COLUMN = ".module"  # after the name of a polymorphic lookup: the column with the record's module
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
    """A page for the page API: `data` as Zoho sent it, and `info`, Zoho's own facts about paging.

    `strict_json.dumps` writes both with the characters that Zoho sent.
    """

    data: RawJson | Records
    info: dict[str, Any]


@dataclass(frozen=True)
class Cursor:
    """Where a page of an export begins.

    by_time: in the order of Modified_Time; else by page tokens. since: read what was modified at or after
    this time. edge: ids that were read since then and are left out when they come again. page_token: of
    the next page. read: the number of records that page tokens have listed so far. before: where the page
    before begins. tokens: hashes of the page tokens that led here. barren: the page before had no new record.
    """

    by_time: bool
    since: datetime | None = None
    edge: tuple[str, ...] = ()
    page_token: str | None = None
    read: int = 0
    before: "Cursor | None" = None
    tokens: tuple[str, ...] = ()
    barren: bool = False

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
            before=cls.from_json(stored["before"]) if "before" in stored else None,
            tokens=tuple(stored.get("tokens", ())),
            barren=bool(stored.get("barren")),
        )

    def to_json(self) -> dict[str, Any]:
        """Return an object with every value that is set, and with `since` whenever `by_time`."""
        values = {
            "edge": list(self.edge),
            "page_token": self.page_token,
            "read": self.read,
            "tokens": list(self.tokens),
            "barren": self.barren,
        }
        return (
            ({"since": _text(self.since)} if self.by_time else {})
            | {name: value for name, value in values.items() if value}
            | ({"before": self.before.to_json()} if self.before else {})
        )

    def place(self) -> Self:
        """Return only what is needed to read the page again."""
        return replace(self, edge=(), before=None, tokens=(), barren=False)

    def after(self, module: str, info: dict[str, Any]) -> Self:
        """Return the cursor at the next page token. Raises PagingBroken if it is missing or not new."""
        token = usable_page_token(info.get("next_page_token"))
        if token is None:
            raise PagingBroken(f"Zoho announces more records of module {module}, but no next page.")
        seen = blake2b(token.encode(), digest_size=8).hexdigest()
        if token == self.page_token or seen in self.tokens:
            raise PagingBroken(
                f"Zoho announces more records of module {module}, but repeats an earlier page token."
            )
        return replace(self, page_token=token, tokens=(*self.tokens, seen)[-_TOKENS_KEPT:])


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None


BY_ID = Cursor(by_time=False)
BY_MODIFIED_TIME = Cursor(by_time=True)


@dataclass(frozen=True)
class RecordPage:
    """A page of an export: records, numbers as `strict_json.loads_exact` reads them.

    next: the next page's cursor, None at the end. again: it contains records of the page before, because
    that page was read again. one_response: one response of Zoho had all of it.
    """

    records: Records
    next: Cursor | None
    again: bool = False
    one_response: bool = True


class FieldNames(NamedTuple):
    """The names of a module's fields.

    listed: those that a list of records can have. single: those that only a single record has. polymorphic:
    lookups whose records belong to several modules.
    """

    listed: list[str]
    single: list[str]
    polymorphic: frozenset[str] = frozenset()


def with_module_columns(fields: list[str], polymorphic: frozenset[str]) -> list[str]:
    """Return the fields with `<lookup>.module` right after each polymorphic lookup, for `read_page`."""
    return [
        column
        for name in fields
        for column in ([name, name + _MODULE_COLUMN] if name in polymorphic else [name])
    ]


@dataclass(frozen=True)
class _Source:
    """What an export reads. lookups: whose records' modules it writes as `<lookup>.module`."""

    version: str
    module: str
    fields: list[str]
    lookups: list[str]

    @classmethod
    def of(cls, version: str, module: str, columns: list[str]) -> Self:
        """Return the fields to request for `with_module_columns`."""
        lookups = [name.removesuffix(_MODULE_COLUMN) for name in columns if name.endswith(_MODULE_COLUMN)]
        fields = [name for name in columns if not name.endswith(_MODULE_COLUMN)]
        if lookups and PARENT_MODULE not in fields:
            fields.append(PARENT_MODULE)
        return cls(version, module, fields, lookups)


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
        found = self._get(version, module, request.params(), since=since, read=_raw_listing)
        data, count, info = found or ([], 0, {})
        if not info:
            # A full page without facts about paging is followed by another page, which may be empty.
            more = count >= request.per_page
            info = {"page": request.page, "per_page": request.per_page, "count": count, "more_records": more}
        return PageResponse(data, info | {"fields_left_out": left_out} if found and left_out else info)

    # --- whole modules for exports ---

    def field_names(self, version: str, module: str) -> FieldNames:
        """Return the names of a module's fields.

        They come from the metadata, or, if the connection may not read it, from one record in v2.
        """
        polymorphic = frozenset(POLYMORPHIC_LOOKUPS.get(module, ()))
        try:
            fields = get_fields(self._client, version, module)
        except ZohoError:
            records, _ = self._list("v2", module, {"per_page": "1"})
            names = (name for name in (records or [{}])[0] if is_name(name))
            listed = [name for name in names if not name.startswith("$") and name != "id"]
            return FieldNames(listed, [], polymorphic)
        single = [field.api_name for field in fields if field.data_type in SINGLE_RECORD_TYPES]
        return FieldNames(
            [field.api_name for field in fields if field.api_name not in {*single, "id"}],
            single,
            polymorphic | {field.api_name for field in fields if field.is_polymorphic},
        )

    def read_page(
        self, version: str, module: str, cvid: str | None, fields: list[str], cursor: Cursor
    ) -> RecordPage:
        """Return the page of an export at a cursor; version is v3 or later, fields: `with_module_columns`.

        From BY_MODIFIED_TIME on, records come in the order of Modified_Time, however many there are and
        whatever is created, changed or deleted in the meantime: no record is missing, and a changed record
        comes again. From BY_ID on, they come by page tokens, which reach 100,000 records
        (ZohoPaginationLimit): for a custom view `cvid`, and for records without Modified_Time.

        Raises PagingBroken, ResultError, ZohoPaginationLimit, ZohoPageTokenExpired, and as
        `ZohoClient.request` does.
        """
        source = _Source.of(version, module, fields)
        if cursor.by_time:
            return self._page_by_time(source, cursor)
        return self._page_by_id(source, cvid, cursor)

    def check_times(self, version: str, module: str) -> None:
        """Raise PagingBroken if the record that is last in the order of Modified_Time has none.

        Zoho lists such a record neither on a later page in that order nor in a window.
        """
        params = {"fields": "Modified_Time", "per_page": "1", **_BY_TIME, "sort_order": "desc"}
        for record in self._list(version, module, params)[0]:
            _modified(module, record)

    def _page_by_id(self, source: _Source, cvid: str | None, cursor: Cursor) -> RecordPage:
        order = {"cvid": cvid} if cvid is not None else _BY_ID
        found, info, again = self._list_page(source, order, cursor)
        more = info.get("more_records")
        if found:
            _check_info(source.module, info)
        following = None
        if more:
            read = cursor.read + len(found)
            if read >= self._max_records:
                raise ZohoPaginationLimit(
                    f"Module {source.module} has more records than the {self._max_records} that Zoho lists."
                )
            following = replace(cursor, read=read, before=cursor.place()).after(source.module, info)
        return self._finished(source, found, following, again=again)

    def _page_by_time(self, source: _Source, cursor: Cursor) -> RecordPage:
        """Start each page at the time of the last record read: page tokens never reach their limit."""
        others = [name for name in source.fields if name != "Modified_Time"]
        source = replace(source, fields=["Modified_Time", *others])
        found, info, again = self._list_page(source, _BY_TIME, cursor)
        times = [_modified(source.module, record) for record in found]
        if cursor.since and not again and any(time < cursor.since for time in times):
            raise PagingBroken(f"Zoho does not filter module {source.module} by Modified_Time.")
        edge = set(cursor.edge)
        records = [record for record in found if record["id"] not in edge]
        more = info.get("more_records")
        if not isinstance(more, bool):  # the next page shows it: without more records it has no new ones
            more = bool(records)
        following = self._following(source.module, found, times, info, cursor) if more else None
        return self._finished(source, records, following, again=again)

    def _following(
        self, module: str, found: Records, times: list[datetime], info: dict[str, Any], cursor: Cursor
    ) -> Cursor:
        """Return the next cursor: from the last record's time on, or by token while too many share it."""
        if times != sorted(times):
            raise PagingBroken(f"Zoho does not list module {module} in the order of Modified_Time.")
        # A second earlier: whether If-Modified-Since means "at" or "after" is not documented.
        since = (times[-1] - timedelta(seconds=1)).replace(microsecond=0)
        recent = [record["id"] for record, time in zip(found, times, strict=True) if time >= since]
        is_later = cursor.since is None or since > cursor.since
        kept = cursor.edge if times[0] >= since or not is_later else ()
        edge = tuple(dict.fromkeys([*kept, *recent]))
        here = replace(cursor, edge=edge, before=cursor.place())
        if is_later and len(edge) < self._page_size:  # the next page has at least one new record
            return replace(here, since=since, page_token=None)
        _check_info(module, info)
        return here.after(module, info)

    def _list_page(
        self, source: _Source, order: dict[str, str], cursor: Cursor
    ) -> tuple[Records, dict[str, Any], bool]:
        """Return the records and `info` of a cursor's page, and False; True for those of the page before.

        An empty first page means that there are no records, so it is confirmed by a second request. Any other
        page is empty if the last records were deleted. Then the page before, read again, says that no records
        follow, and contains those that moved up. Raises ResultError if it does not say so.
        """
        found, info = self._list_at(source, order, cursor)
        if found:
            return found, info, False
        if cursor.before is None and cursor.page_token is None and not cursor.edge:
            found, info = self._list_at(source, order, cursor)
            if found or not info.get("more_records"):
                return found, info, False
        if cursor.before is not None:
            found, info = self._list_at(source, order, cursor.before)
            if info.get("more_records") is False:
                return found, info, True
        raise ResultError(f"Zoho announced more records of module {source.module} and returned none.")

    def _list_at(self, source: _Source, order: dict[str, str], cursor: Cursor) -> Listing:
        params = {
            "fields": ",".join(source.fields[:MAX_FIELDS] or ["id"]),
            "per_page": str(self._page_size),
            **order,
            **({"page_token": cursor.page_token} if cursor.page_token else {"page": "1"}),
        }
        return self._list(source.version, source.module, params, _text(cursor.since))

    def _finished(
        self, source: _Source, records: Records, following: Cursor | None, *, again: bool
    ) -> RecordPage:
        """Return the page with all of the records' fields and the modules of polymorphic lookups."""
        records = self._with_all_fields(source, records)
        for record in records:
            for lookup in source.lookups:
                record[lookup + _MODULE_COLUMN] = _module_of(record, lookup)
        is_one = not again and len(source.fields) <= MAX_FIELDS
        return RecordPage(records, following, again=again, one_response=is_one)

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
        """Return records with usable ids, as strings. Raises ZohoUnavailable for any others."""
        params = {**list_parameters(module), **params}
        records, info = self._get(version, module, params, since=since, read=_listing) or ([], {})
        for record in records:
            record["id"] = _usable_id(module, record.get("id"))
        return records, info

    # --- both ---

    def _get[T](
        self,
        version: str,
        module: str,
        params: dict[str, str],
        *,
        since: str | None,
        read: Callable[[bytes], T | None],
    ) -> T | None:
        """GET a list of records; return what `read` makes of its body, or None if no record matches."""
        path, scopes = f"/crm/{version}/{module}", (module_scope(module),)
        headers = {"If-Modified-Since": since} if since else {}
        response = self._client.request("GET", path, params=params, headers=headers, scopes=scopes)
        if response.status == HTTPStatus.NO_CONTENT or (
            since is not None and response.status == HTTPStatus.NOT_MODIFIED
        ):
            return None
        found = read(response.body) if response.status == HTTPStatus.OK else None
        if found is not None:
            return found
        body = parse_json(response.body) if response.status == HTTPStatus.OK else None
        if isinstance(body, dict) and "data" not in body and body.get("status") == "error":
            raise error_from(response.status, response.body, response.headers, f"GET {path}", scopes)
        raise ZohoUnavailable(f"Zoho responded to GET {path} with HTTP {response.status} but no records.")


def _listing(body: bytes) -> Listing | None:
    """Return `data` and `info` of a body, or None if it has no records."""
    found = parse_json(body)
    data = found.get("data") if isinstance(found, dict) else None
    if not isinstance(data, list) or not all(isinstance(record, dict) for record in data):
        return None
    info = found.get("info")
    return data, info if isinstance(info, dict) else {}


def _raw_listing(body: bytes) -> tuple[RawJson | Records, int, dict[str, Any]] | None:
    """Return `data`, the number of its records, and `info`; without reading the records, if possible."""
    from crm_export.zoho.raw_records import cut_out  # noqa: PLC0415 - exports do not load msgspec

    raw = cut_out(body)
    if raw is not None:
        return raw.data, raw.count, raw.info if isinstance(raw.info, dict) else {}
    listing = _listing(body)
    return None if listing is None else (listing[0], len(listing[0]), listing[1])


def _check_info(module: str, info: dict[str, Any]) -> None:
    if not isinstance(info.get("more_records"), bool):
        raise ResultError(
            f"Zoho listed records of module {module}, but did not say whether there are more of them."
        )


def _usable_id(module: str, value: Any) -> str:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not _ID.fullmatch(text):
        raise ZohoUnavailable(f"Zoho returned a record of module {module} without a usable id.")
    return text


def _module_of(record: dict[str, Any], lookup: str) -> str | None:
    """Return the API name of the module that a polymorphic lookup's record belongs to, or None.

    Newer API versions name it within the lookup, older ones next to it.
    https://www.zoho.com/crm/developer/docs/api/v8/get-notes.html
    """
    value = record.get(lookup)
    if not value:
        return None
    module = value.get("module") if isinstance(value, dict) else None
    name = module.get("api_name") if isinstance(module, dict) else module
    found = name or record.get(PARENT_MODULE)
    return found if isinstance(found, str) else None


def _modified(module: str, record: dict[str, Any]) -> datetime:
    moment = strict_json.moment(record.get("Modified_Time"))
    # The first and last year of the calendar leave no room for another offset or a second less.
    if moment is None or moment.year in {MINYEAR, MAXYEAR}:
        raise PagingBroken(f"Records of module {module} have no Modified_Time with an offset.")
    return moment
