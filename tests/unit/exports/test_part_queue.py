"""Messages of a queue: each is done, comes again later, or is replaced by a fresh copy."""

import json

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from crm_export.aws.part_queue import SqsPartQueue, consume
from crm_export.errors import PartBusy, QueryRefused, QueueUnavailable, StepPostponed, StorageRefused
from crm_export.exports.model import LARGEST_PART
from crm_export.exports.pipeline import Callback
from simulation.calls import refusal

EXPORT_ID = "20261122T130000Z-0123456789abcdef"
MESSAGE = {"export_id": EXPORT_ID, "part": 7}
BODY = json.dumps(MESSAGE)


class FakeSqs:
    """A boto3 client of SQS. sent: (message, delay). postponed: (receipt handle, seconds). fails: raised."""

    def __init__(self):
        self.fails = None
        self.sent = []
        self.groups = []
        self.postponed = []

    def send_message(self, *, QueueUrl, MessageBody, MessageGroupId, DelaySeconds):
        assert 0 <= DelaySeconds <= 900
        if self.fails:
            raise self.fails
        self.groups.append(MessageGroupId)
        self.sent.append((json.loads(MessageBody), DelaySeconds))

    def change_message_visibility(self, *, QueueUrl, ReceiptHandle, VisibilityTimeout):
        if self.fails:
            raise self.fails
        self.postponed.append((ReceiptHandle, VisibilityTimeout))


@pytest.fixture
def sqs():
    return FakeSqs()


def event(*bodies, received=1):
    return {
        "Records": [
            {
                "messageId": f"m{number}",
                "receiptHandle": f"r{number}",
                "body": body,
                "attributes": {"ApproximateReceiveCount": str(received)},
            }
            for number, body in enumerate(bodies)
        ]
    }


def handle_all(sqs, *bodies, received=1, error=None):
    """Return the ids of failed messages and what the handler got; the first message raises `error`."""
    seen = []

    def handle(*message):
        seen.append(message)
        if error and len(seen) == 1:
            raise error

    response = consume(event(*bodies, received=received), SqsPartQueue(sqs, "url"), handle)
    return [failure["itemIdentifier"] for failure in response["batchItemFailures"]], seen


def postponed(seconds=40):
    return StepPostponed("wait", retry_after=seconds)


@pytest.mark.parametrize("part", [1, LARGEST_PART])
def test_message_of_the_first_or_the_largest_part_is_handled(sqs, part):
    body = json.dumps({"export_id": EXPORT_ID, "part": part})
    assert handle_all(sqs, body) == ([], [(EXPORT_ID, part)])


def test_message_without_a_delay_is_delivered_at_once(sqs):
    SqsPartQueue(sqs, "url").send(EXPORT_ID, 7, group="acct-1")
    assert (sqs.sent, sqs.groups) == ([(MESSAGE, 0)], ["acct-1"])


def test_handled_message_is_done(sqs):
    assert handle_all(sqs, BODY) == ([], [(EXPORT_ID, 7)])
    assert (sqs.sent, sqs.postponed) == ([], [])


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(postponed(40), 40), (postponed(5000), 900), (PartBusy("busy"), 15)],
    ids=["its own delay", "longer than SQS allows", "no delay"],
)
def test_message_of_retryable_error_comes_again_after_its_delay(sqs, error, seconds):
    assert handle_all(sqs, BODY, error=error)[0] == ["m0"]
    assert (sqs.sent, sqs.postponed) == ([], [("r0", seconds)])


@pytest.mark.parametrize(("received", "seconds"), [(1, 15), (2, 30), (4, 120), (7, 900)])
def test_message_of_error_without_a_delay_waits_longer_each_time(sqs, received, seconds):
    handle_all(sqs, BODY, received=received, error=StorageRefused("no"))
    assert sqs.postponed == [("r0", seconds)]


def test_message_received_eight_times_is_replaced_by_a_fresh_copy(sqs):
    assert handle_all(sqs, BODY, received=7, error=postponed())[0] == ["m0"]
    assert handle_all(sqs, BODY, received=8, error=postponed())[0] == []
    assert (sqs.sent, sqs.postponed) == ([(MESSAGE, 40)], [("r0", 40)])


@pytest.mark.parametrize(
    ("attributes", "group"), [({"MessageGroupId": "acct-1"}, "acct-1"), ({}, EXPORT_ID)], ids=["new", "old"]
)
def test_fresh_copy_stays_in_the_group_of_its_message(sqs, attributes, group):
    again = event(BODY, received=8)
    again["Records"][0]["attributes"] |= attributes

    def handle(export_id, part):
        raise postponed()

    consume(again, SqsPartQueue(sqs, "url"), handle)
    assert sqs.groups == [group]


