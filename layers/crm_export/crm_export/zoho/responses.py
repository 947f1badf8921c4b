"""The one place that turns an answer of Zoho's API into an error of ours.

Zoho's errors are flat, `{"code", "message", "status", "details"}`, or the same within `data[]`;
a gateway before Zoho may answer HTML or nothing. Limits and codes:
https://www.zoho.com/crm/developer/docs/api/v8/status-codes.html
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from crm_export import strict_json
from crm_export.errors import (
    ZohoError,
    ZohoNotFound,
    ZohoPermissionDenied,
    ZohoQueryRefused,
    ZohoThrottled,
    ZohoTokenRejected,
    ZohoUnavailable,
)

_SERVER_ERROR = 500
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


_BY_CODE: dict[str, type[ZohoError]] = {
    "INVALID_TOKEN": ZohoTokenRejected,
    "AUTHENTICATION_FAILURE": ZohoTokenRejected,
    "OAUTH_SCOPE_MISMATCH": ZohoPermissionDenied,
    "NO_PERMISSION": ZohoPermissionDenied,
    "AUTHORIZATION_FAILED": ZohoPermissionDenied,
    "PERMISSION_DENIED": ZohoPermissionDenied,
    "TOO_MANY_REQUESTS": ZohoThrottled,
    "RESOURCE_NOT_FOUND": ZohoNotFound,
    "INTERNAL_ERROR": ZohoUnavailable,
    "INTERNAL_SERVER_ERROR": ZohoUnavailable,
}
_BY_STATUS: dict[int, type[ZohoError]] = {
    401: ZohoPermissionDenied,
    403: ZohoPermissionDenied,
    404: ZohoNotFound,
    410: ZohoNotFound,
    429: ZohoThrottled,
}


def _class_of(status: int, code: str | None) -> type[ZohoError]:
    if status >= _SERVER_ERROR:
        return ZohoUnavailable
    if code is None:
        # It was not Zoho's API that answered: only what a gateway may well say is believed.
        return _BY_STATUS[status] if status in {403, 410, 429} else ZohoUnavailable
    return _BY_CODE.get(code) or _BY_STATUS.get(status) or ZohoQueryRefused


def error_from(status: int, body: bytes, headers: Mapping[str, str], what: str) -> ZohoError:
    """The error of an answer that is not a success. `what` names the call in the message."""
    error = error_object(body)
    code = clean_text(error["code"], 100) if isinstance(error.get("code"), str) else None
    kind = _class_of(status, code)
    said = f"{code}: {error.get('message', '')}" if code else "no error code"
    details = error.get("details")
    if code and isinstance(details, dict) and details:
        said += f" {json.dumps(details, ensure_ascii=False)}"
    retry_after = retry_after_seconds(headers)
    if kind is ZohoThrottled and retry_after is None:
        retry_after = _THROTTLED_SECONDS
    return kind(
        f"Zoho answered {what} with HTTP {status} ({clean_text(said)}).",
        zoho_code=code,
        http_status=status,
        request_id=headers.get("X-REQUEST-ID"),
        retry_after=retry_after,
    )
