"""The envelope of every answer, and the one place that maps our errors to HTTP.

Success: {"success": true, "message", "data", "pagination"?}. Error: {"success": false, "errno",
"message", "request_id", "zoho_code"?}. `errno` is the seed contract's, not always the status.
"""

import json
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response, content_types

from crm_export import errors
from crm_export.telemetry import logger

# From special to general: the first class that fits decides. (status, errno)
_STATUS: list[tuple[type[errors.ExportError], tuple[int, int]]] = [
    (errors.ConnectionNotFound, (404, 400)),
    (errors.TypeNotSupported, (404, 400)),
    (errors.TokenInvalidated, (401, 400)),
    (errors.InvalidRequest, (400, 400)),
    (errors.CallerNotIdentified, (403, 403)),
    (errors.InvalidSignature, (403, 403)),
    (errors.ExportNotFound, (404, 404)),
    (errors.IdempotencyConflict, (409, 409)),
    (errors.RequestInProgress, (409, 409)),
    (errors.QueryRefused, (422, 422)),
    (errors.ZohoQueryRefused, (422, 422)),
    (errors.ZohoPermissionDenied, (403, 403)),
    (errors.ZohoThrottled, (429, 429)),
    (errors.ZohoTimeout, (504, 504)),
    (errors.ZohoError, (502, 502)),
    (errors.StoreTimeout, (504, 504)),
    (errors.StoreUnavailable, (502, 502)),
    (errors.ConnectionMalformed, (502, 502)),
    (errors.UntrustedOrigin, (502, 502)),
    (errors.ExportError, (500, 500)),
]
_SERVER_ERROR = 500
_LARGEST_ANSWER = 5_500_000  # Lambda takes 6 MB, and escapes what it sends


def success(
    message: str, data: Any, *, pagination: dict[str, Any] | None = None, status: int = 200
) -> Response[str]:
    """A success envelope."""
    body = {"success": True, "message": message, "data": data}
    if pagination is not None:
        body["pagination"] = pagination
    return _json(status, body)


def failure(
    status: int,
    errno: int,
    message: str,
    request_id: str,
    *,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> Response[str]:
    """An error envelope."""
    body = {"success": False, "errno": errno, "message": message, **more, "request_id": request_id}
    return _json(status, body, headers)


def _json(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Response[str]:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    try:
        size = len(text.encode())
    except UnicodeEncodeError:  # half of a surrogate pair, somewhere in what Zoho sent: it passes escaped
        text = json.dumps(body, separators=(",", ":"))
        size = len(text)
    if size > _LARGEST_ANSWER:
        raise errors.InvalidRequest(
            f"The answer has {size} bytes; {_LARGEST_ANSWER} can be sent. Lower limit, or name fewer fields."
        )
    return Response(
        status_code=status,
        content_type=content_types.APPLICATION_JSON,
        body=text,
        headers=dict(headers or {}),
    )


def error_answer(error: errors.ExportError, request_id: str) -> Response[str]:
    """The answer that tells of an error."""
    status, errno = next(found for kind, found in _STATUS if isinstance(error, kind))
    log = logger.error if status >= _SERVER_ERROR else logger.info
    log("request failed", code=error.code, status=status, reason=error.message, remedy=error.remedy)
    more: dict[str, Any] = {}
    if isinstance(error, errors.ZohoError) and error.zoho_code:
        more["zoho_code"] = error.zoho_code
    headers = {"Retry-After": str(max(1, error.retry_after))} if error.retry_after is not None else {}
    # No other request will do: whoever runs the deployment has to know what will.
    ours = isinstance(error, errors.ZohoRequestMalformed)
    message = f"{error.message} {error.remedy}" if ours else error.message
    return failure(status, errno, message, request_id, headers=headers, **more)


def make_app() -> APIGatewayHttpResolver:
    """A resolver whose routes may raise ExportError."""
    app = APIGatewayHttpResolver()

    def request_id() -> str:
        return app.current_event.request_context.request_id or ""

    on_error: Callable[..., Any] = app.exception_handler(errors.ExportError)
    on_error(lambda error: error_answer(error, request_id()))
    not_found: Callable[..., Any] = app.not_found
    not_found(lambda _error: failure(404, 404, "Route is not Found", request_id()))
    return app
