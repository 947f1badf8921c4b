"""Takes a part from a finished job to an object in S3. Called by functions/result_downloader."""

import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial

from crm_export.errors import DownloadsSpent, JobOverdue, PagingBroken, ZohoNotFound
from crm_export.exports.attempt import (
    LEASE_SECONDS,
    attempt_number,
    busy,
    claim_part,
    is_last_attempt,
    keep_lease,
    restart_export,
    settling,
    while_leased,
)
from crm_export.exports.complete import complete_export
from crm_export.exports.model import Export, ExportState, Part, PartState
from crm_export.exports.pipeline import (
    BulkReadApi,
    Clock,
    DownloadBudget,
    ExportStore,
    PartQueue,
    RecordsApi,
    ResultStore,
    at,
)
from crm_export.exports.records import ReadServices, read_part
from crm_export.exports.submit import job_request
from crm_export.telemetry import count, count_bytes, logger
from crm_export.zoho.bulk_read import COMPLETED, FAILURE, Job, is_job_for
from crm_export.zoho.catalog import has_page_token

_MAX_JOBS = 3
_RESUBMIT_DELAY = 30


@dataclass(frozen=True)
class DownloadServices:
    """What downloading needs. bulk_read and records(account_id, owner) give Zoho in a connection's name."""

    store: ExportStore
    submit_queue: PartQueue
    download_queue: PartQueue
    bulk_read: Callable[[str, str], BulkReadApi]
    records: Callable[[str, str], RecordsApi]
    results: ResultStore
    budget: DownloadBudget
    clock: Clock
    job_deadline: timedelta


def advance_part(services: DownloadServices, export_id: str, part_number: int) -> None:
    """Take a part as far as it goes now: read its state, do the next step, and again.

    Raises what stopped it, after it was recorded: a retryable ExportError leaves the part where it was,
    a final one has failed the export.
    """
    owner = uuid.uuid4().hex
    while True:
        export, part = services.store.get(export_id), services.store.get_part(export_id, part_number)
        if export is None or part is None:
            logger.warning("no such part to download", export_id=export_id, part=part_number)
            return
        if export.state is not ExportState.RUNNING or part.part < export.first_part:
            return
        if not _has_next_step(export, part):
            return
        if part.state is PartState.STORED:
            complete_export(services.store, services.results, services.clock, export)
            return
        if not _step_under_lease(services, export, part, owner):
            return


def _has_next_step(export: Export, part: Part) -> bool:
    if part.state is PartState.PENDING:
        return export.is_readable or part.hinted_job_id is not None
    return part.state is not PartState.FAILED


def _step_under_lease(services: DownloadServices, export: Export, part: Part, owner: str) -> bool:
    """Do one step with the part leased; tell whether there may be another."""
    store, clock = services.store, services.clock
    if not claim_part(store, clock, export, part, owner=owner, seconds=LEASE_SECONDS):
        reason = busy(store, clock, part)
        # A part being stored takes long; should that fail, its own message comes again.
        if reason is None or part.state is PartState.READY or export.is_readable:
            return False
        raise reason
    steps: dict[PartState, Callable[[DownloadServices, Export, Part], bool]] = {
        PartState.PENDING: partial(_read_part, owner=owner) if export.is_readable else _adopt_job,
        PartState.SUBMITTED: _check_job,
        PartState.READY: partial(_store_result, owner=owner),
    }
    with settling(store, clock, export, part, owner):
        moved = steps[part.state](services, export, part)
    if not moved:
        store.release(part, owner, at(clock))
    return moved


def _adopt_job(services: DownloadServices, export: Export, part: Part) -> bool:
    """PENDING → SUBMITTED with the job a callback named, if Zoho knows it as ours."""
    job_id = str(part.hinted_job_id)
    try:
        job = services.bulk_read(export.account_id, export.owner).get_job(export.api_version, job_id)
    except ZohoNotFound:
        job = None
    if job is None or not _is_ours(job, export, part):
        logger.warning(
            "callback names another job", export_id=export.export_id, part=part.part, job_id=job_id
        )
        services.store.forget_hint(part, at(services.clock))
        return False
    services.store.mark_submitted(part, job_id, at(services.clock))
    return True


def _is_ours(job: Job, export: Export, part: Part) -> bool:
    """Whether it is the job that was to be made for the part: a callback may name any."""
    return is_job_for(job, job_request(export, part, ""), not_before=export.requested_at)


