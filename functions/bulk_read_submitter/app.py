"""Starts, shows and cancels exports and syncs (HTTP and operators), and does the work of the submit queue."""

from functools import partial
from typing import Any

from crm_export.api.operator import http_event
from crm_export.api.requests import (
    at_root,
    caller_of,
    cancel_request,
    export_request,
    list_request,
    put_request,
    run_body,
    start_request,
)
from crm_export.api.responses import JsonResponse, make_app, success
from crm_export.aws.part_queue import consume
from crm_export.exports import cancel, start, submit, view
from crm_export.telemetry import Context, Event, observed
from crm_export.wiring import at_init, container

app = make_app()
at_init(lambda own: own.submitter)


def verbs() -> Any:
    """Return the verbs of syncs."""
    from crm_export.sync import manage  # noqa: PLC0415 - few requests are about syncs

    return manage


@app.post("/v1/e/zoho/bulk-read/exports/[^/]+/cancel")  # before the next one, which matches it, too
def post_cancel() -> JsonResponse:
    event, own = app.current_event.raw_event, container()
    cancelled = cancel.cancel_export(own.submitter, *cancel_request(event, own.api))
    return success("Export is cancelled", view.summarize(cancelled))


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


@app.put("/v1/e/zoho/syncs/.+")
def put_sync() -> JsonResponse:
    event, own = app.current_event.raw_event, container()
    sync, is_new = verbs().put_sync(own.syncs, caller_of(event, own.api), put_request(event))
    data = verbs().describe_sync(own.syncs, sync)
    return success("Sync is created" if is_new else "Sync is changed", data, status=201 if is_new else 200)


@app.get("/v1/e/zoho/syncs")
def get_syncs() -> JsonResponse:
    event, own = app.current_event.raw_event, container()
    syncs = own.syncs.table.list_of_account(export_request(event, own.api).account_id)
    return success("Received Information", [verbs().describe_sync(own.syncs, sync) for sync in syncs])


@app.get("/v1/e/zoho/syncs/<module>")
def get_sync(module: str) -> JsonResponse:
    event, own = app.current_event.raw_event, container()
    sync = verbs().find_sync(own.syncs, export_request(event, own.api), module)
    return success("Received Information", verbs().describe_sync(own.syncs, sync))


@app.post("/v1/e/zoho/syncs/<module>/runs")
def post_run(module: str) -> JsonResponse:
    event, own = app.current_event.raw_event, container()
    started = verbs().request_run(own.syncs, caller_of(event, own.api), module, run_body(event))
    return success("Run is started", view.summarize(started), status=202)


@app.delete("/v1/e/zoho/syncs/<module>")
def delete_sync(module: str) -> JsonResponse:
    event, own = app.current_event.raw_event, container()
    sync = verbs().delete_sync(own.syncs, export_request(event, own.api), module)
    return success("Sync is deleted; its files stay", {"module": sync.module})


@observed
def lambda_handler(event: Event, context: Context) -> dict[str, Any]:
    if "Records" in event:  # an SQS event of the submit queue; else one of the HTTP API or an operator
        from crm_export.sync import run  # noqa: PLC0415 - the HTTP API does not wait for it

        submitter = container().submitter
        verbs = (partial(submit.submit_part, submitter), partial(run.run_due, container().syncs))
        return consume(event, submitter.submit_queue, *verbs)
    api = container().api
    return app.resolve(at_root(http_event(event, api), api.api_base_path), context)
