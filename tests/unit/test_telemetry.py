"""Metrics, and the keys of log lines."""

import json
from threading import Event, Thread

import pytest

from crm_export.aws.part_queue import consume
from crm_export.errors import ZohoQueryRefused
from crm_export.system import repeat, start_thread
from crm_export.telemetry import count, gauge, logger, metrics, note, noting, observed, uncounted

KEYS = ("request_id", "account_id", "owner", "export_id", "part", "job_id")
EXPORT_ID = "20261122T130000Z-0123456789abcdef"


def test_gauge_reports_its_last_value():
    metrics().metric_set.clear()
    gauge("Waiting", 3)
    gauge("Waiting", 1)
    assert metrics().metric_set["Waiting"]["Value"] == [1.0]
    metrics().metric_set.clear()


def test_nothing_is_counted_or_printed_for_a_command(capsys):
    metrics().metric_set.clear()
    with uncounted():
        for _ in range(101):  # Powertools prints a metric with 100 values
            count("Parts")
    assert (metrics().metric_set, capsys.readouterr().out) == ({}, "")


class SlowNumber(float):
    """A value that another thread tries to overtake while Powertools converts it."""

    def __float__(self):
        self.other = Thread(target=count, args=("Parts", 1))
        self.other.start()
        self.other.join(0.1)
        return 2.0


def test_count_of_another_thread_at_the_same_time_is_not_lost():
    metrics().metric_set.clear()
    slow = SlowNumber(2)
    count("Parts", slow)
    slow.other.join()
    assert sorted(metrics().metric_set["Parts"]["Value"]) == [1.0, 2.0]
    metrics().metric_set.clear()


# --- keys of log lines ---


class Context:
    """The attributes of a LambdaContext that are read."""

    function_name, memory_limit_in_mb, aws_request_id = "f", 512, "lambda-1"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:f"

    def get_remaining_time_in_millis(self):
        return 30_000


@pytest.fixture
def lines(caplog):
    """A function that returns the keys of all log lines so far, as (message, keys)."""
    caplog.set_level("INFO")
    return lambda: [
        (record.message, {key: vars(record)[key] for key in KEYS if key in vars(record)})
        for record in caplog.records
    ]


def test_keys_are_those_of_the_context_and_end_with_it(lines):
    with noting(export_id="e", part=1):
        note(job_id="7", part=2)
        logger.info("inside")
        note(job_id=None)
        logger.info("without the job", export_id="own")
    logger.info("outside")
    assert lines() == [
        ("inside", {"export_id": "e", "part": 2, "job_id": "7"}),
        ("without the job", {"export_id": "own", "part": 2}),
        ("outside", {}),
    ]


def test_keys_are_in_the_json_that_is_printed(caplog):
    caplog.set_level("INFO")
    with noting(export_id="e", request_id="r"):
        logger.info("printed")
    line = json.loads(logger.registered_formatter.format(caplog.records[-1]))
    assert (line["export_id"], line["request_id"]) == ("e", "r")


@pytest.mark.parametrize(
    ("event", "request_id"),
    [({"requestContext": {"requestId": "api-1"}}, "api-1"), ({"Records": []}, "lambda-1"), ({}, "lambda-1")],
    ids=["HTTP", "SQS", "schedule"],
)
def test_request_id_is_that_of_api_gateway_or_else_of_lambda(lines, event, request_id):
    @observed
    def handler(event, context):
        logger.info("working")
        note(export_id="e")
        return {}

    handler(event, Context())
    handler(event, Context())
    assert lines() == [("working", {"request_id": request_id})] * 2


def test_exception_that_nobody_expected_is_logged_with_the_keys_and_raised(lines):
    @observed
    def handler(event, context):
        note(export_id="e", part=3)
        raise KeyError("x")

    with pytest.raises(KeyError):
        handler({}, Context())
    assert lines() == [("invocation failed", {"request_id": "lambda-1", "export_id": "e", "part": 3})]


def test_messages_of_a_batch_do_not_share_keys(lines):
    def handle(export_id, part):
        logger.info("handling")
        note(account_id=f"acct-{part}", job_id=str(part))
        raise ZohoQueryRefused("Zoho refuses it.")

    records = [
        {
            "messageId": str(part),
            "body": json.dumps({"export_id": EXPORT_ID, "part": part}),
            "attributes": {"ApproximateReceiveCount": "1"},
        }
        for part in (1, 2)
    ]
    consume({"Records": records}, None, handle)
    logger.info("after")
    first, second = ({"export_id": EXPORT_ID, "part": part} for part in (1, 2))
    assert lines() == [
        ("handling", first),
        ("part ended", first | {"account_id": "acct-1", "job_id": "1"}),
        ("handling", second),
        ("part ended", second | {"account_id": "acct-2", "job_id": "2"}),
        ("after", {}),
    ]


@pytest.mark.parametrize("begin", [start_thread, lambda work: repeat(0.001, work)])
def test_thread_has_the_keys_of_its_creator_and_its_own(lines, begin):
    done = Event()

    def work():
        note(part=9)
        logger.info("in a thread")
        done.set()
        return False

    with noting(export_id="e"):
        begin(work)
        assert done.wait(5)
        logger.info("here")
    assert lines() == [("in a thread", {"export_id": "e", "part": 9}), ("here", {"export_id": "e"})]
