"""Requests of an operator, who invokes a function with AWS credentials instead of calling the HTTP API.

`crm-export --stack` sends them with lambda:InvokeFunction; docs/deploy.md, "Operators", describes the event.
Called by functions/bulk_read_submitter and functions/export_handler.
"""

import json
from typing import Any

from crm_export.errors import InvalidRequest
from crm_export.settings import ApiSettings

_NAMES = {"account_id", "owner", "method", "path", "query", "headers", "body", "api_url", "request_id"}


def http_event(event: dict[str, Any], api: ApiSettings) -> dict[str, Any]:
    """Return the event of API Gateway that an operator's event stands for; every other event as it is.

    Only lambda:InvokeFunction can send the key `operator`: API Gateway and SQS write the top level of their
    events themselves, and put what a client sends below it. So a client cannot name its caller in this way.
    """
    request = event.get("operator")
    if request is None or "requestContext" in event:
        return event
    if not isinstance(request, dict) or set(request) - _NAMES:
        raise InvalidRequest(f"operator must be an object with the names {', '.join(sorted(_NAMES))}.")
    claims = {api.account_claim: request.get("account_id"), api.owner_claim: request.get("owner")}
    path, body = str(request.get("path", "")), request.get("body")
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "queryStringParameters": dict(request.get("query") or {}),
        "headers": {name.lower(): value for name, value in (request.get("headers") or {}).items()},
        "requestContext": {
            "authorizer": {"jwt": {"claims": claims}},
            "domainName": str(request.get("api_url", "")).removeprefix("https://").rstrip("/"),
            "http": {"method": str(request.get("method", "GET")), "path": path},
            "requestId": str(request.get("request_id", "operator")),
            "stage": "$default",
        },
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }
