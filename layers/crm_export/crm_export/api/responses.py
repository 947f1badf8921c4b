"""The envelope of every response, and the only place that maps our errors to HTTP.

Success: {"success": true, "message", "data", "pagination"?}. Error: {"success": false, "errno", "code",
"message", "remedy", "request_id", "zoho_code"?}. `errno` and some messages follow the original API;
`errno` may differ from the status. `code` is for programs, `remedy` says what to do.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response, content_types

from crm_export import errors, strict_json
from crm_export.strict_json import RawJson
from crm_export.telemetry import logger

type JsonResponse = Response[str]

# (status, errno) of each class and its subclasses: the first match decides.
_STATUS: list[tuple[type[errors.ExportError], tuple[int, int]]] = [
    (errors.ConnectionNotFound, (404, 400)),
    (errors.TypeNotSupported, (404, 400)),
    (errors.TokenInvalidated, (401, 400)),
    (errors.InvalidRequest, (400, 400)),
    (errors.CallerNotIdentified, (403, 403)),
    (errors.InvalidSignature, (403, 403)),
    (errors.ExportNotFound, (404, 404)),
    (errors.RouteNotFound, (404, 404)),
    (errors.SyncNotFound, (404, 404)),
    (errors.RunInProgress, (409, 409)),
    (errors.CreditShareSpent, (429, 429)),
    (errors.ChainBroken, (500, 500)),
    (errors.IdempotencyConflict, (409, 409)),
    (errors.RequestInProgress, (409, 409)),
    (errors.ExportNotCancellable, (409, 409)),
    (errors.TooManyOpenExports, (429, 429)),
    (errors.QueryRefused, (422, 422)),
    (errors.ZohoQueryRefused, (422, 422)),
    (errors.ZohoPermissionDenied, (403, 403)),
    (errors.ZohoThrottled, (429, 429)),
    (errors.ZohoTimeout, (504, 504)),
    (errors.ZohoError, (502, 502)),
    (errors.ConnectionReplaced, (503, 503)),
    (errors.StateUnavailable, (503, 503)),
    (errors.StorageUnavailable, (503, 503)),
    (errors.QueueUnavailable, (503, 503)),
    (errors.PagingBroken, (502, 502)),
    (errors.ResultError, (502, 502)),
    (errors.StoreTimeout, (504, 504)),
    (errors.StoreUnavailable, (502, 502)),
    (errors.ConnectionMalformed, (502, 502)),
    (errors.UntrustedOrigin, (502, 502)),
    (errors.WrongDataCentre, (502, 502)),
    (errors.ExportError, (500, 500)),
]
_LARGEST_CHARACTER = 4  # bytes of UTF-8; an escaped one has two
_LARGEST_RESPONSE = 6_000_000  # bytes after escaping: Lambda allows 6,291,556 with status and headers


def success(
    message: str, data: Any, *, pagination: dict[str, Any] | None = None, status: int = 200
) -> JsonResponse:
    """Return a success envelope."""
    body = {"success": True, "message": message, "data": data}
    if pagination is not None:
        body["pagination"] = pagination
    return _json(status, body)


def failure(
    status: int,
    errno: int,
    error: errors.ExportError,
    request_id: str,
    *,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> JsonResponse:
    """Return an error envelope."""
    described = {"code": error.code, "message": error.message, "remedy": error.remedy}
    body = {"success": False, "errno": errno, **described, **more, "request_id": request_id}
    return _json(status, body, headers)


def _json(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> JsonResponse:
    try:
        text = "{" + ",".join(f'"{name}":{_value(value)}' for name, value in body.items()) + "}"
    except ValueError:
        raise errors.ZohoUnavailable("A record from Zoho is nested too deeply to be sent.") from None
    if len(text) * _LARGEST_CHARACTER > _LARGEST_RESPONSE:
        _check_size(text.encode())
    return Response(
        status_code=status,
        content_type=content_types.APPLICATION_JSON,
        body=text,
        headers=dict(headers or {}),
    )


def _value(value: Any) -> str:
    if isinstance(value, RawJson):  # it was UTF-8
        return value.text
    text = strict_json.dumps(value)
    # Zoho may send a lone surrogate, which UTF-8 lacks; JSON escapes it as this error handler does.
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _check_size(text: bytes) -> None:
    """Raise InvalidRequest if Lambda cannot send the text as a JSON string in its response."""
    size = len(text) + text.count(b'"') + text.count(b"\\")
    if size > _LARGEST_RESPONSE:
        raise errors.InvalidRequest(
            f"The response has {size} bytes; at most {_LARGEST_RESPONSE} can be sent. Lower limit, or name "
            "fewer fields."
        )


def error_response(error: errors.ExportError, request_id: str) -> JsonResponse:
    """Return the response for an error, and log it."""
    status, errno = next(found for kind, found in _STATUS if isinstance(error, kind))
    log = logger.error if status >= HTTPStatus.INTERNAL_SERVER_ERROR else logger.info
    log("request failed", code=error.code, status=status, reason=error.message, remedy=error.remedy)
    more: dict[str, Any] = {}
    if isinstance(error, errors.ZohoError) and error.zoho_code:
        more["zoho_code"] = error.zoho_code
    headers = {"Retry-After": str(max(1, error.retry_after))} if error.retry_after is not None else {}
    return failure(status, errno, error, request_id, headers=headers, **more)


def make_app() -> APIGatewayHttpResolver:
    """Return a resolver whose routes may raise ExportError."""
    app = APIGatewayHttpResolver()

    def request_id() -> str:
        return app.current_event.request_context.request_id or ""

    on_error: Callable[..., Any] = app.exception_handler(errors.ExportError)
    on_error(lambda error: error_response(error, request_id()))
    not_found: Callable[..., Any] = app.not_found
    not_found(lambda _error: error_response(errors.RouteNotFound("Route is not Found"), request_id()))
    return app
