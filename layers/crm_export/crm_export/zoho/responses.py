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
from crm_export.errors import ZohoError, ZohoFieldRefused, ZohoQueryRefused, ZohoThrottled
from crm_export.zoho import scopes as scope_names
from crm_export.zoho.error_codes import kind_without_code, meaning_of

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
        message += f" {scope_names.advice(scopes)}"
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
