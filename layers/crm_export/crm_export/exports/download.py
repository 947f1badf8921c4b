"""Moves a part from a finished job to an object in S3. Called by functions/result_downloader."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from crm_export.errors import (
    DownloadsSpent,
    JobOverdue,
    ObjectConflict,
    PagingBroken,
    ResultTooSlow,
    ZohoModuleNotSupported,
    ZohoNotFound,
    ZohoPageTokenExpired,
    ZohoResponseInvalid,
    ZohoTooSlow,
    ZohoUnavailable,
)
from crm_export.exports.attempt import Attempt, busy, note_part, restart_export
from crm_export.exports.callbacks import heed_callback
from crm_export.exports.cancel import clean_up
from crm_export.exports.complete import complete_export
from crm_export.exports.model import Export, Part, Step, Stored, next_step, timestamp
from crm_export.exports.pipeline import Callback, Pipeline
from crm_export.exports.records import read_part
from crm_export.exports.submit import job_request, read_instead, submit_following
from crm_export.telemetry import count, count_bytes, logger
from crm_export.zoho.bulk_read import COMPLETED, Job, check_is_job_for, is_job_for
from crm_export.zoho.catalog import has_page_token

_MAX_JOBS = 3
_RESUBMIT_DELAY = 30  # seconds
_LARGE_BYTES = 50_000_000  # received in a whole invocation: Zoho is not down, the result is too large
_NOT_YET = timedelta(hours=1)  # a younger job or result that Zoho does not find may still appear

# What a step leaves: the part to go on with, True if export and part are to be read again, False for the end.
type Left = Part | bool


def advance_part(
    pipeline: Pipeline, export_id: str, part_number: int, callback: Callback | None = None
) -> None:
    """Take a part as far as it goes now: read its state, do the next step, and repeat.

    callback: the callback that queued the part; nothing is done if `heed_callback` ignores it. Raises
    StepPostponed or PartBusy if the part has to wait, else the ExportError that failed the export.
    """
    if callback is not None and not heed_callback(pipeline, export_id, part_number, callback):
        return
    owner = pipeline.system.random_hex(16)
    while True:
        found = pipeline.table.get_with_part(export_id, part_number)
        if found is None:
            logger.warning("no such part to download", export_id=export_id, part=part_number)
            return
        export, left = found[0], _advance(pipeline, *found, owner)
        while isinstance(left, Part):
            left = _advance(pipeline, export, left, owner)
        if not left:
            return


def _advance(pipeline: Pipeline, export: Export, part: Part, owner: str) -> Left:
    """Do the next step of a part. The export may have ended meanwhile: all writes of a step check that."""
    note_part(export, part)
    step = next_step(export, part)
    if step is Step.NOTHING or step.is_submitters:
        return False
    if step is Step.COMPLETE:
        complete_export(pipeline, export)
        return False
    if step is Step.CLEAN:
        clean_up(pipeline, export)
        return False
    return _attempt_step(pipeline, export, part, step, owner)


def _attempt_step(pipeline: Pipeline, export: Export, part: Part, step: Step, owner: str) -> Left:
    """Do one step with the part leased."""
    attempt = Attempt.claim(pipeline, export, part, owner=owner)
    if attempt is None:
        reason = busy(pipeline, part)
        # Storing takes long, so drop this message: if the other worker fails, its own message comes again.
        if reason is None or step in {Step.STORE, Step.READ}:
            return False
        raise reason
    with attempt:
        moved = _do_step(pipeline, attempt, step)
    if not moved:
        attempt.release()
    return moved


def _do_step(pipeline: Pipeline, attempt: Attempt, step: Step) -> Left:
    match step:
        case Step.READ:
            read_part(pipeline, attempt)
            return True
        case Step.ADOPT:
            return _adopt_job(pipeline, attempt)
        case Step.CHECK:
            return _check_job(pipeline, attempt)
        case _:
            return _store_result(pipeline, attempt)


def _adopt_job(pipeline: Pipeline, attempt: Attempt) -> Left:
    """PENDING → SUBMITTED with the job that a callback named, if Zoho's details show that it is ours."""
    export, part, job_id = attempt.export, attempt.part, str(attempt.part.hinted_job_id)
    job = None
    try:
        job = pipeline.zoho_for(export).bulk_read.get_job(export.api_version, job_id)
    except ZohoNotFound:
        pass
    except ZohoResponseInvalid as error:
        if not attempt.is_last(error):
            raise
    if job is None or not is_job_for(job, job_request(export, part), not_before=export.requested_at):
        logger.warning(
            "callback names another job", export_id=export.export_id, part=part.part, job_id=job_id
        )
        pipeline.table.forget_hint(part, pipeline.clock())
        return False
    return pipeline.table.mark_submitted(part, job_id, pipeline.clock()) or True


