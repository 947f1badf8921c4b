"""Starts an export. Called by functions/bulk_read_submitter for POST /v1/e/zoho/bulk-read/{type}."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from crm_export.aws.part_queue import retry_delay
from crm_export.errors import ExportError
from crm_export.exports.model import BULK_READ, RECORDS, Export, Part, new_export_id, timestamp
from crm_export.exports.pipeline import Clock, ExportStore, PartQueue
from crm_export.exports.records import check_readable
from crm_export.exports.request import ExportRequest
from crm_export.telemetry import count, logger
from crm_export.zoho.catalog import has_bulk_read


@dataclass(frozen=True)
class StartServices:
    """What starting needs. submit(export_id, part) is `submit.submit_part`."""

    store: ExportStore
    submit_queue: PartQueue
    submit: Callable[[str, int], None]
    clock: Clock
    api_version: str
    deadline_hours: int
    retention_days: int
    result_format: str = "csv"


def start_export(
    services: StartServices, request: ExportRequest, account_id: str, owner: str, callback_base_url: str
) -> Export:
    """Write the export and create its first job at once, so that a refused query is told at once.

    If Zoho cannot take the job now, the export is RUNNING and the submit queue goes on with it. Raises
    the ExportError of a final refusal; the export is then FAILED with it.
    """
    if not has_bulk_read(request.module):
        check_readable(request.module, request.query, request.page)
    now = services.clock()
    export = Export(
        export_id=new_export_id(now),
        account_id=account_id,
        owner=owner,
        module=request.module,
        source=BULK_READ if has_bulk_read(request.module) else RECORDS,
        query=request.query,
        page=request.page,
        file_type=request.file_type,
        result_format=services.result_format,
        api_version=services.api_version,
        callback_base_url=callback_base_url,
        requested_at=timestamp(now),
        deadline_at=timestamp(now + timedelta(hours=services.deadline_hours)),
        expires_at=int((now + timedelta(days=services.retention_days)).timestamp()),
    )
    services.store.create(export, Part(export.export_id, 1, timestamp(now)))
    count("ExportsStarted")
    logger.info("export started", export_id=export.export_id, zoho_module=export.module)
    try:
        services.submit(export.export_id, 1)
    except ExportError as error:
        if not error.retryable:
            raise
        logger.warning("first job postponed", export_id=export.export_id, code=error.code)
        services.submit_queue.send(export.export_id, 1, delay=retry_delay(error, 1))
    return services.store.get(export.export_id) or export
