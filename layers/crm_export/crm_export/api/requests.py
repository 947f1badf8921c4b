"""Reads requests of API Gateway's HTTP API (payload format 2.0): caller, body, query string.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from crm_export import strict_json
from crm_export.connections.model import require_identity
from crm_export.errors import InvalidRequest, TypeNotSupported
from crm_export.exports.model import Caller
from crm_export.exports.request import StartRequest, is_run_id
from crm_export.settings import ApiSettings
from crm_export.telemetry import note
from crm_export.zoho.catalog import MODULES, records_need_fields
from crm_export.zoho.metadata import MAX_FIELDS
from crm_export.zoho.records import PageRequest

PAGE_PARAMETERS = ("page", "limit", "page_token", "fields", "sort_by", "sort_order", "modified_since")
LIST_PARAMETERS = ("limit", "page_token", "run_id")
_LARGEST_BODY = 256 * 1024  # it becomes part of a DynamoDB item
_LARGEST_INTEGER = 10**9
_LARGEST_PAGE_SIZE = 200
_LAST_NUMBERED_RECORD = 2000  # v3 and later: further records only by page_token
_LONGEST_TOKEN = 2000
_SORTABLE = ("id", "Created_Time", "Modified_Time")  # v3 and later
_API_NAME = re.compile(r"[A-Za-z$][A-Za-z0-9_$.]{0,99}")
_SHOWN = 60  # characters of a value in a message
_DEFAULT = ApiSettings()


def at_root(event: dict[str, Any], base_path: str) -> dict[str, Any]:
    """Return the event with `base_path`, if its path begins with it, as part of its domain name.

    A custom domain may map a path such as /crm to this API. rawPath then begins with it, but our routes do
    not. Callback URLs are made from the domain name, so they contain it.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-mappings.html
    """
    prefix = f"/{base_path.strip('/')}"
    if prefix == "/" or not event.get("rawPath", "").startswith(f"{prefix}/v1/"):
        return event
    context = event["requestContext"]
    return {
        **event,
        "rawPath": event["rawPath"].removeprefix(prefix),
        "requestContext": {**context, "domainName": context["domainName"] + prefix},
    }


def caller_of(event: dict[str, Any], api: ApiSettings = _DEFAULT) -> Caller:
    """Return the account and owner from the claims of the JWT that API Gateway verified.

    Raises CallerNotIdentified, which names the claim.
    """
    authorizer = event.get("requestContext", {}).get("authorizer") or {}
    claims = (authorizer.get("jwt") or {}).get("claims") or {}
    names = (api.account_claim, api.owner_claim)
    caller = Caller(*(require_identity(name, claims.get(name)) for name in names))
    note(account_id=caller.account_id, owner=caller.owner)
    return caller


def start_request(event: dict[str, Any]) -> StartRequest:
    """Read POST /v1/e/zoho/bulk-read/{type}. The header names of an event are in lower case."""
    return StartRequest(
        export_type=event["rawPath"].removeprefix("/v1/e/zoho/bulk-read/"),
        read_body=partial(_start_body, event),
        base_url=f"https://{event['requestContext']['domainName']}",
        idempotency_key=event.get("headers", {}).get("idempotency-key"),
    )


def put_request(event: dict[str, Any]) -> StartRequest:
    """Read PUT /v1/e/zoho/syncs/{type}."""
    return StartRequest(
        export_type=event["rawPath"].removeprefix("/v1/e/zoho/syncs/"),
        read_body=partial(_start_body, event),
        base_url=f"https://{event['requestContext']['domainName']}",
    )


def run_body(event: dict[str, Any]) -> dict[str, Any]:
    """Return the body of POST /v1/e/zoho/syncs/{type}/runs, which may be missing. Raises InvalidRequest."""
    return _start_body(event) if body_bytes(event) else {}


def list_request(
    event: dict[str, Any], api: ApiSettings = _DEFAULT
) -> tuple[str, int, str | None, str | None]:
    """Read GET /v1/e/zoho/bulk-read/exports: account_id, limit, page_token, run_id. Raises InvalidRequest."""
    account_id = caller_of(event, api).account_id
    params = _query_string(event)
    _refuse_unknown(params, LIST_PARAMETERS)
    return (
        account_id,
        integer(params, "limit", default=20, largest=100),
        params.get("page_token"),
        _listed_run(params.get("run_id")),
    )


def _listed_run(run_id: str | None) -> str | None:
    if run_id is not None and not is_run_id(run_id):
        raise InvalidRequest(f"run_id is {run_id[:_SHOWN]!r}; it must be 1 to 64 of A-Z a-z 0-9 _ . -")
    return run_id


def export_request(event: dict[str, Any], api: ApiSettings = _DEFAULT) -> Caller:
    """Read a request about one export: the caller. Raises InvalidRequest."""
    caller = caller_of(event, api)
    _refuse_unknown(_query_string(event), ())
    return caller


def cancel_request(event: dict[str, Any], api: ApiSettings = _DEFAULT) -> tuple[Caller, str]:
    """Read POST /v1/e/zoho/bulk-read/exports/{export_id}/cancel: caller and id. Raises InvalidRequest."""
    return export_request(event, api), event["rawPath"].split("/")[-2]


def _start_body(event: dict[str, Any]) -> dict[str, Any]:
    _refuse_unknown(_query_string(event), ())
    return json_object(event)


def _query_string(event: dict[str, Any]) -> dict[str, str]:
    return event.get("queryStringParameters") or {}


def _refuse_unknown(params: Mapping[str, str], known: tuple[str, ...]) -> None:
    for name in params:
        if name not in known:
            raise InvalidRequest(
                f"The query string has the parameter {name[:_SHOWN]!r}; allowed: "
                f"{', '.join(known) or 'none'}."
            )


def body_bytes(event: dict[str, Any]) -> bytes:
    """Return the body. API Gateway sends all but text and JSON as base64, and so the body of `curl -d`."""
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(body).encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body)
    except (binascii.Error, ValueError):
        return b""


def json_object(event: dict[str, Any]) -> dict[str, Any]:
    """Return the body as a JSON object; an empty body is an empty object. Raises InvalidRequest.

    Stricter than Python: no NaN, no number that exceeds a double, no lone surrogate.
    """
    raw = body_bytes(event)
    if len(raw) > _LARGEST_BODY:
        raise InvalidRequest(f"The body has {len(raw)} bytes; at most {_LARGEST_BODY} are allowed.")
    if not raw.strip():
        return {}
    try:
        body = strict_json.loads(raw.decode())
        json.dumps(body, ensure_ascii=False).encode()
    except ValueError as error:
        raise InvalidRequest("The body is not JSON; it must be an object, or empty.") from error
    if not isinstance(body, dict):
        raise InvalidRequest("The body is JSON, but not an object; it must be an object, or empty.")
    return body


def integer(params: Mapping[str, str], name: str, default: int, largest: int = _LARGEST_INTEGER) -> int:
    """Return a parameter as an integer from 1 to `largest`. Raises InvalidRequest with the allowed range."""
    raw = params.get(name)
    if raw is None:
        return default
    value = strict_json.whole_number(raw, len(str(_LARGEST_INTEGER))) or 0
    if not 1 <= value <= largest:
        raise InvalidRequest(f"{name} is {raw[:40]!r}; it must be a whole number from 1 to {largest}.")
    return value


def page_module(event: dict[str, Any]) -> str:
    """Return the module of GET /v1/e/zoho/export/{type}. Raises TypeNotSupported."""
    export_type = event["rawPath"].removeprefix("/v1/e/zoho/export/")
    module = MODULES.get(export_type)
    if module is None or not module.pages:
        raise TypeNotSupported(export_type, [name for name, known in MODULES.items() if known.pages])
    return module.api_name


def parse_page_request(version: str, params: Mapping[str, str]) -> PageRequest:
    """Read PAGE_PARAMETERS, the query string of GET /v1/e/zoho/export/{type}.

    Raises InvalidRequest, which names the parameter, its value and what the API version allows.
    """
    _refuse_unknown(params, PAGE_PARAMETERS)
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
    last_record = request.page * request.per_page
    if records_need_fields(version) and token is None and last_record > _LAST_NUMBERED_RECORD:
        raise InvalidRequest(
            f"page is {request.page} with limit {request.per_page}, but Zoho's API {version} numbers only "
            f"the first {_LAST_NUMBERED_RECORD} records; continue with page_token, the next_page_token of "
            "the last page."
        )
    return request


def _check_token(version: str, token: str | None, params: Mapping[str, str]) -> None:
    if token is None:
        return
    if not records_need_fields(version):
        raise InvalidRequest(f"Zoho's API {version} has no page_token; use page.")
    if "page" in params:
        raise InvalidRequest("page and page_token are both given; give only one of them.")
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
            raise InvalidRequest(f"fields has {name[:_SHOWN]!r}; it must be API names separated by commas.")
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
        raise InvalidRequest(f"{name} is {value[:_SHOWN]!r}; allowed: {', '.join(allowed)}.")
    return value


def _moment(value: str | None) -> str | None:
    if value is None:
        return None
    # In a query string an unescaped "+" arrives as a space.
    text = value.replace(" ", "+") if re.search(r" \d\d:\d\d$", value) else value
    moment = strict_json.moment(text)
    if moment is None:
        raise InvalidRequest(
            f"modified_since is {value[:_SHOWN]!r}; it must be ISO 8601 with an offset, "
            "as in 2026-07-25T15:26:49+05:30."
        )
    return moment.isoformat(timespec="seconds")
