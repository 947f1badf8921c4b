"""GET /v1/e/zoho/export/{type}: one page of contacts, accounts, deals or notes."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from crm_export import wiring
from crm_export.api.requests import caller_of, parse_page_request
from crm_export.api.responses import make_app, success
from crm_export.errors import TypeNotSupported
from crm_export.settings import ExportHandlerSettings
from crm_export.telemetry import observed
from crm_export.zoho.catalog import MODULES
from crm_export.zoho.records import RecordsReader

app = make_app()


@app.get("/v1/e/zoho/export/.+")
def export_page() -> Response[str]:
    """The seed's contract: the token is looked for before the type is checked."""
    settings = wiring.settings_of(ExportHandlerSettings)
    caller = caller_of(app.current_event.raw_event)
    client = wiring.zoho_client(settings, caller.account_id, caller.owner)
    export_type = app.current_event.path.removeprefix("/v1/e/zoho/export/")
    module = MODULES.get(export_type)
    if module is None or not module.pages:
        raise TypeNotSupported("Type is not Selected yet")
    version = settings.records_api_version
    wanted = parse_page_request(version, app.current_event.query_string_parameters or {})
    page = RecordsReader(client).get_page(version, module.api_name, wanted)
    return success("Received Information", page.data, pagination=page.info)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Entry point: an HTTP API event, payload 2.0."""
    return app.resolve(event, context)
