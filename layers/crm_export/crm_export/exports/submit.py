"""Creates the Bulk Read job of a PENDING part. Called by functions/bulk_read_submitter."""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from crm_export import deadline
from crm_export.errors import (
    PartBusy,
    QueryRefused,
    ZohoError,
    ZohoFieldRefused,
    ZohoModuleNotSupported,
    ZohoNotFound,
    ZohoPageTokenExpired,
    ZohoQueryRefused,
    ZohoRequestMalformed,
)
from crm_export.exports.attempt import claim_part, restart_export, settling
from crm_export.exports.model import RECORDS, Export, ExportState, Part, PartState
from crm_export.exports.pipeline import BulkReadApi, Clock, ExportStore, PartQueue, RecordsApi, at
from crm_export.exports.records import check_readable, settle_reading
from crm_export.telemetry import count, logger
from crm_export.zoho.bulk_read import JobRequest

_LEASE_SECONDS = 60  # more than the function's timeout
_SPARE_SECONDS = 8.0  # of the function's time: more than a job takes to be refused
_FIELD_PATH = re.compile(r"\$?\.?query\.fields\[(\d{1,4})\]")
_MAX_FIELDS = 200  # of a job; beyond, Zoho exports all there are


@dataclass(frozen=True)
class SubmitServices:
    """What submitting needs. bulk_read and records(account_id, owner) give Zoho in a connection's name."""

    store: ExportStore
    submit_queue: PartQueue
    download_queue: PartQueue
    bulk_read: Callable[[str, str], BulkReadApi]
    records: Callable[[str, str], RecordsApi]
    callback_url: Callable[[Export, int], str]
    clock: Clock
    caller_waits: bool = False  # and is told at once what ends the export


def submit_part(services: SubmitServices, export_id: str, part_number: int) -> None:
    """PENDING → SUBMITTED, or on to the download queue when there is no job to be made. Any other state,
    or a submit under way, is left as it is.

    Raises what stopped it, after it was recorded: a retryable ExportError leaves the part PENDING, a
    final one has failed the export.
    """
    store = services.store
    export, part = store.get(export_id), store.get_part(export_id, part_number)
    if export is None or part is None:
        logger.warning("no such part to submit", export_id=export_id, part=part_number)
        return
    if export.state is not ExportState.RUNNING or part.state is not PartState.PENDING:
        return
    if part.part < export.first_part:
        return
    if part.hinted_job_id or export.is_readable:
        # Zoho has called back for a job whose creation we never saw the answer of; or there is no job.
        services.download_queue.send(export_id, part_number)
        return
    owner = uuid.uuid4().hex
    if not claim_part(store, services.clock, export, part, owner=owner, seconds=_LEASE_SECONDS):
        return
    with settling(store, services.clock, export, part, owner, refused=services.caller_waits):
        job_id = _submit(services, export, part)
    if job_id is None:
        store.release(part, owner, at(services.clock))
        _queue_again(services, export_id, part_number)
    elif not store.mark_submitted(part, job_id, at(services.clock)):
        # Its callback was faster than its answer, or another attempt was: that job is the part's.
        logger.info("part has moved on", export_id=export_id, part=part_number, job_id=job_id)


def _queue_again(services: SubmitServices, export_id: str, part_number: int) -> None:
    """The export is read through the records API by now, or began anew: its first part is to be done."""
    export = services.store.get(export_id)
    if export is not None:
        queue = services.download_queue if export.is_readable else services.submit_queue
        queue.send(export_id, max(part_number, export.first_part))


def _submit(services: SubmitServices, export: Export, part: Part) -> str | None:
    """Create the part's job; None where it needs none any more."""
    if export.source == RECORDS:
        settle_reading(services.store, services.records(export.account_id, export.owner), export)
        return None
    if export.query.get("fields") == "all" and export.fields is None:
        export = _name_all_fields(services, export)
    try:
        return _create_job(services, export, part)
    except ZohoModuleNotSupported as error:
        if part.part != export.first_part:
            raise
        _read_instead(services, export, error)
    except ZohoPageTokenExpired as error:
        restart_export(services.store, services.clock, export, error)
    return None


