"""What happens to an export is visible outside: its manifest as an event, its failure as an alarm."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.pipeline.conftest import RunningStack
from tests.pipeline.faults import assert_failed, until


@pytest.fixture
def queue(stack: RunningStack) -> Iterator[str]:
    """A user's queue, which a rule fills with the events of manifests."""
    url = stack.sqs.create_queue(QueueName="downstream")["QueueUrl"]
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": [stack.state.results_bucket]},
            "object": {"key": [{"suffix": "/manifest.json"}]},
        },
    }
    events = stack.aws.client("events")
    events.put_rule(Name="manifests", EventPattern=json.dumps(pattern))
    arn = "arn:aws:sqs:us-east-1:123456789012:downstream"
    events.put_targets(Rule="manifests", Targets=[{"Id": "1", "Arn": arn}])
    yield url
    events.remove_targets(Rule="manifests", Ids=["1"])
    events.delete_rule(Name="manifests")
    stack.sqs.delete_queue(QueueUrl=url)


def test_rule_of_the_readme_receives_the_event_of_the_manifest(stack: RunningStack, queue: str) -> None:
    export_id = stack.start("deals")
    export = stack.wait(export_id)

    def message() -> str | None:
        """Return the message about this export; earlier tests' exports may still complete."""
        for item in stack.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
            if export_id in item["Body"]:
                return str(item["Body"])
        return None

    event = json.loads(until("event", message) or "")
    assert event["detail"]["object"]["key"] == export["manifest_key"]
    assert event["detail"]["bucket"]["name"] == stack.state.results_bucket


def test_failed_export_raises_its_alarm(stack: RunningStack) -> None:
    stack.zoho("POST", "faults", {"method": "GET", "path": "/result$", "error": "NO_PERMISSION"})
    assert_failed(stack, stack.wait(stack.start("deals")), "ZOHO_PERMISSION_DENIED")
    cloudwatch = stack.aws.client("cloudwatch")

    def has_gone_off() -> bool:
        alarms = cloudwatch.describe_alarms(AlarmNames=["zoho-crm-export-ExportFailedAlarm"])
        return bool(alarms["MetricAlarms"][0]["StateValue"] == "ALARM")

    def is_measured() -> bool:
        metrics = cloudwatch.list_metrics(Namespace="AWS/Lambda", MetricName="Duration")["Metrics"]
        measured = {dimension["Value"] for metric in metrics for dimension in metric["Dimensions"]}
        return stack.state.functions["ResultDownloader"] in measured

    until("alarm", has_gone_off)
    until("duration of the downloader", is_measured)  # known only after the invocation that failed the export


VISIBLE = "ApproximateNumberOfMessagesVisible"
# alarm: namespace, metric, the resource of its dimension, and what is measured, by minutes ago
CAUSES: dict[str, tuple[str, str, str, dict[int, float]]] = {
    "ExportFailedAlarm": ("ZohoCrmExport/zoho-crm-export", "ExportsFailed", "", {0: 1}),
    "ZohoClientRejectedAlarm": ("ZohoCrmExport/zoho-crm-export", "ZohoClientRejected", "", {0: 1}),
    "WitnessGapAlarm": ("ZohoCrmExport/zoho-crm-export", "WitnessGaps", "", {0: 1}),
    "SyncBlockedAlarm": ("ZohoCrmExport/zoho-crm-export", "SyncsBlocked", "", {1: 1, 61: 1, 121: 1}),
    "EventsNotSentAlarm": ("ZohoCrmExport/zoho-crm-export", "EventsNotSent", "", {1: 1, 6: 1, 11: 1}),
    "SubmitDeadLetterAlarm": ("AWS/SQS", VISIBLE, "SubmitDeadLetterQueue", {0: 1}),
    "DownloadDeadLetterAlarm": ("AWS/SQS", VISIBLE, "DownloadDeadLetterQueue", {0: 1}),
    "SubmitQueueAgeAlarm": ("AWS/SQS", "ApproximateAgeOfOldestMessage", "SubmitQueue", {0: 1801}),
    "DownloadQueueAgeAlarm": ("AWS/SQS", "ApproximateAgeOfOldestMessage", "DownloadQueue", {0: 3601}),
    "ReconcilerErrorAlarm": ("AWS/Lambda", "Errors", "ExportReconciler", {1: 1, 6: 1, 11: 1}),
    "FunctionErrorAlarm": ("AWS/Lambda", "Errors", "CallbackReceiver", {0: 1}),
    # Before the stack was started: among many real durations one alone would be no p99.
    "DurationAlarm": ("AWS/Lambda", "Duration", "ResultDownloader", {8: 721_000, 13: 721_000}),
    "ThrottleAlarm": ("AWS/Lambda", "Throttles", "BulkReadSubmitter", {1: 1, 6: 1, 11: 1}),
    "ConcurrencyAlarm": ("AWS/Lambda", "ClaimedAccountConcurrency", "account", {0: 801}),
    "ApiErrorAlarm": ("AWS/ApiGateway", "5xx", "api", {0: 6}),
}


def dimensions_of(stack: RunningStack, resource: str) -> list[dict[str, str]]:
    """Return the dimensions under which AWS measures a resource, "" for the metrics of our own."""
    if resource in stack.state.functions:
        return [{"Name": "FunctionName", "Value": stack.state.functions[resource]}]
    if resource in stack.state.queues:
        return [{"Name": "QueueName", "Value": stack.state.queues[resource].rpartition("/")[2]}]
    if resource == "api":
        (alarm,) = alarms(stack, "ApiErrorAlarm")
        return list(alarm["Dimensions"])
    return [] if resource == "account" else [{"Name": "service", "Value": "zoho-crm-export"}]


def alarms(stack: RunningStack, name: str) -> list[dict[str, object]]:
    """Return the alarm of this logical id, in a list."""
    found = stack.aws.client("cloudwatch").describe_alarms(AlarmNames=[f"zoho-crm-export-{name}"])
    return list(found["MetricAlarms"])


def test_every_alarm_of_the_template_has_a_cause(stack: RunningStack) -> None:
    found = stack.aws.client("cloudwatch").describe_alarms(AlarmNamePrefix="zoho-crm-export-")["MetricAlarms"]
    assert {alarm["AlarmName"].removeprefix("zoho-crm-export-") for alarm in found} == CAUSES.keys()


@pytest.mark.parametrize("name", CAUSES)
def test_alarm_goes_off_if_its_cause_is_measured(stack: RunningStack, name: str) -> None:
    namespace, metric, resource, measured = CAUSES[name]
    cloudwatch, dimensions = stack.aws.client("cloudwatch"), dimensions_of(stack, resource)
    now = datetime.now(UTC)
    cloudwatch.put_metric_data(
        Namespace=namespace,
        MetricData=[
            {
                "MetricName": metric,
                "Dimensions": dimensions,
                "Timestamp": now - timedelta(minutes=minutes),
                "Value": value,
            }
            for minutes, value in measured.items()
        ],
    )
    deadline = time.monotonic() + 20
    while alarms(stack, name)[0]["StateValue"] != "ALARM":
        assert time.monotonic() < deadline, alarms(stack, name)
        time.sleep(0.2)
