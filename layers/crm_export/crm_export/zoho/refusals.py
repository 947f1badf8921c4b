"""The one place that turns an answer of Zoho's API into an error of ours.

Zoho's errors are flat, `{"code", "message", "status", "details"}`, or the same within `data[]`;
a gateway before Zoho may answer HTML or nothing. Limits and codes:
https://www.zoho.com/crm/developer/docs/api/v8/status-codes.html
"""
# Every error code that Zoho documents for the calls we make, and what it means to the caller.
#
# The code decides, not the HTTP status: a missing permission comes as 403 and as 400, a missing scope as 401.
# https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/create-job.html, .../status-codes.html
#

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from crm_export import strict_json
from crm_export.errors import (
    ZohoError,
    ZohoFieldRefused,
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
from crm_export.zoho.catalog import scope_advice

_LONGEST_SAID, _LONGEST_FACTS = 1500, 500
_LONGEST_PAGE_TOKEN = 8192
_THROTTLED_SECONDS = 60
_LONGEST_RETRY_AFTER = 5  # digits: more than a day is no throttling
# Zoho's messages may quote the callback URL, which is signed.
_SIGNATURE = re.compile(r"(/callback/[^/\s]+/\d+/)[0-9a-f]{64}")


def parse_json(body: bytes) -> Any:
    """The JSON of an answer, or None where it is not JSON."""
    try:
        return strict_json.loads(body)
    except ValueError:
        return None


def usable_page_token(value: Any) -> str | None:
    """A page token that can be kept and sent back; one that cannot is none."""
    usable = isinstance(value, str) and value.isascii() and 1 <= len(value) <= _LONGEST_PAGE_TOKEN
    return str(value) if usable else None


def is_name(value: Any) -> bool:
    """Whether a value can be the API name of a module or field: what UTF-8 cannot write is none."""
    return isinstance(value, str) and bool(value) and value.isprintable()


def clean_text(value: Any, longest: int = 2000) -> str:
    """A text of Zoho's fit to be stored and sent on: cut, without half characters and signatures."""
    text = str(value).encode("utf-8", "replace").decode()
    return _SIGNATURE.sub(r"\1***", text)[:longest]


def error_object(body: bytes) -> dict[str, Any]:
    """The object that tells of an error: the body, or the first of its `data`; else an empty one."""
    answer = parse_json(body)
    if isinstance(answer, dict) and isinstance(answer.get("data"), list) and answer["data"]:
        answer = answer["data"][0]
    return answer if isinstance(answer, dict) else {}


def retry_after_seconds(headers: Mapping[str, str]) -> int | None:
    """Retry-After in whole seconds where given so; Zoho does not document the header."""
    value = headers.get("Retry-After", "").strip()
    if not (value.isascii() and value.isdigit()):
        return None
    return max(1, int(value)) if len(value) <= _LONGEST_RETRY_AFTER else None


_FIELD_IN_MESSAGE = re.compile(r"field(?: api name)? '([^']{1,255})'", re.IGNORECASE)


def error_from(
    status: int, body: bytes, headers: Mapping[str, str], what: str, scopes: tuple[str, ...] = ()
) -> ZohoError:
    """The error of an answer that is not a success: of the call `what`, which needs `scopes`."""
    error = error_object(body)
    code = clean_text(error["code"], 100) if isinstance(error.get("code"), str) else None
    details = error["details"] if isinstance(error.get("details"), dict) else {}
    kind, remedy = meaning_of(code, status, details) if code else (kind_without_code(status), "")
    said, facts = "no error code", ""
    if code:
        facts, others = _facts(details)
        said = f"{code}: {error.get('message', '')}"
        said += f" {json.dumps(others, ensure_ascii=False)}" if others else ""
    message = f"Zoho answered {what} with HTTP {status} ({clean_text(said, _LONGEST_SAID)})."
    message += f" {clean_text(facts, _LONGEST_FACTS)}." if facts else ""
    if code == "OAUTH_SCOPE_MISMATCH" and scopes:
        message += f" {scope_advice(scopes)}"
    retry_after = retry_after_seconds(headers)
    if kind is ZohoThrottled and retry_after is None:
        retry_after = _THROTTLED_SECONDS
    found = kind(
        message,
        zoho_code=code,
        http_status=status,
        request_id=headers.get("X-REQUEST-ID"),
        retry_after=retry_after,
        remedy=remedy,
    )
    if isinstance(found, ZohoQueryRefused):
        found.json_path = str(details["json_path"]) if details.get("json_path") else None
        found.api_name = str(details["api_name"]) if details.get("api_name") else None
    if isinstance(found, ZohoFieldRefused):
        found.field = _field(details, error.get("message"))
    return found


def _facts(details: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Zoho's details in words, and those there are no words for."""
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


def _field(details: dict[str, Any], message: Any) -> str | None:
    """The field that is refused: as the details name it, else the one the message quotes."""
    name = details.get("api_name")
    if isinstance(name, str) and name:
        return clean_text(name, 255)
    quoted = _FIELD_IN_MESSAGE.search(clean_text(message))
    return quoted[1] if quoted else None


_SERVER_ERROR = 500
_ONE_OF_FIELDS = re.compile(r"\$?\.?query\.fields\[\d+\]")


@dataclass(frozen=True)
class Meaning:
    """What a code means. kind None: its HTTP status decides. remedy "": the class's own.

    certain: believed when it comes as a 5xx, too, as no outage would say it. Any other may be an outage of
    what Zoho looks up (tokens, modules, fields, jobs, routes), and is tried again.
    """

    kind: type[ZohoError] | None
    remedy: str = ""
    certain: bool = False


_DENIED = Meaning(ZohoPermissionDenied, certain=True)
_REFUSED = Meaning(ZohoQueryRefused)
_ILL_FORMED = Meaning(ZohoQueryRefused, certain=True)  # seen in the query itself
_MALFORMED = Meaning(ZohoRequestMalformed, certain=True)
_UNKNOWN = Meaning(None)

MEANINGS: dict[str, Meaning] = {
    # Reconnect, once a fresh token is rejected as well.
    "INVALID_TOKEN": Meaning(ZohoTokenRejected),
    "AUTHENTICATION_FAILURE": Meaning(ZohoTokenRejected),
    # Fix scope or permission.
    "OAUTH_SCOPE_MISMATCH": _DENIED,
    "NO_PERMISSION": _DENIED,
    "AUTHORIZATION_FAILED": _DENIED,
    "PERMISSION_DENIED": _DENIED,
    "NOT_SUPPORTED": _UNKNOWN,  # 403: for administrators only (Notes); 400: not for this module
    # Wait.
    "TOO_MANY_REQUESTS": Meaning(ZohoThrottled, certain=True),
    # Zoho's own trouble.
    "INTERNAL_ERROR": Meaning(ZohoUnavailable),
    "INTERNAL_SERVER_ERROR": Meaning(ZohoUnavailable),
    "CALLBACK_FAILURE": Meaning(
        ZohoUnavailable, "See that Zoho reaches the API at CallbackBaseUrl, then start a new export."
    ),
    "RESOURCE_NOT_FOUND": Meaning(ZohoNotFound),
    # Fix the query: module, fields, paging.
    "MODULE_NOT_AVAILABLE": Meaning(ZohoModuleNotSupported),
    "MODULE_NOT_SUPPORTED": Meaning(ZohoModuleNotSupported),
    "INVALID_MODULE": _REFUSED,
    "FIELD_NOT_AVAILABLE": Meaning(ZohoFieldRefused),
    "FIELD_NOT_SUPPORTED": Meaning(ZohoFieldRefused),
    "PAGE_NOT_SUPPORTED": _ILL_FORMED,
    "PAGE_RANGE_EXCEEDED": Meaning(ZohoPageRangeExceeded, certain=True),
    "PAGINATION_LIMIT_EXCEEDED": Meaning(ZohoPaginationLimit, certain=True),
    "DISCRETE_PAGINATION_LIMIT_EXCEEDED": _ILL_FORMED,
    "EXPIRED_VALUE": Meaning(ZohoPageTokenExpired),
    "TOKEN_BOUND_DATA_MISMATCH": _REFUSED,
    # Fix the query: criteria.
    "CRITERIA_NOT_SUPPORTED": _REFUSED,
    "INVALID_CRITERIA": _REFUSED,
    "AMBIGUOUS_CRITERIA": _ILL_FORMED,
    "AMBIGUOUS_GROUP_IN_CRITERIA": _ILL_FORMED,
    "CRITERIA_LIMIT_EXCEEDED": _ILL_FORMED,
    "VALUE_LIMIT_EXCEEDED_IN_CRITERIA": _ILL_FORMED,
    "GROUP_OPERATOR_NOT_SUPPORTED": _ILL_FORMED,
    "FIELD_IN_CRITERIA_NOT_SUPPORTED": _REFUSED,
    "FIELD_IN_CRITERIA_NOT_AVAILABLE": _REFUSED,
    "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED": _REFUSED,
    "FIELD_AND_COMPARATOR_IN_CRITERIA_NOT_COMPATIBLE": _REFUSED,
    "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE": _REFUSED,
    "VALUE_IN_CRITERIA_NOT_SUPPORTED": _REFUSED,
    "COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE": _REFUSED,
    "COMPARATOR_AND_ENCRYPTED_VALUE_IN_CRITERIA_NOT_COMPATIBLE": _REFUSED,
    # Fix the query: the rest.
    "QUERY_NOT_SUPPORTED": _REFUSED,
    "INVALID_QUERY": _REFUSED,
    "JOIN_LIMIT_EXCEEDED": _ILL_FORMED,
    "CVID_NOT_SUPPORTED": _REFUSED,
    "VALUE_TYPE_NOT_SUPPORTED": _ILL_FORMED,
    "NOT_SUPPORTED_FEATURE": _REFUSED,
    "INVALID_REQUEST": _REFUSED,
    "INVALID_DATA": _REFUSED,
    "LIMIT_EXCEEDED": _ILL_FORMED,
    "PATTERN_NOT_MATCHED": _ILL_FORMED,
    "AMBIGUITY_DURING_PROCESSING": _ILL_FORMED,
    "UNABLE_TO_PARSE_DATA_TYPE": _ILL_FORMED,
    # Our fault, or this deployment's.
    "MEDIA_TYPE_NOT_SUPPORTED": _MALFORMED,
    "REQUEST_BODY_NOT_READABLE": _MALFORMED,
    "REQUEST_BODY_IS_EMPTY": _MALFORMED,
    "REQUEST_BODY_NOT_SUPPORTED": _MALFORMED,
    "REQUIRED_PARAM_MISSING": _MALFORMED,
    "INVALID_REQUEST_METHOD": _MALFORMED,
    "INVALID_BULK_OPERATION": _MALFORMED,
    "JOB_NOT_SUPPORTED": _MALFORMED,
    "INVALID_CALLBACK_METHOD": _MALFORMED,
    "INVALID_CALLBACK_URL": Meaning(
        ZohoRequestMalformed,
        "Set CallbackBaseUrl to an https address that Zoho reaches, and deploy again.",
        True,
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
    401: ZohoPermissionDenied,
    403: ZohoPermissionDenied,
    404: ZohoNotFound,
    410: ZohoNotFound,
    429: ZohoThrottled,
}


def kind_without_code(status: int) -> type[ZohoError]:
    """It was not Zoho's API that answered: only what a gateway may well say is believed."""
    return _BY_STATUS[status] if status in {403, 410, 429} else ZohoUnavailable


def meaning_of(code: str, status: int, details: Mapping[str, Any]) -> tuple[type[ZohoError], str]:
    """The class of an error, and its remedy where it has one of its own."""
    meaning = MEANINGS.get(code, _UNKNOWN)
    if status >= _SERVER_ERROR and not meaning.certain:
        return ZohoUnavailable, meaning.remedy if meaning.kind is ZohoUnavailable else ""
    meaning = _by_details(meaning, details)
    return meaning.kind or _BY_STATUS.get(status, ZohoQueryRefused), meaning.remedy


def _by_details(meaning: Meaning, details: Mapping[str, Any]) -> Meaning:
    """What Zoho's details make of a code that is about several things."""
    path = str(details.get("json_path") or "")
    if meaning.kind is ZohoPageTokenExpired:
        about = details.get("api_name") or details.get("param_name") or path
        return meaning if not about or str(about).endswith("page_token") else _REFUSED
    if meaning.kind is ZohoFieldRefused:
        return _REFUSED if "criteria" in path else meaning
    if meaning.kind is ZohoQueryRefused and _ONE_OF_FIELDS.fullmatch(path):
        return replace(meaning, kind=ZohoFieldRefused)
    return meaning
