"""Event source mappings: polls queues, invokes functions with the messages, and deletes what succeeded."""

import json
import sys
from collections.abc import Mapping, Sequence
from threading import Event, Semaphore, Thread
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from local.cloudformation.resources import QueueMapping
from local.host.aws import REGION, LocalAws
from local.host.processes import LocalStackError
from local.runtime.recursion import RecursiveLoopError
from local.runtime.runtime_api import Outcome

# A new message ends a poll at once. A message whose delay or visibility timeout ends waits for the next poll.
_POLL_SECONDS = 1


class Invoke(Protocol):
    """Invokes a function by name, with an event and the trace headers of its messages."""

    def __call__(self, name: str, event: bytes, headers: Sequence[str] = ()) -> Outcome:
        """Return the outcome. Raises LocalStackError and RecursiveLoopError."""


class Poller:
    """Feeds one function from one queue."""

    def __init__(self, mapping: QueueMapping, aws: LocalAws, invoke: Invoke) -> None:
        self._mapping, self._invoke = mapping, invoke
        self._sqs = aws.client("sqs", read_timeout=30, max_pool_connections=mapping.concurrency + 2)
        name = mapping.queue_arn.rpartition(":")[2]
        self._url = self._sqs.get_queue_url(QueueName=name)["QueueUrl"]
        self._slots = Semaphore(mapping.concurrency)
        self._stopped = Event()

    def start(self) -> None:
        """Start polling in a background thread."""
        if self._mapping.enabled:
            Thread(target=self._poll, name=f"poll-{self._mapping.function}", daemon=True).start()

    def stop(self) -> None:
        """Stop receiving messages. Batches in progress are left to their function."""
        self._stopped.set()

    def _poll(self) -> None:
        while not self._stopped.is_set():
            # Take a slot first: a message's visibility timeout starts when it is received.
            self._slots.acquire()
            messages = self._receive()
            if messages and not self._stopped.is_set():
                Thread(target=self._process, args=(messages,), daemon=True).start()
            else:
                self._slots.release()

    def _receive(self) -> list[dict[str, Any]]:
        try:
            response = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(self._mapping.batch_size, 10),
                WaitTimeSeconds=_POLL_SECONDS,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
        except (BotoCoreError, ClientError):
            self._stopped.wait(_POLL_SECONDS)
            return []
        messages: list[dict[str, Any]] = response.get("Messages", [])
        return messages

    def _process(self, messages: Sequence[dict[str, Any]]) -> None:
        try:
            event = build_event(messages, self._mapping.queue_arn, REGION)
            headers = [
                message["Attributes"]["AWSTraceHeader"]
                for message in messages
                if "AWSTraceHeader" in message.get("Attributes", {})
            ]
            outcome = self._invoke(self._mapping.function, json.dumps(event).encode(), headers)
            failed = failed_messages(outcome, messages, self._mapping.reports_item_failures)
            self._delete([message for message in messages if message["MessageId"] not in failed])
        except RecursiveLoopError as error:
            self._refuse(messages, str(error))
        except (LocalStackError, BotoCoreError, ClientError):
            pass  # The stack is being stopped. A message that is not deleted is delivered again.
        finally:
            self._slots.release()

    def _refuse(self, messages: Sequence[dict[str, Any]], reason: str) -> None:
        """Move messages to the dead-letter queue; delete them if there is none. Lambda stops loops so."""
        policy = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["RedrivePolicy"])
        target = json.loads(policy.get("Attributes", {}).get("RedrivePolicy", "{}")).get(
            "deadLetterTargetArn"
        )
        print(f"Lambda refused {len(messages)} message(s): {reason}", file=sys.stderr, flush=True)
        for message in messages if target else ():
            name = target.rpartition(":")[2]
            url = self._sqs.get_queue_url(QueueName=name)["QueueUrl"]
            self._sqs.send_message(QueueUrl=url, MessageBody=message["Body"])
        self._delete(messages)

    def _delete(self, messages: Sequence[dict[str, Any]]) -> None:
        handles = [message["ReceiptHandle"] for message in messages]
        entries = [{"Id": str(index), "ReceiptHandle": handle} for index, handle in enumerate(handles)]
        if entries:
            self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)


def build_event(messages: Sequence[Mapping[str, Any]], queue_arn: str, region: str) -> dict[str, Any]:
    """Return the event for a batch of messages.

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
    string = {"stringValue": value["StringValue"]} if "StringValue" in value else {}
    return {"stringListValues": [], "binaryListValues": [], "dataType": value["DataType"], **string}


def failed_messages(outcome: Outcome, messages: Sequence[Mapping[str, Any]], reports_items: bool) -> set[str]:
    """Return the ids of the messages to deliver again: all, none, or those the function reports.

    As in Lambda, the whole batch fails if the report is malformed or names a message outside the batch.
    """
    batch = {str(message["MessageId"]) for message in messages}
    if outcome.failed:
        return batch
    if not reports_items:
        return set()
    try:
        report = json.loads(outcome.payload)
        if report is None or report == {}:
            return set()
        failures = {item["itemIdentifier"] for item in report["batchItemFailures"] or []}
    except (ValueError, TypeError, KeyError):
        return batch
    return failures if failures <= batch else batch
