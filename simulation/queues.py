"""SQS and Lambda's polling of it: visibility timeout, redelivery, duplicates, the dead-letter queue."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from simulation.calls import Calls
from simulation.faults import Faults
from simulation.scheduler import Scheduler

MAX_RECEIVES = 10
_TAKES = 0.02
_FAULTS = {
    "twice": "message sent twice, its response lost",
    "lost": "message sent, its response lost for good",
    "refused": "message not sent",
}
_AGAIN_AFTER = (0.0, 0.005, 0.3, 20.0, 3600.0, 20000.0)


@dataclass
class Message:
    """A message of a queue. `visible_at` moves with each receive."""

    number: int
    body: str
    visible_at: float
    receives: int = 0
    deleted: bool = False


@dataclass(frozen=True)
class QueueSettings:
    """What the template says of a queue and of the function that reads it."""

    visibility: float
    concurrency: int


class Queue:
    """One queue. `invoke(event, done)` starts its function, which ends with done(response or None)."""

    def __init__(
        self, name: str, settings: QueueSettings, rng: Random, scheduler: Scheduler, faults: Faults
    ) -> None:
        self.name = name
        self.messages: list[Message] = []
        self.dead_letters: list[Message] = []
        self.invoke: Callable[[dict[str, Any], Callable[[Any], None]], None] = lambda event, done: None
        self._settings = settings
        self._rng = rng
        self._scheduler = scheduler
        self._faults = faults
        self._running = 0

    def resize(self, concurrency: int) -> None:
        """Let its function run so many times at once."""
        self._settings = replace(self._settings, concurrency=concurrency)

    def put(self, body: str, delay: float) -> None:
        """Let a message arrive, perhaps twice, perhaps late."""
        target = target_of(body)
        if self._faults.happens("message late", target):
            delay += self._rng.choice((30.0, 900.0, 10000.0))
        self._arrive(body, delay + self._rng.uniform(0, 0.2))
        if self._faults.happens("message delivered twice", target):
            self._arrive(body, delay + self._rng.choice(_AGAIN_AFTER))

    def change_visibility(self, number: int, seconds: float) -> None:
        """ChangeMessageVisibility."""
        self.messages[number].visible_at = self._scheduler.now + seconds

    def _arrive(self, body: str, delay: float) -> None:
        message = Message(len(self.messages), body, self._scheduler.now + delay)
        self.messages.append(message)
        self._scheduler.at(message.visible_at, lambda: self._deliver(message))

    def _deliver(self, message: Message) -> None:
        if message.deleted:
            return
        if message.visible_at > self._scheduler.now:
            self._scheduler.at(message.visible_at, lambda: self._deliver(message))
            return
        if self._running >= self._settings.concurrency:
            self._scheduler.after(1.0, lambda: self._deliver(message))
            return
        message.receives += 1
        if message.receives > MAX_RECEIVES:
            message.deleted = True
            self.dead_letters.append(message)
            return
        message.visible_at = self._scheduler.now + self._settings.visibility
        self._running += 1
        record = {
            "messageId": f"{self.name}-{message.number}",
            "receiptHandle": str(message.number),
            "body": message.body,
            "attributes": {"ApproximateReceiveCount": str(message.receives)},
        }
        self.invoke({"Records": [record]}, lambda response: self._done(message, response))

    def _done(self, message: Message, response: Any) -> None:
        self._running -= 1
        if response is not None and not response["batchItemFailures"]:
            message.deleted = True
        else:
            self._scheduler.at(message.visible_at, lambda: self._deliver(message))


class Sqs:
    """The boto3 client. Queue URLs are names of queues."""

    def __init__(self, queues: dict[str, Queue], calls: Calls) -> None:
        self._queues = queues
        self._calls = calls

    def send_message(
        self, *, QueueUrl: str, MessageBody: str, MessageGroupId: str, DelaySeconds: int
    ) -> dict[str, Any]:
        """See boto3. There is one account, so the order does not depend on groups."""
        assert 1 <= len(MessageGroupId) <= 128  # SQS's limits
        assert 0 <= DelaySeconds <= 900  # SQS's limit

        def send(again: bool) -> dict[str, Any]:
            self._queues[QueueUrl].put(MessageBody, DelaySeconds)
            return {}

        return self._calls.aws(f"sqs send {QueueUrl} {MessageBody}", send, seconds=_TAKES, **_FAULTS)

    def change_message_visibility(
        self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int
    ) -> dict[str, Any]:
        """See boto3."""

        def change(again: bool) -> dict[str, Any]:
            self._queues[QueueUrl].change_visibility(int(ReceiptHandle), VisibilityTimeout)
            return {}

        what = f"sqs change visibility {QueueUrl} {ReceiptHandle} {VisibilityTimeout}"
        return self._calls.aws(what, change, seconds=_TAKES, **_FAULTS)


def target_of(body: str) -> tuple[str, int]:
    """Return the part that a message is about; of a sync, its module, and 0."""
    message = json.loads(body)
    if "sync" in message:
        return message["sync"]["module"], 0
    return message["export_id"], message["part"]
