"""The submit and the download queue. A message is {"export_id", "part"}; all else is in the table."""

import json
from collections.abc import Callable
from typing import Any

from crm_export.errors import ExportError
from crm_export.exports.model import LARGEST_PART, is_export_id
from crm_export.telemetry import logger

_FIRST_DELAY = 15
_LONGEST_DELAY = 900
_MOST_RECEIVED = 8  # of the ten after which the queue gives a message up


class SqsPartQueue:
    """PartQueue (ports) over SQS."""

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, export_id: str, part: int, *, delay: int = 0) -> None:
        """See PartQueue."""
        body = json.dumps({"export_id": export_id, "part": part})
        self._client.send_message(
            QueueUrl=self._url, MessageBody=body, DelaySeconds=min(delay, _LONGEST_DELAY)
        )

    def postpone(self, receipt_handle: str, seconds: int) -> None:
        """Let a message come again after so many seconds."""
        self._client.change_message_visibility(
            QueueUrl=self._url, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds
        )


def retry_delay(error: ExportError, attempt: int) -> int:
    """Seconds to wait before attempt + 1: what the error says, else 15, 30, 60 ... up to 900."""
    return min(error.retry_after or _FIRST_DELAY * 2 ** min(attempt - 1, 6), _LONGEST_DELAY)


def consume(event: dict[str, Any], queue: SqsPartQueue, handle: Callable[[str, int], None]) -> dict[str, Any]:
    """Handle each message of an SQS event; return the batch item failures.

    A retryable error sends its message back for later; a message that came often by a new one, so that
    waiting never makes a dead letter. Any other ExportError is final: `handle` has
    recorded it in the export. Unknown exceptions are not caught: they must reach Lambda's error metric,
    and the queue brings the messages again.
    """
    failures = []
    for record in event["Records"]:
        message = _read(record["body"])
        if message is None:
            # Not ours: the dead-letter queue, and its alarm, are where somebody sees it.
            logger.error("not a message of this stack", message_id=record["messageId"])
            queue.postpone(record["receiptHandle"], _FIRST_DELAY)
            failures.append({"itemIdentifier": record["messageId"]})
            continue
        try:
            handle(message["export_id"], message["part"])
        except ExportError as error:
            if not error.retryable:
                logger.error("part ended", code=error.code, reason=error.message, **message)
                continue
            received = int(record["attributes"]["ApproximateReceiveCount"])
            delay = retry_delay(error, received)
            logger.warning("part postponed", code=error.code, reason=error.message, delay=delay, **message)
            if received >= _MOST_RECEIVED:
                queue.send(message["export_id"], message["part"], delay=delay)
                continue
            queue.postpone(record["receiptHandle"], delay)
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def _read(body: str) -> dict[str, Any] | None:
    """{"export_id", "part"}, or None for what is no such message."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not is_export_id(message.get("export_id")):
        return None
    part = message.get("part")
    usable = isinstance(part, int) and not isinstance(part, bool) and 1 <= part <= LARGEST_PART
    return {"export_id": message["export_id"], "part": part} if usable else None
