"""Takes a callback of Zoho: a hint that a job is done. Called by functions/callback_receiver."""

import json

from crm_export.errors import InvalidRequest
from crm_export.exports.ports import ExportStore, PartQueue
from crm_export.observability import logger
from crm_export.zoho.bulk_read import callback_job_id


def receive_callback(
    store: ExportStore, download_queue: PartQueue, export_id: str, part: int, body: bytes
) -> None:
    """Queue the part, to be read from Zoho; nothing else of the body is believed.

    The signature is the caller's business and comes first. Raises InvalidRequest for a body that
    names no job; the part is queued all the same, as the signed URL says which it is.
    """
    job_id = _job_id(body)
    if job_id:
        store.note_job(export_id, part, job_id)
    download_queue.send(export_id, part)
    logger.info("callback received", export_id=export_id, part=part, job_id=job_id)
    if not job_id:
        raise InvalidRequest(
            "The body of the callback is not a Bulk Read job: it must be JSON with data[0].id or job_id."
        )


def _job_id(body: bytes) -> str | None:
    try:
        return callback_job_id(json.loads(body))
    except (ValueError, RecursionError):
        return None
