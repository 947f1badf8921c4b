"""Turns a response of Zoho's API into one of our errors; no other module does.

Zoho's errors are flat, `{"code", "message", "status", "details"}`, or the same object within `data[]`; a
gateway in front of Zoho may respond with HTML, with a redirect or with nothing. The code decides, not the
HTTP status: a missing permission comes as 403 and as 400, a missing scope as 401.
https://www.zoho.com/crm/developer/docs/api/v8/status-codes.html
https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/create-job.html
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from crm_export import strict_json
from crm_export.errors import (
    ZohoError,
    ZohoFieldRefused,
    ZohoJobFailed,
    ZohoModuleNotSupported,
    ZohoNotFound,
    ZohoPageRangeExceeded,
    ZohoPageTokenExpired,
    ZohoPaginationLimit,
    ZohoPermissionDenied,
    ZohoQueryRefused,
    ZohoRequestMalformed,
    ZohoThrottled,
    ZohoTokenRejected,
    ZohoUnavailable,
)
from crm_export.redaction import redact
from crm_export.zoho.catalog import scope_advice

_LONGEST_CODE, _LONGEST_MESSAGE, _LONGEST_FACTS, _LONGEST_NAME = 100, 1500, 500, 255
_LONGEST_PAGE_TOKEN = 8192
_THROTTLED_SECONDS = 60
_RETRY_AFTER_DIGITS = 5  # more than a day is not a pause
_LONGEST_TEXT = 64 * 1024  # that is searched for secrets
_LONGEST_ERROR = 4096  # bytes; a page of records is longer, and need not be read twice
_LOGIN = re.compile(r"(?:sign|log)[-_ ]?in\b", re.IGNORECASE)
_FIELD_IN_MESSAGE = re.compile(r"field(?: api name)? '([^']{1,255})'", re.IGNORECASE)
_PATH_OF_A_FIELD = re.compile(r"\$?\.?query\.fields\[\d+\]")

# --- Reading a response -----------------------------------------------------------------------


def parse_json(body: bytes) -> Any:
    """Return the JSON of a body, or None if it is not JSON."""
    try:
        return strict_json.loads_exact(body)
    except ValueError:
        return None


def error_object(body: bytes) -> dict[str, Any]:
    """Return the object that may describe an error: the body or the first of its `data`, or {}."""
    found = parse_json(body)
    if isinstance(found, dict) and isinstance(found.get("data"), list) and found["data"]:
        found = found["data"][0]
    return found if isinstance(found, dict) else {}


def retry_after_seconds(headers: Mapping[str, str]) -> int | None:
    """Return Retry-After if it is a number of seconds; Zoho does not document the header."""
    seconds = strict_json.whole_number(headers.get("Retry-After", "").strip(), _RETRY_AFTER_DIGITS)
    return None if seconds is None else max(1, seconds)


def usable_page_token(value: Any) -> str | None:
    """Return `value` if it is a page token that can be stored and sent back, else None."""
    usable = isinstance(value, str) and value.isascii() and 1 <= len(value) <= _LONGEST_PAGE_TOKEN
    return str(value) if usable else None


def is_name(value: Any) -> bool:
    """Return True for a non-empty printable string, as the API name of a module or field is."""
    return isinstance(value, str) and bool(value) and value.isprintable()


def clean_text(value: Any, longest: int = 2000) -> str:
    """Return Zoho's text safe to store and send: shortened, without lone surrogates, secrets blanked."""
    text = str(value)[:_LONGEST_TEXT].encode("utf-8", "replace").decode()
    return redact(text)[:longest]


# --- The codes that need other treatment than an unknown code ---------------------------------


@dataclass(frozen=True)
class Meaning:
    """What a code means.

    kind: the class of the error; None: its HTTP status decides. remedy: in place of the class's.
    certain: trusted even with HTTP 5xx. Any other code with a 5xx may be an outage of what Zoho looks up
    (tokens, modules, fields, jobs, routes) and is retried. advice: a sentence for the end of the message.
    """

    kind: type[ZohoError] | None = None
    remedy: str = ""
    certain: bool = False
    advice: str = ""


_UNKNOWN = Meaning()
_WRONG_VALUE = Meaning(
    ZohoQueryRefused,
    advice=(
        "A value must fit its field's type: digits without separators; true or false; a date as 2026-02-22; "
        "a datetime as 2026-02-22T15:39:26+05:30, without milliseconds; the id of a record for a lookup "
        "(Owner.last_name compares a field of the record); ${EMPTY} for no value."
    ),
)

