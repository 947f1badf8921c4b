"""The body of a request, as text and as JSON."""

import base64
import binascii
import json
from typing import Any

from crm_export import strict_json
from crm_export.errors import InvalidRequest

_LARGEST = 256 * 1024  # it becomes part of an item in DynamoDB, which holds 400 KB


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
    if len(raw) > _LARGEST:
        raise InvalidRequest(f"The body has {len(raw)} bytes; allowed are {_LARGEST}.")
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
