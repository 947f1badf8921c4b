"""Starts exports and reports on them (HTTP), and creates Bulk Read jobs (the submit queue)."""

from functools import partial
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from crm_export import wiring
from crm_export.api import requests
from crm_export.api.responses import make_app, success
from crm_export.aws.part_queue import consume
from crm_export.exports import start, submit, view
from crm_export.telemetry import observed

app = make_app()


@app.post("/v1/e/zoho/bulk-read/.+")
def post_export() -> Response[str]:
    event, pipeline = app.current_event.raw_event, wiring.container().submitter
    export = start.start_export(pipeline, requests.caller_of(event), requests.start_request(event))
    return success("Export is started", view.summarize(export), status=202)


@app.get("/v1/e/zoho/bulk-read/exports")
def get_exports() -> Response[str]:
    request = requests.list_request(app.current_event.raw_event)
    exports, pagination = view.list_exports(wiring.container().submitter, *request)
    return success("Received Information", exports, pagination=pagination)


@app.get("/v1/e/zoho/bulk-read/exports/<export_id>")
def get_export(export_id: str) -> Response[str]:
    caller = requests.caller_of(app.current_event.raw_event)
    export = view.describe_export(wiring.container().submitter, caller, export_id)
    return success("Received Information", export)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Handle an event of the HTTP API (payload format 2.0), or an SQS event of the submit queue."""
    if "Records" in event:
        pipeline = wiring.container().submitter
        return consume(event, pipeline.submit_queue, partial(submit.submit_part, pipeline))
    return app.resolve(event, context)
