"""The parquet queue: a message is EventBridge's event "Object Created" of an export's manifest, unchanged.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

import json
from collections.abc import Callable
from typing import Any

from crm_export.errors import ExportError, QueueUnavailable
from crm_export.exports.attempt import retry_delay
from crm_export.exports.pipeline import PartQueue
from crm_export.lake.place import Place
from crm_export.telemetry import logger, noting


def consume_manifests(
    event: dict[str, Any], queue: PartQueue, handle: Callable[[Place], None]
) -> dict[str, Any]:
    """Handle each message of an SQS event of `queue`; return the batch item failures.

    A message that fails arrives again, later and later, and after ten times it is in the dead-letter queue,
    whose alarm makes someone look at it. The export itself has ended and is never affected.
    """
    failed = [record["messageId"] for record in event["Records"] if not _process(record, queue, handle)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _process(record: dict[str, Any], queue: PartQueue, handle: Callable[[Place], None]) -> bool:
    place = place_of(record["body"])
    if place is None:
        logger.error("not an event of a manifest", message_id=record["messageId"])
        return False
    with noting(export_id=place.export_id):
        try:
            handle(place)
        except ExportError as error:
            _postpone(record, queue, error)
            return False
    return True


def _postpone(record: dict[str, Any], queue: PartQueue, error: ExportError) -> None:
    delay = retry_delay(error, int(record["attributes"]["ApproximateReceiveCount"]))
    logger.warning("Parquet postponed", code=error.code, reason=error.message, delay=delay)
    try:
        queue.postpone(record["receiptHandle"], delay)
    except QueueUnavailable as unavailable:  # it arrives again when its visibility timeout is over
        logger.warning("message not postponed", message_id=record["messageId"], reason=unavailable.message)


def place_of(body: str) -> Place | None:
    """Return the place of the export whose manifest an event is about, or None if it is another event."""
    try:
        key = json.loads(body)["detail"]["object"]["key"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return Place.of(key) if isinstance(key, str) else None