def _check_job(pipeline: Pipeline, attempt: Attempt) -> Left:
    """SUBMITTED → READY if Zoho says COMPLETED; back to PENDING if the job failed."""
    export, part = attempt.export, attempt.part
    try:
        job = pipeline.zoho_for(export).bulk_read.get_job(export.api_version, str(part.job_id))
    except (ZohoNotFound, ZohoResponseInvalid) as error:
        # A new job may not be visible yet; after several attempts it is gone, or its details stay useless.
        if _is_last_job(part) and isinstance(error, ZohoNotFound):
            _raise_if_young(pipeline, part.submitted_at, error)
        if not attempt.is_last(error) or _is_last_job(part):
            raise
        return _replace_job(pipeline, export, part, f"job has no details ({error.code})")
    check_is_job_for(job, job_request(export, part))
    if job.has_failed:
        return _leave_failed_job(pipeline, export, part, job)
    if job.state != COMPLETED:
        return _replace_overdue_job(pipeline, export, part, job)
    if job.more_records:
        _check_paging(pipeline, export, part, job)
    return pipeline.table.mark_ready(export, part, job, pipeline.clock()) or True


def _leave_failed_job(pipeline: Pipeline, export: Export, part: Part, job: Job) -> bool:
    """Go on without a job that failed: as after the same refusal of "create job", or with another job."""
    error = job.failure()
    if isinstance(error, ZohoPageTokenExpired):
        restart_export(pipeline, export, error)
        return True
    if isinstance(error, ZohoModuleNotSupported) and part.part == export.first_part:
        read_instead(pipeline, export, error)
        return pipeline.table.mark_pending_again(part, pipeline.clock(), pipeline.clock())
    if job.failed_for_good or _is_last_job(part):
        raise error
    return _replace_job(pipeline, export, part, f"job ended in {job.state}")


def _is_last_job(part: Part) -> bool:
    return len(part.failed_job_ids) + 1 >= _MAX_JOBS


def _raise_if_young(pipeline: Pipeline, since: datetime | None, error: ZohoNotFound) -> None:
    """Raise ZohoUnavailable, which is always retried, if what is not found is less than an hour old."""
    if since is not None and pipeline.clock() - since < _NOT_YET:
        raise ZohoUnavailable(
            f"{error.message} It may still appear until {timestamp(since + _NOT_YET)}.",
            zoho_code=error.zoho_code,
            http_status=error.http_status,
        ) from error


def _replace_overdue_job(pipeline: Pipeline, export: Export, part: Part, job: Job) -> bool:
    """Replace a job that Zoho does not finish; if it finishes later, its result is ignored."""
    allowed = pipeline.limits.job_deadline
    if part.submitted_at is None or part.submitted_at > pipeline.clock() - allowed:
        return False
    if _is_last_job(part):
        raise JobOverdue(
            f"Zoho has not finished job {job.job_id} ({job.state}), created {timestamp(part.submitted_at)}, "
            f"within {allowed}; the job replaced {len(part.failed_job_ids)} earlier ones."
        )
    return _replace_job(pipeline, export, part, "job is overdue")


