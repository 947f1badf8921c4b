"""HTTP to payload-v2 events and back, as an HTTP API of API Gateway does it.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import base64
import binascii
import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from werkzeug.datastructures import Headers
from werkzeug.wrappers import Request, Response

from local.stack.aws import ACCOUNT_ID
from local.stack.routes import Match

_TEXT = re.compile(r"^(text/|application/((json|xml|javascript)\b|[^;]*\+(json|xml)))")


class BadAnswerError(Exception):
    """The function's answer is not one API Gateway can pass on."""


def build_event(
    request: Request, match: Match, authorizer: Mapping[str, Any] | None, request_id: str, trace_id: str
) -> dict[str, Any]:
    """Return the event for a request that was routed and authorized."""
    now = time.time()
    path = unquote(raw_path(request))
    host = request.host
    headers = _headers(request, trace_id)
    context: dict[str, Any] = {
        "accountId": ACCOUNT_ID,
        "apiId": "local0api0",
        "domainName": host,
        "domainPrefix": host.split(".")[0],
        "http": {
            "method": request.method,
            "path": path,
            "protocol": request.environ.get("SERVER_PROTOCOL", "HTTP/1.1"),
            "sourceIp": request.remote_addr or "127.0.0.1",
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": request_id,
        "routeKey": match.route.key,
        "stage": "$default",
        "time": f"{datetime.fromtimestamp(now, UTC):%d/%b/%Y:%H:%M:%S} +0000",
        "timeEpoch": int(now * 1000),
    }
    if authorizer is not None:
        context["authorizer"] = authorizer
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": match.route.key,
        # An HTTP API, unlike a REST API or a function URL, decodes it.
        "rawPath": path,
        "rawQueryString": request.query_string.decode("latin-1"),
        "headers": headers,
        "requestContext": context,
        "isBase64Encoded": False,
    }
    if cookies := request.headers.get("Cookie"):
        event["cookies"] = [cookie.strip() for cookie in cookies.split(";")]
    if query := _query(event["rawQueryString"]):
        event["queryStringParameters"] = query
    if match.parameters:
        event["pathParameters"] = match.parameters
    if body := request.get_data():
        event |= _body(body, headers.get("content-type", ""))
    return event


def raw_path(request: Request) -> str:
    """Return the path as it came, percent-encoded."""
    target = str(request.environ.get("REQUEST_URI") or request.path)
    return re.sub(r"^https?://[^/]+", "", target).partition("?")[0] or "/"


def _headers(request: Request, trace_id: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        if key != "cookie":
            headers[key] = f"{headers[key]},{value}" if key in headers else value
    port = request.host.rpartition(":")[2]
    return {
        **headers,
        "x-amzn-trace-id": trace_id.partition(";")[0],
        "x-forwarded-for": request.remote_addr or "127.0.0.1",
        "x-forwarded-port": port,
        "x-forwarded-proto": "http",
    }


def _query(raw: str) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, value in parse_qsl(raw, keep_blank_values=True):
        query[name] = f"{query[name]},{value}" if name in query else value
    return query


def _body(body: bytes, content_type: str) -> dict[str, Any]:
    # All else is encoded, a body without a type and curl's own x-www-form-urlencoded too.
    if _TEXT.match(content_type.lower()):
        try:
            return {"body": body.decode(), "isBase64Encoded": False}
        except UnicodeDecodeError:
            pass
    return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def build_response(payload: bytes) -> Response:
    """Return the HTTP response for what a function returned; raises BadAnswerError."""
    try:
        answer = json.loads(payload)
    except ValueError as error:
        raise BadAnswerError("not JSON") from error
    if not isinstance(answer, dict) or "statusCode" not in answer:
        # Format 2.0 takes anything else for the body.
        body = answer if isinstance(answer, str) else json.dumps(answer)
        return Response(body, 200, content_type="application/json")
    status, text = answer["statusCode"], answer.get("body")
    if isinstance(status, str) and status.isdigit():
        status = int(status)
    if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:
        raise BadAnswerError(f"statusCode {status!r}")
    if text is not None and not isinstance(text, str):
        raise BadAnswerError("body is not a string")
    response = Response(_decoded(text or "", bool(answer.get("isBase64Encoded"))), status)
    response.headers = _response_headers(answer)
    return response


def _decoded(text: str, is_base64: bool) -> bytes:
    if not is_base64:
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise BadAnswerError("body is not base64") from error


def _response_headers(answer: Mapping[str, Any]) -> Headers:
    given, cookies = answer.get("headers") or {}, answer.get("cookies") or []
    if not isinstance(given, dict) or not isinstance(cookies, list):
        raise BadAnswerError("headers or cookies have the wrong type")
    headers = Headers({"content-type": "text/plain;charset=UTF-8"})
    for name, value in given.items():
        headers[str(name)] = value if isinstance(value, str) else json.dumps(value)
    for cookie in cookies:
        headers.add("set-cookie", str(cookie))
    return headers
