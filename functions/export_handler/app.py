"""GET /v1/e/zoho/export/{type}: one page of contacts, accounts, deals or notes. Operators see any module."""

from typing import Any

from crm_export.api.operator import http_event
from crm_export.api.requests import at_root, caller_of, page_module, parse_page_request
from crm_export.api.responses import JsonResponse, make_app, success
from crm_export.telemetry import Context, Event, observed
from crm_export.wiring import at_init, container

app = make_app()
at_init(lambda own: own.handler_zoho)


@app.get("/v1/e/zoho/export/.+")
def get_page() -> JsonResponse:
    """Return a page. As the original API did, look for the connection before the type is checked."""
    event, own = app.current_event.raw_event, container()
    caller, version = caller_of(event, own.api), own.handler_settings.records_api_version
    records = own.handler_zoho(caller.account_id, caller.owner).records
    module = page_module(event)
    params = event.get("queryStringParameters") or {}
    page = records.get_page(version, module, parse_page_request(version, params))
    return success("Received Information", page.data, pagination=page.info)


@app.get("/operator/.+")
def get_operator() -> JsonResponse:
    from crm_export.api.looking import look  # noqa: PLC0415 - only operators need it

    event, own = app.current_event.raw_event, container()
    return look(event, caller_of(event, own.api), own.handler_clients, own.handler_check)


@observed
def lambda_handler(event: Event, context: Context) -> dict[str, Any]:
    """Handle an event of the HTTP API, payload format 2.0, or of an operator."""
    api = container().api
    return app.resolve(at_root(http_event(event, api), api.api_base_path), context)