def _replace_job(pipeline: Pipeline, export: Export, part: Part, why: str) -> bool:
    logger.warning(f"{why}, creating another", export_id=part.export_id, part=part.part, job_id=part.job_id)
    pause_ends = pipeline.after(_RESUBMIT_DELAY - 1)
    pipeline.table.mark_pending_again(part, pipeline.clock(), pause_ends)
    pipeline.enqueue_new(export, part.part, delay=_RESUBMIT_DELAY)
    return True


def _check_paging(pipeline: Pipeline, export: Export, part: Part, job: Job) -> None:
    """Raise PagingBroken unless the job says where the following records are, and no part has read them."""
    if has_page_token(export.api_version) and not job.next_page_token:
        raise PagingBroken(f"Zoho says job {job.job_id} has more records, but returned no next_page_token.")
    if not job.count:
        raise PagingBroken(f"Zoho says job {job.job_id} has more records, but the job is empty.")
    if not job.next_page_token:
        return
    # A later part has this token if another worker did this step meanwhile.
    for read in pipeline.table.get_parts(export):
        if read.part <= part.part and read.page_token == job.next_page_token:
            raise PagingBroken(
                f"Zoho says job {job.job_id} has more records, but names the page token with which part "
                f"{read.part} began."
            )


def _store_result(pipeline: Pipeline, attempt: Attempt) -> Left:
    """READY → STORED. The next part is submitted first, so that Zoho prepares it in the meantime."""
    export, part = attempt.export, attempt.part
    if part.more_records and not submit_following(pipeline, export, part):
        return False
    _take_download(pipeline, export)
    try:
        stored = _download(pipeline, attempt)
    except ZohoNotFound as error:
        _raise_if_young(pipeline, part.ready_at, error)
        if not attempt.is_last(error):
            raise
        # Zoho keeps results for one day. Later parts are of the same snapshot, so restart the whole export.
        restart_export(pipeline, export, error)
        return True
    except ObjectConflict as error:
        restart_export(pipeline, export, error)
        return True
    left = pipeline.table.mark_stored(part, stored, pipeline.clock())
    count("RecordsStored", stored.records)
    count_bytes("BytesStored", stored.bytes)
    logger.info("part stored", export_id=export.export_id, part=part.part, records=stored.records)
    return left or True


def _download(pipeline: Pipeline, attempt: Attempt) -> Stored:
    """Stream the result of a part's job into its object. Raises ResultTooSlow, and as `store_result` does."""
    export, part = attempt.export, attempt.part
    received, began = 0, pipeline.clock()

    def leased(chunks: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal received
        for chunk in chunks:
            attempt.keep()
            received += len(chunk)
            yield chunk

    bulk_read = pipeline.zoho_for(export).bulk_read
    try:
        with bulk_read.open_result(export.api_version, str(part.job_id)) as chunks:
            return pipeline.results.store_result(
                leased(chunks),
                export.part_key(part.part),
                file_format=export.file_format,
                expected_records=int(part.expected_records or 0),
                job_id=str(part.job_id),
                confirm=attempt.confirm,
                index=export.sync is not None,
            )
    except ZohoTooSlow as error:
        if received < _LARGE_BYTES:
            raise
        seconds = (pipeline.clock() - began).total_seconds()
        raise ResultTooSlow(
            f"The result of job {part.job_id} is too large for the speed at which Zoho sends it: {received} "
            f"bytes arrived in {seconds:.0f} seconds, the time that one function has."
        ) from error


def _take_download(pipeline: Pipeline, export: Export) -> None:
    wait = pipeline.budget.take(export.account_id, pipeline.clock())
    if wait:
        count("DownloadsPostponed")
        raise DownloadsSpent(
            f"Account {export.account_id} has used its downloads for this minute.", retry_after=wait
        )
