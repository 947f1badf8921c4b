"""Events of an HTTP API, in payload format 2.0."""

from typing import Any
from urllib.parse import parse_qsl, urlencode


def http_event(
    method: str,
    path: str,
    *,
    claims: dict[str, str] | None = None,
    query: dict[str, str] | None = None,
    body: str | None = None,
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Return the event of a request whose JWT has these claims; None: the route has no authorizer."""
    raw_query = urlencode(query or {})
    context: dict[str, Any] = {
        "accountId": "123456789012",
        "apiId": "api",
        "domainName": "api.example.com",
        "domainPrefix": "api",
        "http": {
            "method": method,
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": "tests",
        },
        "requestId": "request-1",
        "routeKey": "$default",
        "stage": "$default",
        "time": "22/Nov/2026:13:00:00 +0000",
        "timeEpoch": 1795352400000,
    }
    if claims is not None:
        context["authorizer"] = {"jwt": {"claims": claims, "scopes": None}}
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": raw_query,
        "headers": {"content-type": "application/json", **(headers or {})},
        "requestContext": context,
        "isBase64Encoded": False,
    }
    if raw_query:
        event["queryStringParameters"] = dict(parse_qsl(raw_query, keep_blank_values=True))
    if body is not None:
        event["body"] = body
    return event
