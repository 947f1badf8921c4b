"""The query string of GET /v1/e/zoho/export/{type}, checked against what the API version allows."""

import re
from collections.abc import Mapping
from datetime import datetime

from crm_export.errors import InvalidRequest
from crm_export.http.params import integer
from crm_export.zoho.fields import MAX_FIELDS
from crm_export.zoho.records import PageRequest
from crm_export.zoho.versions import records_need_fields

_LARGEST_PAGE_SIZE = 200
_LAST_NUMBERED_RECORD = 2000  # v3 and later: beyond it only by page_token
_LONGEST_TOKEN = 2000
_SORTABLE = ("id", "Created_Time", "Modified_Time")  # v3 and later
_API_NAME = re.compile(r"[A-Za-z$][A-Za-z0-9_$.]{0,99}")
_SHOWN = 60


def parse_page_request(version: str, params: Mapping[str, str]) -> PageRequest:
    """Read page, limit, page_token, fields, sort_by, sort_order and modified_since of a query string.

    Raises InvalidRequest, which says which one is wrong, its value and what the version allows.
    """
    token = params.get("page_token")
    _check_token(version, token, params)
    request = PageRequest(
        page=integer(params, "page", default=1),
        per_page=integer(params, "limit", default=10, largest=_LARGEST_PAGE_SIZE),
        page_token=token,
        fields=_fields(version, params.get("fields")),
        sort_by=_sort_by(version, params.get("sort_by")),
        sort_order=_one_of("sort_order", params.get("sort_order"), ("asc", "desc")),
        modified_since=_moment(params.get("modified_since")),
    )
    if (
        records_need_fields(version)
        and token is None
        and request.page * request.per_page > _LAST_NUMBERED_RECORD
    ):
        raise InvalidRequest(
            f"page is {request.page} with limit {request.per_page}: Zoho's API {version} numbers only the "
            f"first {_LAST_NUMBERED_RECORD} records; go on with page_token, the last page's next_page_token."
        )
    return request


def _check_token(version: str, token: str | None, params: Mapping[str, str]) -> None:
    if token is None:
        return
    if not records_need_fields(version):
        raise InvalidRequest(f"page_token is not known to Zoho's API {version}; use page.")
    if "page" in params:
        raise InvalidRequest("page and page_token exclude each other; leave page out.")
    if not token or len(token) > _LONGEST_TOKEN or not token.isascii() or not token.isprintable():
        raise InvalidRequest(
            f"page_token is {token[:_SHOWN]!r}; it must be the next_page_token of the last page."
        )


def _fields(version: str, value: str | None) -> list[str]:
    if value is None:
        return []
    names = list(dict.fromkeys(name.strip() for name in value.split(",")))
    for name in names:
        if not _API_NAME.fullmatch(name):
            raise InvalidRequest(f"fields has {name[:_SHOWN]!r}; allowed are API names with commas between.")
    if records_need_fields(version) and len(names) > MAX_FIELDS:
        raise InvalidRequest(f"fields has {len(names)} names; Zoho's API {version} allows {MAX_FIELDS}.")
    return names


def _sort_by(version: str, value: str | None) -> str | None:
    if records_need_fields(version):
        return _one_of("sort_by", value, _SORTABLE)
    if value is not None and not _API_NAME.fullmatch(value):
        raise InvalidRequest(f"sort_by is {value[:_SHOWN]!r}; it must be a field's API name.")
    return value


def _one_of(name: str, value: str | None, allowed: tuple[str, ...]) -> str | None:
    if value is not None and value not in allowed:
        raise InvalidRequest(f"{name} is {value[:_SHOWN]!r}; allowed are {', '.join(allowed)}.")
    return value


def _moment(value: str | None) -> str | None:
    if value is None:
        return None
    # In a query string an unescaped "+" arrives as a space.
    text = value.replace(" ", "+") if re.search(r" \d\d:\d\d$", value) else value
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidRequest(
            f"modified_since is {value[:_SHOWN]!r}; it must be ISO 8601 with an offset, "
            "as in 2026-07-25T15:26:49+05:30."
        )
    return moment.isoformat(timespec="seconds")
