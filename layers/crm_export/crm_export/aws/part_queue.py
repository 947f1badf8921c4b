"""The submit queue and the download queue. A message is {"export_id", "part"}; the rest is in the table.

Only the message of a callback also has {"callback": {"job_id"}}: its sender does not use the table. On the
submit queue there are also messages {"sync": {"account_id", "module"}} about syncs that are due.

Its MessageGroupId, which names the account, makes the standard queues fair: the messages of an account that
keeps the consumers busy wait while another account's can be delivered.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from crm_export.errors import ExportError, QueueUnavailable
from crm_export.exports.attempt import retry_delay
from crm_export.exports.model import LARGEST_PART, group_of, is_export_id
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

    def send_sync(self, account_id: str, module: str, *, delay: int = 0) -> None:
        with _outages():
            self._client.send_message(
                QueueUrl=self._url,
                MessageBody=json.dumps({"sync": {"account_id": account_id, "module": module}}),
                MessageGroupId=group_of(account_id),
                DelaySeconds=min(delay, _LONGEST_DELAY),
            )

    def postpone(self, receipt_handle: str, seconds: int) -> None:
        with _outages():
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds
            )


type HandlePart = Callable[..., None]  # (export_id, part), and `callback` for a message of a callback
type HandleSync = Callable[[str, str], None]  # (account_id, module)


@dataclass(frozen=True)
class _Message:
    """A received message. names: for its log lines. send_again: sends a fresh copy after a delay."""

    record: dict[str, Any]
    names: dict[str, Any]
    handle: Callable[[], None]
    send_again: Callable[[int], None]


def consume(
    event: dict[str, Any], queue: PartQueue, handle: HandlePart, handle_sync: HandleSync | None = None
) -> dict[str, Any]:
    """Handle each message of an SQS event of `queue`; return the batch item failures.

    A retryable error makes its message arrive again later. Any other ExportError is terminal, and `handle`
    has recorded it in the export. Unknown exceptions are not caught: they must reach Lambda's error metric,
    and the queue delivers the messages again.
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    failed = []
    for record in event["Records"]:
        body = _json(record["body"])
        message = _of_part(record, body, queue, handle)
        if message is None and handle_sync is not None:
            message = _of_sync(record, body, queue, handle_sync)
        if not (_process(message, queue) if message else _refuse(record, queue)):
            failed.append(record["messageId"])
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _refuse(record: dict[str, Any], queue: PartQueue) -> bool:
    """Let the message go to the dead-letter queue, whose alarm makes someone look at it."""
    logger.error("not a message of this stack", message_id=record["messageId"])
    with _tolerating_outages(record):
        queue.postpone(record["receiptHandle"], _NOT_OURS_DELAY)
    return False


def _process(message: _Message, queue: PartQueue) -> bool:
    """Handle a message. Return False if the queue has to deliver it again."""
    with noting(**message.names):
        try:
            message.handle()
        except ExportError as error:
            if error.retryable:
                return _postpone(message, queue, error)
            logger.error("part ended", code=error.code, reason=error.message)
        return True


def _postpone(message: _Message, queue: PartQueue, error: ExportError) -> bool:
    """Postpone a message and return False; after eight receives, send a fresh copy and return True.

    So waiting never reaches the dead-letter limit.
    """
    record = message.record
    receives = int(record["attributes"]["ApproximateReceiveCount"])
    delay = retry_delay(error, receives)
    code = getattr(error.__cause__, "code", error.code)
    logger.warning("message postponed", code=code, reason=error.message, delay=delay)
    with _tolerating_outages(record):
        if receives >= _MOST_RECEIVES:
            message.send_again(delay)
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


def _json(body: str) -> dict[str, Any]:
    """Return the body's object, or an empty one if it has none."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _of_part(
    record: dict[str, Any], body: dict[str, Any], queue: PartQueue, handle: HandlePart
) -> _Message | None:
    """Return the message of a body {"export_id", "part"}; None for any other body."""
    export_id, part = body.get("export_id"), body.get("part")
    is_number = isinstance(part, int) and not isinstance(part, bool) and 1 <= part <= LARGEST_PART
    if not is_export_id(export_id) or not is_number:
        return None
    target = (str(export_id), int(part or 0))
    # A message sent before there were groups has none.
    group = record["attributes"].get("MessageGroupId", target[0])
    callback = _callback(record, body)
    return _Message(
        record,
        {"export_id": export_id, "part": part},
        partial(handle, *target, *([callback] if callback else [])),
        lambda delay: queue.send(*target, group=group, delay=delay),
    )


def _of_sync(
    record: dict[str, Any], body: dict[str, Any], queue: PartQueue, handle: HandleSync
) -> _Message | None:
    """Return the message of a body {"sync": {"account_id", "module"}}; None for any other body."""
    sync = body.get("sync")
    names = (sync.get("account_id"), sync.get("module")) if isinstance(sync, dict) else ()
    if not names or not all(isinstance(name, str) for name in names):
        return None
    account_id, module = map(str, names)
    return _Message(
        record,
        {"account_id": account_id, "zoho_module": module},
        partial(handle, account_id, module),
        lambda delay: queue.send_sync(account_id, module, delay=delay),
    )


def _callback(record: dict[str, Any], message: dict[str, Any]) -> Callback | None:
    """Return the callback that a message carries. A message that was sent without it has none."""
    carried = message.get("callback")
    if not isinstance(carried, dict):
        return None
    is_new = record["attributes"]["ApproximateReceiveCount"] == "1"
    return Callback(carried.get("job_id"), is_new)
