"""Starts exports and tells how they stand (HTTP), and creates Bulk Read jobs (the submit queue)."""

from collections.abc import Callable
from functools import partial
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from crm_export import wiring
from crm_export.api.requests import Caller, caller_of, integer, json_object
from crm_export.api.responses import make_app, success
from crm_export.aws.part_queue import consume
from crm_export.errors import ExportNotFound
from crm_export.exports.callbacks import callback_url
from crm_export.exports.model import Export
from crm_export.exports.request import parse_request
from crm_export.exports.start import StartServices, start_export
from crm_export.exports.submit import SubmitServices, submit_part
from crm_export.exports.view import describe_export, list_exports, summary
from crm_export.settings import BulkReadSubmitterSettings
from crm_export.telemetry import observed
from crm_export.zoho.metadata import known_modules

app = make_app()


@app.post("/v1/e/zoho/bulk-read/.+")
def post_export() -> Response[str]:
    """Start an export. As on the other route, the connection is looked for before the type is checked."""
    settings = _settings()
    caller = caller_of(app.current_event.raw_event)
    client = wiring.zoho_client(settings, caller.account_id, caller.owner)
    export_type = app.current_event.path.removeprefix("/v1/e/zoho/bulk-read/")
    body = json_object(app.current_event.raw_event)
    request = parse_request(export_type, body, partial(known_modules, client, settings.bulk_read_api_version))
    services = StartServices(
        store=wiring.export_store(settings.exports_table),
        submit_queue=wiring.part_queue(settings.submit_queue_url),
        submit=partial(_submit, caller_waits=True),
        clock=wiring.utc_now,
        api_version=settings.bulk_read_api_version,
        deadline_hours=settings.export_deadline_hours,
        retention_days=settings.state_retention_days,
        result_format=settings.result_format,
    )
    base_url = settings.callback_base_url or f"https://{app.current_event.request_context.domain_name}"
    start = partial(start_export, services, request, caller.account_id, caller.owner, base_url)
    export = _once(settings, caller, [request.module, body], start)
    return success("Export is started", summary(export), status=202)


def _once(
    settings: BulkReadSubmitterSettings, caller: Caller, request: Any, start: Callable[[], Export]
) -> Export:
    """Start the export, unless it was started with the same Idempotency-Key."""
    key = app.current_event.headers.get("idempotency-key")
    if key is None:
        return start()
    from crm_export.aws.idempotency import once  # noqa: PLC0415 (few need it)

    export_id = once(
        wiring.aws("dynamodb"),
        settings.exports_table,
        account_id=caller.account_id,
        owner=caller.owner,
        key=key,
        request=request,
        do=lambda: start().export_id,
    )
    export = wiring.export_store(settings.exports_table).get(export_id)
    if export is None:
        raise ExportNotFound("Export is not Found")
    return export


@app.get("/v1/e/zoho/bulk-read/exports")
def get_exports() -> Response[str]:
    """The account's exports, newest first."""
    params = app.current_event.query_string_parameters or {}
    limit = integer(params, "limit", default=20, largest=100)
    store = wiring.export_store(_settings().exports_table)
    account_id = caller_of(app.current_event.raw_event).account_id
    exports, next_token = list_exports(store, account_id, limit, params.get("page_token"))
    pagination = {"limit": limit, "more_records": next_token is not None, "next_page_token": next_token}
    return success("Received Information", exports, pagination=pagination)


@app.get("/v1/e/zoho/bulk-read/exports/<export_id>")
def get_export(export_id: str) -> Response[str]:
    """One export with its parts."""
    settings = _settings()
    store = wiring.export_store(settings.exports_table)
    account_id = caller_of(app.current_event.raw_event).account_id
    presign = wiring.presigner(settings.results_bucket)
    return success("Received Information", describe_export(store, presign, account_id, export_id))


def _settings() -> BulkReadSubmitterSettings:
    return wiring.settings_of(BulkReadSubmitterSettings)


def _submit(export_id: str, part: int, *, caller_waits: bool = False) -> None:
    settings = _settings()
    services = SubmitServices(
        store=wiring.export_store(settings.exports_table),
        submit_queue=wiring.part_queue(settings.submit_queue_url),
        download_queue=wiring.part_queue(settings.download_queue_url),
        bulk_read=wiring.bulk_read(settings),
        records=wiring.records(settings),
        callback_url=lambda export, number: callback_url(
            wiring.callback_keys(settings.callback_secret_id).current(), export, number
        ),
        clock=wiring.utc_now,
        caller_waits=caller_waits,
    )
    submit_part(services, export_id, part)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Entry point: an HTTP API event (payload 2.0), or an SQS event of the submit queue."""
    if "Records" in event:
        return consume(event, wiring.part_queue(_settings().submit_queue_url), _submit)
    return app.resolve(event, context)
