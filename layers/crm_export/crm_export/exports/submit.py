"""Creates the Bulk Read job of a PENDING part.

Called by functions/bulk_read_submitter, by `start` for the first part, and by `download` for the next one.
"""

import re
from typing import Any

from crm_export import deadline
from crm_export.errors import (
    ExportError,
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
from crm_export.exports.attempt import Attempt, note_part, restart_export
from crm_export.exports.callbacks import callback_url
from crm_export.exports.model import RECORDS, DroppedField, Export, Part, Step, next_step
from crm_export.exports.pipeline import Pipeline
from crm_export.exports.records import check_readable, settle_reading
from crm_export.telemetry import count, logger
from crm_export.zoho.bulk_read import JobRequest

_SECONDS_TO_RECORD = 5.0  # of the function's time: to write what came of the step, also if Zoho timed out
_SPARE_SECONDS = 8.0  # besides those: longer than Zoho takes to refuse a job
_LONGEST_SUBMISSION = 29.0  # of the downloader's time, as the submitter has; Zoho creates a job in a second
_FIELD_PATH = re.compile(r"\$?\.?query\.fields\[(\d{1,4})\]")
_LONGEST_REASON = 500  # characters: the reasons of all dropped fields are part of one DynamoDB item
_MAX_FIELDS = 200  # of a job; with more names Zoho exports all fields instead


def submit_part(pipeline: Pipeline, export_id: str, part_number: int) -> None:
    """PENDING → SUBMITTED, or on to the download queue if the part needs no job. Otherwise do nothing.

    Raises StepPostponed if the part stays PENDING, else the ExportError that failed the export.
    """
    found = pipeline.table.get_with_part(export_id, part_number)
    if found is None:
        logger.warning("no such part to submit", export_id=export_id, part=part_number)
        return
    export, part = found
    note_part(export, part)
    step = next_step(export, part)
    if step in {Step.ADOPT, Step.READ}:
        pipeline.enqueue(export, part)
    elif step.is_submitters:
        submit_pending(pipeline, export, part)


def submit_pending(pipeline: Pipeline, export: Export, part: Part, *, caller_waits: bool = False) -> bool:
    """Do the step of `submit_part` for a part that was read as PENDING; False if it could not be claimed.

    caller_waits: an error that ends the export becomes the response of the request that started it.
    Raises as `submit_part` does.
    """
    attempt = Attempt.claim(
        pipeline, export, part, owner=pipeline.system.random_hex(16), refused=caller_waits
    )
    if attempt is None:
        return False
    part, step = attempt.part, next_step(export, attempt.part)
    job_id = None
    with attempt, deadline.reserving(_SECONDS_TO_RECORD):
        if step is Step.SUBMIT:
            job_id = _create_job(pipeline, export, part)
        elif step is Step.SETTLE:
            settle_reading(pipeline, export)
    if job_id is None:
        attempt.release()
        _enqueue_again(pipeline, export, part)
    elif not pipeline.table.mark_submitted(part, job_id, pipeline.clock()):
        # The callback or another attempt was faster than the response: the part keeps the job it has.
        logger.info("part has moved on", export_id=part.export_id, part=part.part, job_id=job_id)
    return True


def submit_following(pipeline: Pipeline, export: Export, part: Part) -> bool:
    """Create the job of the part after `part`, which is READY, so that Zoho prepares it in the meantime.

    Called before each attempt at the download of `part`, which it neither fails nor delays for long: what
    cannot be done at once is left to the submit queue. False if Zoho's refusal has ended the export.
    """
    following = part.following(pipeline.clock())
    delay = 0
    try:
        with deadline.ends_in(min(_LONGEST_SUBMISSION, deadline.remaining())):
            if submit_pending(pipeline, export, following):
                return True
    except ExportError as error:
        if not error.retryable:
            return False
        delay = error.retry_after or 0
    pipeline.enqueue(export, following, delay=delay)
    return True


def job_request(export: Export, part: Part, url: str = "") -> JobRequest:
    """Describe the job that reads a part. `url` receives the callback."""
    return JobRequest(
        module=export.module,
        query=export.job_query,
        file_type=export.file_type,
        page=export.page_of(part.part),
        page_token=part.page_token,
        callback_url=url,
    )


def _enqueue_again(pipeline: Pipeline, before: Export, part: Part) -> None:
    """Queue the part for its new next step, if the export is now read through the records API."""
    export = pipeline.table.get(before.export_id)
    if export is not None and export.generation == before.generation:
        pipeline.enqueue(export, part)


def _create_job(pipeline: Pipeline, export: Export, part: Part) -> str | None:
    """Create the part's job and return its id; None if the part needs no job any more."""
    if export.query.get("fields") == "all" and export.fields is None:
        export = _name_all_fields(pipeline, export)
    try:
        return _create_accepted_job(pipeline, export, part)
    except ZohoModuleNotSupported as error:
        if part.part != export.first_part:
            raise
        read_instead(pipeline, export, error)
    except ZohoPageTokenExpired as error:
        restart_export(pipeline, export, error)
    return None


def _create_accepted_job(pipeline: Pipeline, export: Export, part: Part) -> str | None:
    """Create the job. Drop fields that Zoho refuses if they came from the metadata; the caller's are kept.

    Return None if the export was restarted, so that all its parts have the same columns.
    """
    while True:
        try:
            return _request_job(pipeline, export, part)
        except ZohoQueryRefused as error:
            field = _refused_field(error, export.fields or [])
            if field is None or export.fields == [field]:
                raise
            export = _drop_field(pipeline, export, field, error)
            if part.part != export.first_part:
                restart_export(pipeline, export, error)
                return None
        if deadline.remaining() < _SPARE_SECONDS:
            raise PartBusy("Zoho refuses one field after another; the next attempt continues.", retry_after=1)


def _request_job(pipeline: Pipeline, export: Export, part: Part) -> str:
    url = ""  # nobody listens: the worker asks for the job's state instead
    if export.callback_base_url:
        url = callback_url(pipeline.callback_keys.current(), export, part.part)
    bulk_read = pipeline.zoho_for(export).bulk_read
    job_id = bulk_read.create_job(export.api_version, job_request(export, part, url))
    count("JobsSubmitted")
    logger.info("job created", export_id=export.export_id, part=part.part, job_id=job_id)
    return job_id


def _name_all_fields(pipeline: Pipeline, export: Export) -> Export:
    """Replace "all" by the metadata's names; without metadata or with too many fields Zoho exports all."""
    try:
        listed, single, _ = pipeline.zoho_for(export).records.field_names(export.api_version, export.module)
    except ZohoError as error:
        if error.retryable:
            raise
        listed, single = [], []
    names = [*listed, *single]
    return _amended(pipeline, export, fields=names if len(names) <= _MAX_FIELDS else [])


def read_instead(pipeline: Pipeline, export: Export, error: ZohoModuleNotSupported) -> None:
    """Read a module that Bulk Read does not support through the records API, if the query allows that."""
    if export.file_type != "csv":
        raise error
    try:
        check_readable(export.module, export.query, export.page)
    except QueryRefused as refused:
        message = f"{error.message} The records API cannot run this query either: {refused.message}"
        raise ZohoModuleNotSupported(message, zoho_code=error.zoho_code) from refused
    logger.info("module without Bulk Read", export_id=export.export_id, zoho_code=error.zoho_code)
    export = _amended(pipeline, export, source=RECORDS)
    try:
        settle_reading(pipeline, export)
    except (ZohoQueryRefused, ZohoRequestMalformed, ZohoNotFound) as refused:
        raise error from refused  # the records API does not support the module either


def _refused_field(error: ZohoQueryRefused, fields: list[str]) -> str | None:
    """Return the one of `fields` that Zoho refuses, or None if the error is about something else."""
    path = error.json_path or ""
    if "criteria" in path or "CRITERIA" in (error.zoho_code or ""):
        return None
    if index := _FIELD_PATH.fullmatch(path):
        return next(iter(fields[int(index[1]) :]), None)
    named = (error.field if isinstance(error, ZohoFieldRefused) else None, error.api_name)
    return next((name for name in named if name in fields), None)


def _drop_field(pipeline: Pipeline, export: Export, field: str, error: ZohoError) -> Export:
    logger.info("field dropped", export_id=export.export_id, field=field, code=error.zoho_code)
    return _amended(
        pipeline,
        export,
        fields=[name for name in export.fields or [] if name != field],
        fields_dropped=(*export.fields_dropped, DroppedField(field, error.message[:_LONGEST_REASON])),
    )


def _amended(pipeline: Pipeline, export: Export, **values: Any) -> Export:
    amended = pipeline.table.amend(export, **values)
    if amended is None:
        raise PartBusy(f"Export {export.export_id} was changed by another worker.", retry_after=5)
    return amended
