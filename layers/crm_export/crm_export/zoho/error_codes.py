"""Every error code that Zoho documents for the calls we make, and what it means to the caller.

The code decides, not the HTTP status: a missing permission comes as 403 and as 400, a missing scope as 401.
https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/create-job.html, .../status-codes.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

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