def _read_part(services: DownloadServices, export: Export, part: Part, owner: str) -> bool:
    """PENDING → STORED, without a job."""
    reading = ReadServices(
        store=services.store,
        download_queue=services.download_queue,
        records=services.records,
        results=services.results,
        clock=services.clock,
    )
    read_part(reading, export, part, owner, keep_lease(services.store, services.clock, part, owner))
    return True


def _check_job(services: DownloadServices, export: Export, part: Part) -> bool:
    """SUBMITTED → READY when Zoho says COMPLETED; back to PENDING when the job FAILED."""
    store, job_id = services.store, str(part.job_id)
    try:
        job = services.bulk_read(export.account_id, export.owner).get_job(export.api_version, job_id)
    except ZohoNotFound as error:
        # Zoho may know a moment later what it did not know now; after that it is gone.
        if not is_last_attempt(error, part) or len(part.failed_job_ids) + 1 >= _MAX_JOBS:
            raise
        return _make_another_job(services, part, "job is gone")
    if job.state == FAILURE:
        if job.failed_for_good or len(part.failed_job_ids) + 1 >= _MAX_JOBS:
            job.raise_failure()
        return _make_another_job(services, part, "job failed")
    if job.state != COMPLETED:
        return _give_up_overdue(services, part, job)
    if job.more_records:
        _check_paging(export, part, job)
    store.mark_ready(part, job, at(services.clock))
    return True


def _give_up_overdue(services: DownloadServices, part: Part, job: Job) -> bool:
    """A job that Zoho does not finish is made anew; should it end after all, nobody asks for it any more."""
    overdue = at(services.clock, seconds=-services.job_deadline.total_seconds())
    if part.submitted_at is None or part.submitted_at > overdue:
        return False
    if len(part.failed_job_ids) + 1 >= _MAX_JOBS:
        raise JobOverdue(
            f"Zoho has not finished job {job.job_id} ({job.state}) since {part.submitted_at}, nor "
            f"{len(part.failed_job_ids)} before it; allowed are {services.job_deadline} for each."
        )
    return _make_another_job(services, part, "job is overdue")


def _make_another_job(services: DownloadServices, part: Part, why: str) -> bool:
    logger.warning(f"{why}, making another", export_id=part.export_id, part=part.part, job_id=part.job_id)
    pause_ends = at(services.clock, seconds=_RESUBMIT_DELAY - 1)
    services.store.mark_pending_again(part, at(services.clock), pause_ends)
    services.submit_queue.send(part.export_id, part.part, delay=_RESUBMIT_DELAY)
    return True


def _check_paging(export: Export, part: Part, job: Job) -> None:
    """More records must be somewhere else than here."""
    if has_page_token(export.api_version) and not job.next_page_token:
        raise PagingBroken(f"Zoho says job {job.job_id} has more records, but gave no next_page_token.")
    if not job.count or (job.next_page_token and job.next_page_token == part.page_token):
        raise PagingBroken(f"Zoho says job {job.job_id} has more records, but the paging leads nowhere.")


def _store_result(services: DownloadServices, export: Export, part: Part, owner: str) -> bool:
    """READY → STORED. The next part goes first, so that Zoho prepares it meanwhile."""
    if part.more_records:
        services.submit_queue.send(export.export_id, part.part + 1)
    wait = services.budget.take(export.account_id, services.clock())
    if wait:
        count("DownloadsPostponed")
        raise DownloadsSpent(
            f"All downloads that account {export.account_id} has now are begun.", retry_after=wait
        )
    # Zoho may zip the same records another way each time. CSV stays the same, gzip does not.
    key = export.part_key(part.part, attempt_number(part) if export.file_format == "csv.gz" else 1)
    bulk_read = services.bulk_read(export.account_id, export.owner)
    try:
        with bulk_read.open_result(export.api_version, str(part.job_id)) as chunks:
            stored = services.results.store_result(
                while_leased(keep_lease(services.store, services.clock, part, owner), chunks),
                key,
                file_format=export.file_format,
                expected_records=int(part.expected_records or 0),
                job_id=str(part.job_id),
            )
    except ZohoNotFound as error:
        if not is_last_attempt(error, part):
            raise
        # Kept for a day only. The parts after it go on from its job: all are asked for again.
        first = restart_export(services.store, services.clock, export, error)
        if first is not None:
            services.submit_queue.send(export.export_id, first)
        return True
    services.store.mark_stored(part, asdict(stored), at(services.clock))
    count("RecordsStored", stored.records)
    count_bytes("BytesStored", stored.bytes)
    logger.info("part stored", export_id=export.export_id, part=part.part, records=stored.records)
    return True
