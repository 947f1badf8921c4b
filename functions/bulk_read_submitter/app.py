"""Starts exports and reports on them (HTTP), and creates Bulk Read jobs (the submit queue)."""

from functools import partial
from typing import Any

from crm_export.api.requests import at_root, caller_of, export_request, list_request, start_request
from crm_export.api.responses import JsonResponse, make_app, success
from crm_export.aws.part_queue import consume
from crm_export.exports import start, submit, view
from crm_export.telemetry import Context, Event, observed
from crm_export.wiring import at_init, container

app = make_app()
at_init(lambda own: own.submitter)


@app.post("/v1/e/zoho/bulk-read/.+")
def post_export() -> JsonResponse:
    event, own = app.current_event.raw_event, container()
    started = start.start_export(own.submitter, caller_of(event, own.api), start_request(event))
    return success(*view.describe_start(started), status=202)


@app.get("/v1/e/zoho/bulk-read/exports")
def get_exports() -> JsonResponse:
    event, own = app.current_event.raw_event, container()
    exports, pagination = view.list_exports(own.submitter, *list_request(event, own.api))
    return success("Received Information", exports, pagination=pagination)


@app.get("/v1/e/zoho/bulk-read/exports/<export_id>")
def get_export(export_id: str) -> JsonResponse:
    event, own = app.current_event.raw_event, container()
    caller = export_request(event, own.api)
    return success("Received Information", view.describe_export(own.submitter, caller, export_id))


@observed
def lambda_handler(event: Event, context: Context) -> dict[str, Any]:
    if "Records" in event:  # an SQS event of the submit queue; else an event of the HTTP API
        submitter = container().submitter
        return consume(event, submitter.submit_queue, partial(submit.submit_part, submitter))
    return app.resolve(at_root(event, container().api.api_base_path), context)