def test_message_of_terminal_error_is_done(sqs):
    assert handle_all(sqs, BODY, error=QueryRefused("no"))[0] == []
    assert (sqs.sent, sqs.postponed) == ([], [])


def test_unknown_exception_reaches_lambda(sqs):
    with pytest.raises(ZeroDivisionError):
        handle_all(sqs, BODY, error=ZeroDivisionError())


@pytest.mark.parametrize("error", [postponed(), QueryRefused("no")], ids=["retryable", "terminal"])
@pytest.mark.parametrize("received", [1, 8])
def test_message_after_a_failed_one_is_handled_too(sqs, error, received):
    assert len(handle_all(sqs, BODY, BODY, received=received, error=error)[1]) == 2


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[" * 100_000,
        "[]",
        json.dumps({"export_id": "x", "part": 1}),
        json.dumps({"export_id": EXPORT_ID}),
        json.dumps({"export_id": EXPORT_ID, "part": True}),
        json.dumps({"export_id": EXPORT_ID, "part": "1"}),
        json.dumps({"export_id": EXPORT_ID, "part": 0}),
        json.dumps({"export_id": EXPORT_ID, "part": 100_000}),
    ],
    ids=lambda body: body[:40],
)
def test_foreign_message_comes_again_until_the_dead_letter_queue_takes_it(sqs, body):
    assert handle_all(sqs, body, BODY, received=9) == (["m0"], [(EXPORT_ID, 7)])
    assert (sqs.sent, sqs.postponed) == ([], [("r0", 15)])


@pytest.mark.parametrize(("delay", "seconds"), [(0, 0), (30, 30), (5000, 900)])
def test_message_is_sent_with_its_delay_but_no_longer_than_sqs_allows(sqs, delay, seconds):
    SqsPartQueue(sqs, "url").send(EXPORT_ID, 7, group="acct-1", delay=delay)
    assert sqs.sent == [(MESSAGE, seconds)]


# --- Messages of callbacks ---


@pytest.mark.parametrize("job_id", ["7", None])
@pytest.mark.parametrize(("received", "is_new"), [(1, True), (2, False), (8, False)])
def test_callback_arrives_with_its_message_and_is_new_once(sqs, job_id, received, is_new):
    SqsPartQueue(sqs, "url").send(EXPORT_ID, 7, group="acct-1", callback=Callback(job_id))
    ((message, _),) = sqs.sent
    assert handle_all(sqs, json.dumps(message), received=received)[1] == [
        (EXPORT_ID, 7, Callback(job_id, is_new))
    ]


def test_fresh_copy_of_a_callbacks_message_carries_no_callback(sqs):
    body = json.dumps({**MESSAGE, "callback": {"job_id": "7"}})
    assert handle_all(sqs, body, received=8, error=postponed())[0] == []
    assert sqs.sent == [(MESSAGE, 40)]


# --- Outages of SQS ---

OUTAGE = EndpointConnectionError(endpoint_url="https://sqs")


@pytest.mark.parametrize(
    "outage", [OUTAGE, refusal("ThrottlingException", "SQS")], ids=["unreachable", "throttled"]
)
def test_queue_that_fails_is_unavailable(sqs, outage):
    sqs.fails = outage
    queue = SqsPartQueue(sqs, "url")
    with pytest.raises(QueueUnavailable, match="SQS is unavailable"):
        queue.send(EXPORT_ID, 7, group="acct-1")
    with pytest.raises(QueueUnavailable, match="SQS is unavailable"):
        queue.postpone("r0", 15)


def test_refusal_of_sqs_is_not_an_outage(sqs):
    sqs.fails = refusal("AccessDenied", "SQS")
    with pytest.raises(ClientError, match="AccessDenied"):
        SqsPartQueue(sqs, "url").send(EXPORT_ID, 7, group="acct-1")
    with pytest.raises(ClientError, match="AccessDenied"):
        SqsPartQueue(sqs, "url").postpone("r0", 15)


@pytest.mark.parametrize("received", [1, 8])
def test_message_that_cannot_be_postponed_comes_again_and_the_next_one_is_handled(sqs, received):
    sqs.fails = OUTAGE
    failed, seen = handle_all(sqs, BODY, BODY, received=received, error=postponed())
    assert (failed, len(seen)) == (["m0"], 2)


def test_foreign_message_that_cannot_be_postponed_comes_again(sqs):
    sqs.fails = OUTAGE
    assert handle_all(sqs, "{", BODY) == (["m0"], [(EXPORT_ID, 7)])


def test_step_that_cannot_queue_a_part_is_done_again_later(sqs):
    assert handle_all(sqs, BODY, error=QueueUnavailable("SQS is unavailable"))[0] == ["m0"]
    assert sqs.postponed == [("r0", 15)]
