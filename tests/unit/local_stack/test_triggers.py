"""Queues and schedules: their events, and which messages of a batch are delivered again."""

import json
from dataclasses import dataclass

import pytest

from local.host.aws import fairest_first
from local.runtime.runtime_api import Outcome, Report
from local.triggers.pollers import build_event, failed_messages
from local.triggers.schedules import build_event as build_schedule_event
from local.triggers.schedules import interval_seconds

MESSAGES = [
    {
        "MessageId": "m1",
        "ReceiptHandle": "r1",
        "Body": "one",
        "MD5OfBody": "5",
        "Attributes": {"ApproximateReceiveCount": "2"},
        "MessageAttributes": {"kind": {"DataType": "String", "StringValue": "x"}},
    },
    {"MessageId": "m2", "ReceiptHandle": "r2", "Body": "two"},
]


def test_event_of_a_batch_has_lambdas_format() -> None:
    record, other = build_event(MESSAGES, "arn:aws:sqs:r:1:q", "r")["Records"]
    assert record == {
        "messageId": "m1",
        "receiptHandle": "r1",
        "body": "one",
        "attributes": {"ApproximateReceiveCount": "2"},
        "messageAttributes": {
            "kind": {"stringValue": "x", "stringListValues": [], "binaryListValues": [], "dataType": "String"}
        },
        "md5OfBody": "5",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:r:1:q",
        "awsRegion": "r",
    }
    assert other["messageId"] == "m2"


def outcome(result: object, failed: bool = False) -> Outcome:
    return Outcome(json.dumps(result).encode(), Report("f", "r", 1, 128), failed)


@pytest.mark.parametrize(
    ("report", "failed"),
    [
        (None, set()),
        ({}, set()),
        ({"batchItemFailures": []}, set()),
        ({"batchItemFailures": None}, set()),
        ({"batchItemFailures": [{"itemIdentifier": "m2"}]}, {"m2"}),
        ({"batchItemFailures": [{"itemIdentifier": "strange"}]}, {"m1", "m2"}),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, {"m1", "m2"}),
        ({"batchItemFailures": [{}]}, {"m1", "m2"}),
        ({"somethingElse": 1}, {"m1", "m2"}),
        ("string", {"m1", "m2"}),
        ([], {"m1", "m2"}),
        ("", {"m1", "m2"}),
    ],
)
def test_item_failures_are_read_as_lambda_does(report: object, failed: set[str]) -> None:
    assert failed_messages(outcome(report), MESSAGES, reports_items=True) == failed


def test_batch_without_item_reports_succeeds_or_fails_as_one() -> None:
    assert failed_messages(outcome({"anything": 1}), MESSAGES, reports_items=False) == set()
    assert failed_messages(outcome({}, failed=True), MESSAGES, reports_items=True) == {"m1", "m2"}


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("rate(5 minutes)", 300),
        ("rate(1 hour)", 3600),
        ("rate(2 days)", 172_800),
        ("cron(0 1 * * ? *)", None),
    ],
)
def test_only_rate_expressions_have_an_interval(expression: str, seconds: float | None) -> None:
    assert interval_seconds(expression) == seconds


def test_schedule_sends_its_input_or_else_the_schedulers_envelope() -> None:
    assert (
        json.loads(build_schedule_event({"Name": "s", "Target": {"Arn": "x"}}))["source"] == "aws.scheduler"
    )
    assert (
        build_schedule_event({"Name": "s", "Target": {"Arn": "x", "Input": '{"by": "me"}'}})
        == b'{"by": "me"}'
    )


@dataclass
class Message:
    """A message as moto keeps it; one in flight is not visible."""

    group_id: str | None
    visible: bool = True


def test_fifteen_slow_messages_of_one_account_delay_anothers_by_one_at_most() -> None:
    waiting = [*(Message("noisy") for _ in range(15)), Message("quiet")]
    received: list[Message] = []
    while waiting:  # a slot is free: the first message is delivered and stays in flight
        message = fairest_first(waiting, received)[0]
        waiting.remove(message)
        message.visible = False
        received.append(message)
    assert [message.group_id for message in received[:3]] == ["noisy", "quiet", "noisy"]


def test_message_without_a_group_and_a_returned_one_are_nobodys_burden() -> None:
    alone, again = Message(None), Message("a")
    in_flight = [Message("b", visible=False), Message(None, visible=False), again]
    assert fairest_first([Message("b"), alone, again], in_flight) == [alone, again, Message("b")]
