"""Dead letters raise an alarm, and the script in docs/operations.md redrives them."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from local.host.processes import REPOSITORY, clean_environment
from tests.pipeline.conftest import RunningStack
from tests.pipeline.faults import assert_whole, ended, function_log, until


def attributes(stack: RunningStack, queue: str) -> dict[str, str]:
    url = stack.state.queues[queue]
    return stack.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]


@contextmanager
def impatient(stack: RunningStack, queue: str) -> Iterator[None]:
    """Deliver a message again after 1 second, not 90 minutes, and move it away after 2 deliveries."""

    def change(visibility: str, policy: Mapping[str, object]) -> None:
        changes = {"VisibilityTimeout": visibility, "RedrivePolicy": json.dumps(policy)}
        stack.sqs.set_queue_attributes(QueueUrl=stack.state.queues[queue], Attributes=changes)

    before = attributes(stack, queue)
    policy = json.loads(before["RedrivePolicy"])
    change("1", {**policy, "maxReceiveCount": 2})
    time.sleep(2)  # a poll in progress would still hide what it receives for 90 minutes
    try:
        yield
    finally:
        change(before["VisibilityTimeout"], policy)


def redrive(stack: RunningStack, dead: str, queue: str) -> None:
    """Run the script of docs/operations.md. moto lacks its alternative, StartMessageMoveTask."""
    section = (REPOSITORY / "docs/operations.md").read_text().partition("## Dead letters")[2]
    (script,) = re.findall(r"```python\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    aws = {"AWS_ENDPOINT_URL": stack.state.aws_endpoint_url, "AWS_DEFAULT_REGION": stack.state.region}
    command = [sys.executable, "-", stack.state.queues[dead], stack.state.queues[queue]]
    subprocess.run(command, input=script, text=True, env=clean_environment(aws), check=True, timeout=60)


def test_both_dead_letter_queues_have_an_alarm_for_the_first_message(stack: RunningStack) -> None:
    alarms = stack.aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
    alarmed = {
        alarm["Dimensions"][0]["Value"]: (alarm["ComparisonOperator"], alarm["Threshold"])
        for alarm in alarms
        if alarm.get("MetricName") == "ApproximateNumberOfMessagesVisible"  # none: metric math
    }
    for queue in ("SubmitQueue", "DownloadQueue"):
        arn = json.loads(attributes(stack, queue)["RedrivePolicy"])["deadLetterTargetArn"]
        assert alarmed[arn.rpartition(":")[2]] == ("GreaterThanThreshold", 0)


def test_dead_letters_of_a_function_that_could_not_start_are_redriven(stack: RunningStack) -> None:
    """The reconciler, which would send new messages, is kept quiet: only the redrive delivers them."""
    dead = "DownloadDeadLetterQueue"
    for queue in ("DownloadQueue", dead):  # messages of earlier tests
        stack.sqs.purge_queue(QueueUrl=stack.state.queues[queue])
    with stack.configured("ExportReconciler", PART_QUIET_SECONDS="86400"):
        with impatient(stack, "DownloadQueue"):
            with stack.configured("ResultDownloader", POWERTOOLS_LOG_LEVEL="no such level"):
                export_id = stack.start("deals")
                stack.sqs.send_message(QueueUrl=stack.state.queues["DownloadQueue"], MessageBody="{nonsense")
                until("dead letters", lambda: attributes(stack, dead)["ApproximateNumberOfMessages"] == "2")
            assert "Unknown level" in function_log(stack, "ResultDownloader")
            assert stack.export(export_id)["parts"][0]["state"] == "SUBMITTED"
            assert stack.keys(export_id) == []
        redrive(stack, dead, "DownloadQueue")
        assert_whole(stack, *ended(stack, export_id), "Deals", 120)
    assert attributes(stack, dead)["ApproximateNumberOfMessages"] == "0"
    until("log line", lambda: "not a message of this stack" in function_log(stack, "ResultDownloader"))
