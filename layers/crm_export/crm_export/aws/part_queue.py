"""The submit queue and the download queue. A message is {"export_id", "part"}; the rest is in the table.

Only the message of a callback also has {"callback": {"job_id"}}: its sender does not use the table.

Its MessageGroupId, which names the account, makes the standard queues fair: the messages of an account that
keeps the consumers busy wait while another account's can be delivered.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from crm_export.errors import ExportError, QueueUnavailable
from crm_export.exports.attempt import retry_delay
from crm_export.exports.model import LARGEST_PART, is_export_id
from crm_export.exports.pipeline import Callback, PartQueue
from crm_export.outages import outages_as
from crm_export.telemetry import logger, noting

_NOT_OURS_DELAY, _LONGEST_DELAY = 15, 900  # seconds
_MOST_RECEIVES = 8  # of the ten after which the queue gives up on a message

_outages = partial(outages_as, QueueUnavailable, "SQS")


class SqsPartQueue(PartQueue):
    """A queue in SQS. Its methods raise QueueUnavailable while SQS fails, throttles or cannot be reached."""

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def send(
        self, export_id: str, part: int, *, group: str, delay: int = 0, callback: Callback | None = None
    ) -> None:
        message: dict[str, Any] = {"export_id": export_id, "part": part}
        if callback is not None:
            message["callback"] = {"job_id": callback.job_id}
        with _outages():
            self._client.send_message(
                QueueUrl=self._url,
                MessageBody=json.dumps(message),
                MessageGroupId=group,
                DelaySeconds=min(delay, _LONGEST_DELAY),
            )

    def postpone(self, receipt_handle: str, seconds: int) -> None:
        with _outages():
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds
            )


def consume(event: dict[str, Any], queue: PartQueue, handle: Callable[..., None]) -> dict[str, Any]:
    """Handle each message of an SQS event of `queue`; return the batch item failures.

    Calls handle(export_id, part), and handle(export_id, part, callback) for a message of a callback.

    A retryable error makes its message arrive again later. Any other ExportError is terminal, and `handle`
    has recorded it in the export. Unknown exceptions are not caught: they must reach Lambda's error metric,
    and the queue delivers the messages again.
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    failed = [record["messageId"] for record in event["Records"] if not _process(record, queue, handle)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _process(record: dict[str, Any], queue: PartQueue, handle: Callable[..., None]) -> bool:
    """Handle a message. Return False if the queue has to deliver it again."""
    message = _parse(record["body"])
    if message is None:
        # It goes to the dead-letter queue, whose alarm makes someone look at it.
        logger.error("not a message of this stack", message_id=record["messageId"])
        with _tolerating_outages(record):
            queue.postpone(record["receiptHandle"], _NOT_OURS_DELAY)
        return False
    callback = _callback(record, message)
    with noting(export_id=message["export_id"], part=message["part"]):
        try:
            handle(message["export_id"], message["part"], *([callback] if callback else []))
        except ExportError as error:
            if error.retryable:
                return _postpone(record, message, queue, error)
            logger.error("part ended", code=error.code, reason=error.message)
        return True


def _postpone(record: dict[str, Any], message: dict[str, Any], queue: PartQueue, error: ExportError) -> bool:
    """Postpone a message and return False; after eight receives, send a fresh copy and return True.

    So waiting never reaches the dead-letter limit.
    """
    receives = int(record["attributes"]["ApproximateReceiveCount"])
    delay = retry_delay(error, receives)
    code = getattr(error.__cause__, "code", error.code)
    logger.warning("part postponed", code=code, reason=error.message, delay=delay)
    with _tolerating_outages(record):
        if receives >= _MOST_RECEIVES:
            # A message sent before there were groups has none.
            group = record["attributes"].get("MessageGroupId", message["export_id"])
            queue.send(message["export_id"], message["part"], group=group, delay=delay)
            return True
        queue.postpone(record["receiptHandle"], delay)
    return False


@contextmanager
def _tolerating_outages(record: dict[str, Any]) -> Iterator[None]:
    """Leave a message that cannot be postponed: it arrives again when its visibility timeout is over."""
    try:
        yield
    except QueueUnavailable as error:
        logger.warning("message not postponed", message_id=record["messageId"], reason=error.message)


def _parse(body: str) -> dict[str, Any] | None:
    """Return the body's object, or None if it is not a message of this stack."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not is_export_id(message.get("export_id")):
        return None
    part = message.get("part")
    usable = isinstance(part, int) and not isinstance(part, bool) and 1 <= part <= LARGEST_PART
    return message if usable else None


def _callback(record: dict[str, Any], message: dict[str, Any]) -> Callback | None:
    """Return the callback that a message carries. A message that was sent without it has none."""
    carried = message.get("callback")
    if not isinstance(carried, dict):
        return None
    is_new = record["attributes"]["ApproximateReceiveCount"] == "1"
    return Callback(carried.get("job_id"), is_new)
