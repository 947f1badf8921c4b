"""Who calls: the claims of the JWT that API Gateway has verified."""
# The body of a request, as text and as JSON.
# Query parameters, read strictly.
# The query string of GET /v1/e/zoho/export/{type}, checked against what the API version allows.

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crm_export import strict_json
from crm_export.connections.model import require_identity
from crm_export.errors import InvalidRequest
from crm_export.zoho.catalog import records_need_fields
from crm_export.zoho.metadata import MAX_FIELDS
from crm_export.zoho.records import PageRequest


@dataclass(frozen=True)
class Caller:
    """account_id and owner (the claim `uid`) of a request."""

    account_id: str
    owner: str


def caller_of(event: dict[str, Any]) -> Caller:
    """The caller of an HTTP API event (payload 2.0). Raises CallerNotIdentified."""
    authorizer = event.get("requestContext", {}).get("authorizer") or {}
    claims = (authorizer.get("jwt") or {}).get("claims") or {}
    return Caller(
        require_identity("account_id", claims.get("account_id")), require_identity("uid", claims.get("uid"))
    )


_LARGEST_BODY = 256 * 1024  # it becomes part of an item in DynamoDB, which holds 400 KB


def body_bytes(event: dict[str, Any]) -> bytes:
    """The body of an HTTP API event. API Gateway encodes all but text and JSON: curl -d, too."""
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(body).encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body)
    except (binascii.Error, ValueError):
        return b""


def json_object(event: dict[str, Any]) -> dict[str, Any]:
    """The body as a JSON object; an empty body is an empty one. Raises InvalidRequest.

    Stricter than Python: no NaN, no number beyond a double, no half of a surrogate pair.
    """
    raw = body_bytes(event)
    if len(raw) > _LARGEST_BODY:
        raise InvalidRequest(f"The body has {len(raw)} bytes; allowed are {_LARGEST_BODY}.")
    if not raw.strip():
        return {}
    try:
        wanted = strict_json.loads(raw.decode())
        json.dumps(wanted, ensure_ascii=False).encode()
    except ValueError as error:
        raise InvalidRequest("The body is not JSON; it must be an object, or empty.") from error
    if not isinstance(wanted, dict):
        raise InvalidRequest("The body is JSON, but not an object; it must be an object, or empty.")
    return wanted


_LARGEST_INTEGER = 10**9


def integer(params: Mapping[str, str], name: str, default: int, largest: int = _LARGEST_INTEGER) -> int:
    """An integer of 1 to `largest`. Raises InvalidRequest, which says which parameter and the range."""
    raw = params.get(name)
    if raw is None:
        return default
    value = strict_json.whole_number(raw, len(str(_LARGEST_INTEGER))) or 0
    if not 1 <= value <= largest:
        raise InvalidRequest(f"{name} is {raw[:40]!r}; it must be a whole number from 1 to {largest}.")
    return value


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