_VISIBLE_IN_THE_QUERY = (
    "PAGE_NOT_SUPPORTED", "DISCRETE_PAGINATION_LIMIT_EXCEEDED", "AMBIGUOUS_CRITERIA",
    "AMBIGUOUS_GROUP_IN_CRITERIA", "CRITERIA_LIMIT_EXCEEDED", "VALUE_LIMIT_EXCEEDED_IN_CRITERIA",
    "GROUP_OPERATOR_NOT_SUPPORTED", "JOIN_LIMIT_EXCEEDED", "VALUE_TYPE_NOT_SUPPORTED", "LIMIT_EXCEEDED",
    "PATTERN_NOT_MATCHED", "AMBIGUITY_DURING_PROCESSING", "UNABLE_TO_PARSE_DATA_TYPE",
)  # fmt: skip
_ABOUT_OUR_REQUEST = (
    "MEDIA_TYPE_NOT_SUPPORTED", "REQUEST_BODY_NOT_READABLE", "REQUEST_BODY_IS_EMPTY",
    "REQUEST_BODY_NOT_SUPPORTED", "REQUIRED_PARAM_MISSING", "INVALID_REQUEST_METHOD",
    "INVALID_BULK_OPERATION", "JOB_NOT_SUPPORTED", "INVALID_CALLBACK_METHOD",
)  # fmt: skip

_ABOUT_THE_TOKEN = ("INVALID_TOKEN", "INVALID_OAUTHTOKEN", "AUTHENTICATION_FAILURE", "AUTHENTICATION_FAILED")
_SCOPE_IS_MISSING = "OAUTH_SCOPE_MISMATCH"

MEANINGS: dict[str, Meaning] = {
    # Connect again, if a fresh token is rejected as well.
    **dict.fromkeys(_ABOUT_THE_TOKEN, Meaning(ZohoTokenRejected)),
    # Give the scope or the permission.
    **dict.fromkeys(
        (_SCOPE_IS_MISSING, "NO_PERMISSION", "AUTHORIZATION_FAILED", "PERMISSION_DENIED"),
        Meaning(ZohoPermissionDenied, certain=True),
    ),
    # Wait.
    "TOO_MANY_REQUESTS": Meaning(ZohoThrottled, certain=True),
    # Zoho's own failures.
    **dict.fromkeys(("INTERNAL_ERROR", "INTERNAL_SERVER_ERROR"), Meaning(ZohoUnavailable)),
    "CALLBACK_FAILURE": Meaning(
        ZohoUnavailable, "Check that Zoho can reach the API at CallbackBaseUrl, then start a new export."
    ),
    "RESOURCE_NOT_FOUND": Meaning(ZohoNotFound),
    # Change the query: module, fields, paging.
    **dict.fromkeys(("MODULE_NOT_AVAILABLE", "MODULE_NOT_SUPPORTED"), Meaning(ZohoModuleNotSupported)),
    **dict.fromkeys(("FIELD_NOT_AVAILABLE", "FIELD_NOT_SUPPORTED"), Meaning(ZohoFieldRefused)),
    "PAGE_RANGE_EXCEEDED": Meaning(ZohoPageRangeExceeded, certain=True),
    "PAGINATION_LIMIT_EXCEEDED": Meaning(ZohoPaginationLimit, certain=True),
    "EXPIRED_VALUE": Meaning(ZohoPageTokenExpired),
    # Change the query: criteria and the rest.
    "INVALID_DATA": Meaning(ZohoQueryRefused),  # also with 404
    "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE": _WRONG_VALUE,
    "VALUE_IN_CRITERIA_NOT_SUPPORTED": _WRONG_VALUE,
    **dict.fromkeys(_VISIBLE_IN_THE_QUERY, Meaning(ZohoQueryRefused, certain=True)),
    # Correct our code or this deployment.
    **dict.fromkeys(_ABOUT_OUR_REQUEST, Meaning(ZohoRequestMalformed, certain=True)),
    "INVALID_CALLBACK_URL": Meaning(
        ZohoRequestMalformed,
        "Set CallbackBaseUrl to an https address that Zoho can reach, and deploy again.",
        certain=True,
    ),
    "INVALID_URL_PATTERN": Meaning(
        ZohoRequestMalformed, "Check RecordsApiVersion and BulkReadApiVersion: Zoho does not know this path."
    ),
    "INVALID_SERVICE_NAME": Meaning(
        ZohoRequestMalformed, "Check BulkReadApiVersion: Zoho does not know this service there."
    ),
    "API_NOT_SUPPORTED": Meaning(
        ZohoRequestMalformed, "Set RecordsApiVersion and BulkReadApiVersion to versions that Zoho supports."
    ),
    "INVALID_HOST": Meaning(
        ZohoRequestMalformed,
        "Correct the connection's token.api_domain: https://www.zohoapis.<its data centre>.",
    ),
}
_BY_STATUS: dict[int, type[ZohoError]] = {
    HTTPStatus.UNAUTHORIZED: ZohoPermissionDenied,
    HTTPStatus.FORBIDDEN: ZohoPermissionDenied,
    HTTPStatus.NOT_FOUND: ZohoNotFound,
    HTTPStatus.GONE: ZohoNotFound,
    HTTPStatus.TOO_MANY_REQUESTS: ZohoThrottled,
}
_FROM_A_GATEWAY = {HTTPStatus.GONE, HTTPStatus.TOO_MANY_REQUESTS}
# Documented codes that refuse a query. They need no row above: an unknown code with HTTP 400 does the same.
_REFUSES_A_QUERY = {
    "COMPARATOR_AND_ENCRYPTED_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
    "COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
    "CRITERIA_NOT_SUPPORTED",
    "CVID_NOT_SUPPORTED",
    "FIELD_AND_COMPARATOR_IN_CRITERIA_NOT_COMPATIBLE",
    "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED",
    "FIELD_IN_CRITERIA_NOT_AVAILABLE",
    "FIELD_IN_CRITERIA_NOT_SUPPORTED",
    "INVALID_CRITERIA",
    "INVALID_MODULE",
    "INVALID_QUERY",
    "INVALID_REQUEST",
    "NOT_SUPPORTED",
    "NOT_SUPPORTED_FEATURE",
    "QUERY_NOT_SUPPORTED",
    "TOKEN_BOUND_DATA_MISMATCH",
}


