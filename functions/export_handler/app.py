"""GET /v1/e/zoho/export/{type}: one page of contacts, accounts, deals or notes."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from crm_export import wiring
from crm_export.api.requests import caller_of, page_module, parse_page_request
from crm_export.api.responses import make_app, success
from crm_export.telemetry import observed

app = make_app()


@app.get("/v1/e/zoho/export/.+")
def get_page() -> Response[str]:
    """Return a page. As the original API did, look for the connection before the type is checked."""
    event, container = app.current_event.raw_event, wiring.container()
    caller, version = caller_of(event), container.handler_settings.records_api_version
    records = container.handler_zoho(caller.account_id, caller.owner).records
    module = page_module(event)
    page = records.get_page(
        version, module, parse_page_request(version, event.get("queryStringParameters") or {})
    )
    return success("Received Information", page.data, pagination=page.info)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Handle an event of the HTTP API, payload format 2.0."""
    return app.resolve(event, context)
