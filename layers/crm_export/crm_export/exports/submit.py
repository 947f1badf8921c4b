"""Creates the Bulk Read job of a PENDING part. Called by functions/bulk_read_submitter."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from crm_export.exports.failing import claim_part, settling
from crm_export.exports.model import Export, ExportState, Part, PartState
from crm_export.exports.ports import BulkReadApi, Clock, ExportStore, PartQueue, at
from crm_export.observability import count, logger
from crm_export.zoho.bulk_read import JobRequest

_LEASE_SECONDS = 60  # more than the function's timeout


@dataclass(frozen=True)
class SubmitServices:
    """What submitting needs. bulk_read(account_id, owner) gives Zoho in a connection's name."""

    store: ExportStore
    download_queue: PartQueue
    bulk_read: Callable[[str, str], BulkReadApi]
    callback_url: Callable[[Export, int], str]
    clock: Clock


def submit_part(services: SubmitServices, export_id: str, part_number: int) -> None:
    """PENDING → SUBMITTED. Any other state, or a submit under way, is left as it is.

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
    if part.hinted_job_id:
        # Zoho has called back for a job whose creation we never saw the answer of.
        services.download_queue.send(export_id, part_number)
        return
    owner = uuid.uuid4().hex
    if not claim_part(store, services.clock, export, part, owner=owner, seconds=_LEASE_SECONDS):
        return
    with settling(store, services.clock, export, part, owner):
        job_id = _create_job(services, export, part)
    if not store.mark_submitted(part, job_id, at(services.clock)):
        # Its callback was faster than its answer, or another attempt was: that job is the part's.
        logger.info("part has moved on", export_id=export_id, part=part_number, job_id=job_id)


def _create_job(services: SubmitServices, export: Export, part: Part) -> str:
    request = JobRequest(
        module=export.module,
        query=export.query,
        file_type=export.file_type,
        page=part.part,
        page_token=part.page_token,
        callback_url=services.callback_url(export, part.part),
    )
    job_id = services.bulk_read(export.account_id, export.owner).create_job(export.api_version, request)
    count("JobsSubmitted")
    logger.info("job created", export_id=export.export_id, part=part.part, job_id=job_id)
    return job_id
