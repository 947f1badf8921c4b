"""HTTP requests to payload-v2 events, and functions' results to HTTP responses, as an HTTP API does it.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import base64
import binascii
import json
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

from werkzeug.datastructures import Headers
from werkzeug.wrappers import Request, Response

from local.cloudformation.resources import API_ID
from local.edge.routes import Match
from local.host.aws import ACCOUNT_ID
from local.host.http import HOST

_TEXT = re.compile(r"^(text/|application/((json|xml|javascript)\b|[^;]*\+(json|xml)))")


class InvalidResponseError(Exception):
    """The function's result is not a response that API Gateway can pass on."""


def build_event(
    request: Request, match: Match, authorizer: Mapping[str, Any] | None, request_id: str, trace_id: str
) -> dict[str, Any]:
    """Return the event for a request that was routed and authorized."""
    # An HTTP API, unlike a REST API or a function URL, decodes the path.
    path = unquote(raw_path(request))
    query = request.query_string.decode("latin-1")
    headers = _headers(request, trace_id)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": match.route.key,
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": _context(request, match, path, request_id),
        "isBase64Encoded": False,
    }
    if authorizer is not None:
        event["requestContext"]["authorizer"] = authorizer
    if cookies := request.headers.get("Cookie"):
        event["cookies"] = [cookie.strip() for cookie in cookies.split(";")]
    if parameters := _joined(parse_qsl(query, keep_blank_values=True)):
        event["queryStringParameters"] = parameters
    if match.parameters:
        event["pathParameters"] = match.parameters
    if body := request.get_data():
        event |= _body(body, headers.get("content-type", ""))
    return event


def _context(request: Request, match: Match, path: str, request_id: str) -> dict[str, Any]:
    now = time.time()
    return {
        "accountId": ACCOUNT_ID,
        "apiId": API_ID,
        "domainName": request.host,
        "domainPrefix": request.host.split(".")[0],
        "http": {
            "method": request.method,
            "path": path,
            "protocol": request.environ.get("SERVER_PROTOCOL", "HTTP/1.1"),
            "sourceIp": request.remote_addr or HOST,
            "userAgent": request.headers.get("User-Agent", ""),
        },
        "requestId": request_id,
        "routeKey": match.route.key,
        "stage": "$default",
        "time": f"{datetime.fromtimestamp(now, UTC):%d/%b/%Y:%H:%M:%S} +0000",
        "timeEpoch": int(now * 1000),
    }


def raw_path(request: Request) -> str:
    """Return the path as it was sent, percent-encoded."""
    target = str(request.environ.get("REQUEST_URI") or request.path)
    return re.sub(r"^https?://[^/]+", "", target).partition("?")[0] or "/"


def _headers(request: Request, trace_id: str) -> dict[str, str]:
    headers = _joined((name.lower(), value) for name, value in request.headers.items())
    headers.pop("cookie", None)
    return {
        **headers,
        "x-amzn-trace-id": trace_id.partition(";")[0],
        "x-forwarded-for": request.remote_addr or HOST,
        "x-forwarded-port": request.host.rpartition(":")[2],
        "x-forwarded-proto": "http",
    }


def _joined(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the items as a dict, with the values of a repeated name joined by commas."""
    joined: dict[str, str] = {}
    for name, value in items:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _body(body: bytes, content_type: str) -> dict[str, Any]:
    # Only these types are passed on as strings: a body without a type, or curl's default one, is not.
    if _TEXT.match(content_type.lower()):
        try:
            return {"body": body.decode(), "isBase64Encoded": False}
        except UnicodeDecodeError:
            pass
    return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def build_response(payload: bytes) -> Response:
    """Return the HTTP response for a function's result. Raises InvalidResponseError."""
    try:
        result = json.loads(payload)
    except ValueError as error:
        raise InvalidResponseError("the result is not JSON") from error
    if not isinstance(result, dict) or "statusCode" not in result:
        # In format 2.0, any other result is the body.
        body = result if isinstance(result, str) else json.dumps(result)
        return Response(body, HTTPStatus.OK, content_type="application/json")
    status, content = result["statusCode"], result.get("body")
    if isinstance(status, str) and status.isdigit():
        status = int(status)
    if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:
        raise InvalidResponseError(f"statusCode is {status!r}")
    if content is not None and not isinstance(content, str):
        raise InvalidResponseError("body is not a string")
    response = Response(_decoded(content or "", bool(result.get("isBase64Encoded"))), status)
    response.headers = _response_headers(result)
    return response


def _decoded(body: str, is_base64: bool) -> bytes:
    if not is_base64:
        return body.encode()
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise InvalidResponseError("body is not base64") from error


def _response_headers(result: Mapping[str, Any]) -> Headers:
    given, cookies = result.get("headers") or {}, result.get("cookies") or []
    if not isinstance(given, dict) or not isinstance(cookies, list):
        raise InvalidResponseError("headers is not an object, or cookies is not a list")
    headers = Headers({"content-type": "text/plain;charset=UTF-8"})
    for name, value in given.items():
        headers[str(name)] = value if isinstance(value, str) else json.dumps(value)
    for cookie in cookies:
        headers.add("set-cookie", str(cookie))
    return headers
