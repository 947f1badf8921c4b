"""Strict validation of a Bulk Read create request: headers, body, callback, page token."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from zoho_simulator.bulk_query import BulkQuery, Load, at_least, parse_query, refuse_unknown, wrong_type
from zoho_simulator.config import SimulatorConfig
from zoho_simulator.errors import ZohoError, bad_request
from zoho_simulator.wire import Json, Request

_TOP_KEYS = {"callback", "query", "file_type"}


@dataclass(frozen=True)
class CreateRequest:
    """A validated create request: either a query or a page token, and perhaps a callback URL."""

    query: BulkQuery | None
    page_token: str | None
    callback_url: str | None


def parse_create(config: SimulatorConfig, load: Load, version: str, request: Request) -> CreateRequest:
    """Validate a create request. Raises ZohoError with the code Zoho gives for the first thing wrong."""
    body = _read_body(version, request)
    refuse_unknown(config, body, _TOP_KEYS, "$")
    callback_url = _callback(config, body["callback"]) if "callback" in body else None
    query = body.get("query")
    if not isinstance(query, dict) or not query:
        message = f"Invalid query for bulk read job. Query '{json.dumps(query)}' is not supported."
        raise bad_request("QUERY_NOT_SUPPORTED", message)
    if "page_token" in query and at_least(version, "v7"):
        if callback_url and not config.bulk_page_token_with_callback:
            raise bad_request(
                "QUERY_NOT_SUPPORTED", "Invalid query for bulk read job. Query 'callback' is not supported."
            )
        return CreateRequest(None, _page_token(query), callback_url)
    return CreateRequest(parse_query(config, load, version, body, query), None, callback_url)


def _read_body(version: str, request: Request) -> Json:
    kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ZohoError(415, "MEDIA_TYPE_NOT_SUPPORTED", "Media type is not supported.")
    if not request.body.strip():
        raise bad_request("REQUEST_BODY_IS_EMPTY", "Request body is empty.")
    try:
        body = json.loads(request.body)
    except ValueError:
        raise bad_request("REQUEST_BODY_NOT_READABLE", "Unable to parse the request body.") from None
    if not isinstance(body, dict):
        if version == "v8":
            raise bad_request("REQUEST_BODY_NOT_SUPPORTED", "request body contains invalid format")
        raise bad_request("REQUEST_BODY_NOT_READABLE", "Unable to parse the request body.")
    if not body:
        raise bad_request("REQUEST_BODY_IS_EMPTY", "Request body is empty.")
    return body


def _callback(config: SimulatorConfig, callback: Any) -> str:
    if not isinstance(callback, dict):
        raise wrong_type("callback", "jsonobject")
    refuse_unknown(config, callback, {"url", "method"}, "$.callback")
    url, method = callback.get("url"), callback.get("method")
    schemes = ("https",) if config.callback_requires_https else ("http", "https")
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or parts.scheme not in schemes or not parts.hostname:
        raise bad_request("INVALID_CALLBACK_URL", f"Invalid URL '{url}' for callback.")
    if method != "post":
        message = f"Invalid request method {method} for callback."
        raise bad_request("INVALID_CALLBACK_METHOD", message, supported_callback_methods=["post"])
    return str(url)


def _page_token(query: Json) -> str:
    others = sorted(query.keys() - {"page_token"})
    if others:
        # The token stands for the whole query: no sample of Zoho's shows it together with another key.
        due_to = [{"api_name": n, "json_path": f"$.query.{n}"} for n in ("page_token", *others)]
        raise bad_request(
            "AMBIGUITY_DURING_PROCESSING", "Ambiguity while processing the request", ambiguity_due_to=due_to
        )
    token = query["page_token"]
    if not isinstance(token, str) or not token:
        raise wrong_type("page_token", "string")
    return token