def classify(code: str | None, status: int, details: Mapping[str, Any]) -> tuple[type[ZohoError], Meaning]:
    """Return the class of an error, and the meaning of its code for remedy and advice."""
    if code is None:  # a gateway responded, which knows results and limits but no permissions of Zoho's
        return _BY_STATUS[status] if status in _FROM_A_GATEWAY else ZohoUnavailable, _UNKNOWN
    meaning = MEANINGS.get(code.upper(), _UNKNOWN)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not meaning.certain:
        return ZohoUnavailable, meaning if meaning.kind is ZohoUnavailable else _UNKNOWN
    kind = meaning.kind or _BY_STATUS.get(status, ZohoQueryRefused)
    return _by_details(kind, details), meaning


def job_failure_kind(code: str | None) -> type[ZohoError]:
    """Return the class of the code of a job in FAILURE; an unknown code is ZohoJobFailed."""
    if code not in MEANINGS and code not in _REFUSES_A_QUERY:
        return ZohoJobFailed
    return classify(code, HTTPStatus.BAD_REQUEST, {})[0]


def _by_details(kind: type[ZohoError], details: Mapping[str, Any]) -> type[ZohoError]:
    """Return the class of an error, corrected by its details if the code has several meanings."""
    path = str(details.get("json_path") or "")
    if kind is ZohoPageTokenExpired:
        about = details.get("api_name") or details.get("param_name") or path
        return kind if not about or str(about).endswith("page_token") else ZohoQueryRefused
    if kind is ZohoFieldRefused and "criteria" in path:
        return ZohoQueryRefused
    if kind is ZohoQueryRefused and _PATH_OF_A_FIELD.fullmatch(path):
        return ZohoFieldRefused
    return kind


# --- The error --------------------------------------------------------------------------------


def error_from(
    status: int, body: bytes, headers: Mapping[str, str], what: str, scopes: tuple[str, ...] = ()
) -> ZohoError:
    """Return the error of a response that is not a success. `what` names the call, which needs `scopes`.

    A 401 that is not about a scope, whatever its code, and a login page or a redirect to one are how Zoho and
    its gateways respond to a stale access token: ZohoTokenRejected, with the error that the response would
    be for a new token as `otherwise`.
    """
    code = _code(error_object(body))
    error = _error_from(status, body, headers, what, scopes)
    if isinstance(error, ZohoTokenRejected) or not _is_of_a_stale_token(status, code, body, headers):
        return error
    return ZohoTokenRejected(
        error.message,
        otherwise=error,
        zoho_code=error.zoho_code,
        http_status=status,
        request_id=error.request_id,
    )


def _code(error: dict[str, Any]) -> str | None:
    """Return the code as Zoho sent it: to decide by, and redacted to show."""
    code = error.get("code")
    return code or None if isinstance(code, str) else None


def _is_of_a_stale_token(status: int, code: str | None, body: bytes, headers: Mapping[str, str]) -> bool:
    if status == HTTPStatus.UNAUTHORIZED:
        return (code or "").upper() != _SCOPE_IS_MISSING
    if status >= HTTPStatus.BAD_REQUEST or code is not None:
        return False
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        page = headers.get("Location", "").partition("?")[0].rpartition("://")[2]  # without scheme and query
        return page.startswith("accounts.") or _LOGIN.search(page) is not None
    return is_page(body) and _LOGIN.search(body[:_LONGEST_TEXT].decode("latin-1")) is not None


def is_page(body: bytes) -> bool:
    """Return True for HTML, which comes from a gateway or a login page; its Content-Type may say JSON."""
    return body.lstrip().startswith(b"<")


def is_about_the_token(body: bytes) -> bool:
    """Return True for an error about the access token, with which Zoho may also respond HTTP 200."""
    return len(body) <= _LONGEST_ERROR and str(error_object(body).get("code")).upper() in _ABOUT_THE_TOKEN


def _error_from(
    status: int, body: bytes, headers: Mapping[str, str], what: str, scopes: tuple[str, ...]
) -> ZohoError:
    error = error_object(body)
    code = _code(error)
    details = error["details"] if isinstance(error.get("details"), dict) else {}
    kind, meaning = classify(code, status, details)
    retry_after = retry_after_seconds(headers)
    if kind is ZohoThrottled and retry_after is None:
        retry_after = _THROTTLED_SECONDS
    about: dict[str, Any] = {}
    if issubclass(kind, ZohoQueryRefused):
        about = {name: str(details[name]) for name in ("json_path", "api_name") if details.get(name)}
    if kind is ZohoFieldRefused:
        about["field"] = _refused_field(details, error.get("message"))
    is_scope = scopes and (code or "").upper() == _SCOPE_IS_MISSING
    advice = scope_advice(scopes) if is_scope else meaning.advice
    return kind(
        f"{_message(status, code, error, details, what)} {advice}".rstrip(),
        zoho_code=clean_text(code, _LONGEST_CODE) if code else None,
        http_status=status,
        request_id=headers.get("X-REQUEST-ID"),
        retry_after=retry_after,
        remedy=meaning.remedy,
        **about,
    )


def _message(status: int, code: str | None, error: dict[str, Any], details: dict[str, Any], what: str) -> str:
    if code is None:
        redirect = HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST
        why = "a redirect, which is never followed" if redirect else "no error code"
        return f"Zoho responded to {what} with HTTP {status} ({why})."
    facts, others = _facts(details)
    quoted = f"{code}: {error.get('message', '')}"
    quoted += f" {json.dumps(others, ensure_ascii=False)}" if others else ""
    message = f"Zoho responded to {what} with HTTP {status} ({clean_text(quoted, _LONGEST_MESSAGE)})."
    return message + (f" {clean_text(facts, _LONGEST_FACTS)}." if facts else "")


def _facts(details: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return Zoho's details in words, and the details that there are no words for."""
    names = [details[key] for key in ("json_path", "api_name", "param_name") if details.get(key)]
    facts = [f"It is about {' and '.join(str(name) for name in names)}"] if names else []
    others = {}
    for key, value in details.items():
        if key.startswith("supported"):  # _values, _version, _callback_methods
            facts.append(f"Supported: {_listed(value)}")
        elif key in {"max_limit", "limit"}:
            facts.append(f"The limit is {_listed(value)}")
        elif key == "permissions":
            facts.append(f"Needed: {_listed(value)}")
        elif key not in {"json_path", "api_name", "param_name"} or not value:
            others[key] = value
    return ". ".join(facts), others


def _listed(value: Any) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _refused_field(details: dict[str, Any], message: Any) -> str | None:
    """Return the refused field: the one that the details name, else the one that the message quotes."""
    name = details.get("api_name")
    if isinstance(name, str) and name:
        return clean_text(name, _LONGEST_NAME)
    quoted = _FIELD_IN_MESSAGE.search(clean_text(message))
    return quoted[1] if quoted else None
