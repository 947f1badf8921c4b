"""What becomes of a queue's message: done with, back for later, or followed by a new one."""

import json

import pytest

from crm_export.aws.part_queue import SqsPartQueue, consume
from crm_export.errors import QueryRefused, ZohoThrottled, ZohoUnavailable
from crm_export.exports.callbacks import receive_callback

EXPORT_ID = "20261122T130000Z-0123456789abcdef"
BODY = json.dumps({"export_id": EXPORT_ID, "part": 7})


class Sqs:
    """A boto3 client of SQS: what was sent (body, delay), and which messages were put off for how long."""

    def __init__(self):
        self.sent = []
        self.postponed = []

    def send_message(self, *, QueueUrl, MessageBody, DelaySeconds):
        assert 0 <= DelaySeconds <= 900
        self.sent.append((json.loads(MessageBody), DelaySeconds))

    def change_message_visibility(self, *, QueueUrl, ReceiptHandle, VisibilityTimeout):
        self.postponed.append((ReceiptHandle, VisibilityTimeout))


@pytest.fixture
def sqs():
    return Sqs()


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


def handled(sqs, *bodies, received=1, error=None):
    """The failures told of, and what the handler was given; `error` is of the first."""
    seen = []

    def handle(export_id, part):
        seen.append((export_id, part))
        if error and len(seen) == 1:
            raise error

    answer = consume(event(*bodies, received=received), SqsPartQueue(sqs, "url"), handle)
    return [failure.itemIdentifier for failure in answer["batchItemFailures"]], seen


def throttled(seconds=40):
    error = ZohoThrottled("wait")
    error.retry_after = seconds
    return error


def test_a_message_that_is_handled_is_done_with(sqs):
    assert handled(sqs, BODY) == ([], [(EXPORT_ID, 7)])
    assert (sqs.sent, sqs.postponed) == ([], [])


def test_a_message_that_is_to_be_tried_again_goes_back_for_as_long_as_its_error_says(sqs):
    assert handled(sqs, BODY, error=throttled())[0] == ["m0"]
    assert (sqs.sent, sqs.postponed) == ([], [("r0", 40)])


@pytest.mark.parametrize(("received", "seconds"), [(1, 15), (2, 30), (5, 240), (7, 900)])
def test_an_error_that_says_nothing_waits_twice_as_long_each_time(sqs, received, seconds):
    handled(sqs, BODY, received=received, error=ZohoUnavailable("down"))
    assert sqs.postponed == [("r0", seconds)]


def test_a_message_that_came_often_is_followed_by_a_new_one(sqs):
    assert handled(sqs, BODY, received=7, error=throttled())[0] == ["m0"]
    assert handled(sqs, BODY, received=8, error=throttled())[0] == []
    assert sqs.sent == [({"export_id": EXPORT_ID, "part": 7}, 40)]


def test_a_final_error_is_done_with(sqs):
    assert handled(sqs, BODY, error=QueryRefused("no"))[0] == []
    assert (sqs.sent, sqs.postponed) == ([], [])


def test_a_fault_of_ours_reaches_lambda(sqs):
    with pytest.raises(ZeroDivisionError):
        handled(sqs, BODY, error=ZeroDivisionError())


@pytest.mark.parametrize("error", [throttled(), QueryRefused("no")], ids=["again", "final"])
def test_what_follows_a_message_that_fails_is_handled_too(sqs, error):
    assert len(handled(sqs, BODY, BODY, error=error)[1]) == 2
    assert len(handled(sqs, BODY, BODY, received=8, error=error)[1]) == 2


def test_what_is_no_message_goes_back_until_the_dead_letters_have_it_and_the_next_is_handled(sqs):
    assert handled(sqs, "{", BODY) == (["m0"], [(EXPORT_ID, 7)])
    assert sqs.postponed == [("r0", 15)]


@pytest.mark.parametrize(("delay", "seconds"), [(0, 0), (30, 30), (5000, 900)])
def test_a_message_is_sent_with_its_delay_as_far_as_sqs_has_one(sqs, delay, seconds):
    SqsPartQueue(sqs, "url").send(EXPORT_ID, 7, delay=delay)
    assert sqs.sent == [({"export_id": EXPORT_ID, "part": 7}, seconds)]


def test_a_callback_is_noted_before_its_part_is_queued(pipeline):
    pipeline.create()
    noted = []
    pipeline.download_queue.send = lambda export_id, part: noted.append(pipeline.part(part).hinted_job_id)
    receive_callback(pipeline.table, pipeline.download_queue, EXPORT_ID, 1, b'{"data": [{"id": "7"}]}')
    assert noted == ["7"]