def _read_instead(services: SubmitServices, export: Export, error: ZohoModuleNotSupported) -> None:
    """Bulk Read does not take the module: read it through the records API, if the query allows."""
    if export.file_type != "csv":
        raise error
    try:
        check_readable(export.module, export.query, export.page)
    except QueryRefused as refused:
        message = f"{error.message} Its records could be read instead, but: {refused.message}"
        raise ZohoModuleNotSupported(message, zoho_code=error.zoho_code) from refused
    logger.info("module without Bulk Read", export_id=export.export_id, zoho_code=error.zoho_code)
    export = _amended(services, export, source=RECORDS)
    try:
        settle_reading(services.store, services.records(export.account_id, export.owner), export)
    except (ZohoQueryRefused, ZohoRequestMalformed, ZohoNotFound) as refused:  # nor does the records API
        raise error from refused


def _name_all_fields(services: SubmitServices, export: Export) -> Export:
    """Settle "all" as the metadata's names; without them, or beyond what a job takes, as Zoho's own all."""
    api = services.records(export.account_id, export.owner)
    try:
        listed, single = api.field_names(export.api_version, export.module)
    except ZohoError as error:
        if error.retryable:
            raise
        listed, single = [], []
    names = [*listed, *single]
    return _amended(services, export, fields=names if len(names) <= _MAX_FIELDS else [])


def _amended(services: SubmitServices, export: Export, **values: Any) -> Export:
    amended = services.store.amend(export, **values)
    if amended is None:
        raise PartBusy(f"Export {export.export_id} has moved on.", retry_after=5)
    return amended


def _create_job(services: SubmitServices, export: Export, part: Part) -> str | None:
    """Create the job; a field nobody named but the metadata is dropped where Zoho refuses it.

    None when the export began anew: all its parts have the same columns.
    """
    while True:
        try:
            return _ask_for_job(services, export, part)
        except ZohoQueryRefused as error:
            field = _refused_field(error, export.fields or [])
            if field is None or export.fields == [field]:
                raise
            export = _drop_field(services, export, field, error)
            if part.part != export.first_part:
                restart_export(services.store, services.clock, export, error)
                return None
        if deadline.remaining() < _SPARE_SECONDS:
            raise PartBusy("Zoho refuses field after field; going on with the next.", retry_after=1)


def _refused_field(error: ZohoQueryRefused, fields: list[str]) -> str | None:
    """Which of the fields Zoho refuses, where its answer is about one of them and not about criteria."""
    path = error.json_path or ""
    if "criteria" in path or "CRITERIA" in (error.zoho_code or ""):
        return None
    if found := _FIELD_PATH.fullmatch(path):
        return next(iter(fields[int(found[1]) :]), None)
    named = (error.field if isinstance(error, ZohoFieldRefused) else None, error.api_name)
    return next((name for name in named if name in fields), None)


def _drop_field(services: SubmitServices, export: Export, field: str, error: ZohoError) -> Export:
    logger.info("field dropped", export_id=export.export_id, field=field, code=error.zoho_code)
    return _amended(
        services,
        export,
        fields=[name for name in export.fields or [] if name != field],
        fields_dropped=[*export.fields_dropped, {"field": field, "reason": error.message}],
    )


def job_request(export: Export, part: Part, callback_url: str) -> JobRequest:
    """What the job of a part is to read."""
    return JobRequest(
        module=export.module,
        query=export.job_query,
        file_type=export.file_type,
        page=export.page_of(part.part),
        page_token=part.page_token,
        callback_url=callback_url,
    )


def _ask_for_job(services: SubmitServices, export: Export, part: Part) -> str:
    request = job_request(export, part, services.callback_url(export, part.part))
    job_id = services.bulk_read(export.account_id, export.owner).create_job(export.api_version, request)
    count("JobsSubmitted")
    logger.info("job created", export_id=export.export_id, part=part.part, job_id=job_id)
    return job_id
