"""What happens to an export is visible outside: its manifest as an event, its failure as an alarm."""

import json
from collections.abc import Iterator

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

    until("alarm", has_gone_off)
    metrics = cloudwatch.list_metrics(Namespace="AWS/Lambda", MetricName="Duration")["Metrics"]
    measured = {dimension["Value"] for metric in metrics for dimension in metric["Dimensions"]}
    assert stack.state.functions["ResultDownloader"] in measured
