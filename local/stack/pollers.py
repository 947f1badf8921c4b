"""Event source mappings: queues are polled, their messages worked on by functions, successes deleted."""

import json
from collections.abc import Callable, Mapping, Sequence
from threading import Event, Semaphore, Thread
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.stack.aws import LocalAws
from local.stack.errors import LocalStackError
from local.stack.functions import QueueMapping
from local.stack.invocation import Outcome

# A new message ends a poll at once; one whose delay or visibility runs out waits for the next poll.
_POLL_SECONDS = 1


class Poller:
    """Feeds one function from one queue."""

    def __init__(self, mapping: QueueMapping, aws: LocalAws, invoke: Callable[[str, bytes], Outcome]) -> None:
        """Prepare; `start` begins."""
        self._mapping, self._aws, self._invoke = mapping, aws, invoke
        self._sqs = aws.client("sqs", read_timeout=30, max_pool_connections=mapping.concurrency + 2)
        name = mapping.queue_arn.rpartition(":")[2]
        self._url = self._sqs.get_queue_url(QueueName=name)["QueueUrl"]
        self._slots = Semaphore(mapping.concurrency)
        self._stopped = Event()

    def start(self) -> None:
        """Poll from now on, in a thread of its own."""
        if self._mapping.enabled:
            Thread(target=self._poll, name=f"poll-{self._mapping.function}", daemon=True).start()

    def stop(self) -> None:
        """Take no more messages; those being worked on stay with their function."""
        self._stopped.set()

    def _poll(self) -> None:
        while not self._stopped.is_set():
            # A message is taken only when there is somebody to work on it: its visibility runs from here on.
            self._slots.acquire()
            messages = self._receive()
            if messages and not self._stopped.is_set():
                Thread(target=self._work, args=(messages,), daemon=True).start()
            else:
                self._slots.release()

    def _receive(self) -> list[dict[str, Any]]:
        try:
            answer = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(self._mapping.batch_size, 10),
                WaitTimeSeconds=_POLL_SECONDS,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
        except (BotoCoreError, ClientError):
            self._stopped.wait(_POLL_SECONDS)
            return []
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    def _work(self, messages: Sequence[dict[str, Any]]) -> None:
        try:
            event = build_event(messages, self._mapping.queue_arn, self._aws.region)
            outcome = self._invoke(self._mapping.function, json.dumps(event).encode())
            failed = failed_messages(outcome, messages, self._mapping.reports_item_failures)
            self._delete([message for message in messages if message["MessageId"] not in failed])
        except (LocalStackError, BotoCoreError, ClientError):
            pass  # the stack is being stopped; the message would come again
        finally:
            self._slots.release()

    def _delete(self, messages: Sequence[dict[str, Any]]) -> None:
        handles = [message["ReceiptHandle"] for message in messages]
        entries = [{"Id": str(index), "ReceiptHandle": handle} for index, handle in enumerate(handles)]
        if entries:
            self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)


def build_event(messages: Sequence[Mapping[str, Any]], queue_arn: str, region: str) -> dict[str, Any]:
    """Return the event of a batch of messages.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
    """
    return {"Records": [_record(message, queue_arn, region) for message in messages]}


def _record(message: Mapping[str, Any], queue_arn: str, region: str) -> dict[str, Any]:
    attributes = message.get("MessageAttributes", {})
    record = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": dict(message.get("Attributes", {})),
        "messageAttributes": {name: _attribute(value) for name, value in attributes.items()},
        "md5OfBody": message.get("MD5OfBody", ""),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": region,
    }
    if "MD5OfMessageAttributes" in message:
        record["md5OfMessageAttributes"] = message["MD5OfMessageAttributes"]
    return record


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    attribute: dict[str, Any] = {
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": value["DataType"],
    }
    if "StringValue" in value:
        attribute["stringValue"] = value["StringValue"]
    return attribute


def failed_messages(outcome: Outcome, messages: Sequence[Mapping[str, Any]], reports_items: bool) -> set[str]:
    """Return the ids of the messages that come again: all, none, or those the function reports.

    As Lambda has it, a report that cannot be read, or names a message that was not in the batch, fails all.
    """
    everything = {str(message["MessageId"]) for message in messages}
    if outcome.failed:
        return everything
    if not reports_items:
        return set()
    try:
        answer = json.loads(outcome.payload)
    except ValueError:
        return everything
    if answer is None or answer == {}:
        return set()
    try:
        failures = {failure["itemIdentifier"] for failure in answer["batchItemFailures"] or []}
    except (TypeError, KeyError):
        return everything
    return failures if failures <= everything else everything
