"""moto's process behaves as AWS: rules, alarms, trace headers, loops, and reads that lag behind."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from local.cloudformation.resources import QueueMapping
from local.host.aws import LocalAws, closed_session
from local.runtime.recursion import trace_of
from local.runtime.runtime_api import Outcome, Report
from local.servers import LAG_SECONDS
from local.triggers.pollers import Poller
from tests.support.sam_project import worker_of

CREATED = {"source": ["aws.s3"], "detail-type": ["Object Created"]}


class Queue:
    """A queue of the test's own."""

    def __init__(self, aws: LocalAws, name: str, **attributes: str) -> None:
        self._sqs = aws.client("sqs")
        self.url = self._sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.arn = f"arn:aws:sqs:us-east-1:123456789012:{name}"

    def receive(self, count: int, seconds: float = 10) -> list[dict[str, Any]]:
        """Return `count` messages, or as many as arrive in time."""
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + seconds
        while len(found) < count and time.monotonic() < deadline:
            found += self._sqs.receive_message(
                QueueUrl=self.url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
            ).get("Messages", [])
            time.sleep(0.05)
        return found

    def bodies(self) -> list[Any]:
        """Return the JSON of all messages that are there now."""
        return [json.loads(message["Body"]) for message in self.receive(10, 0.3)]


@pytest.fixture
def rule(aws: LocalAws) -> Callable[..., Queue]:
    """Creates rules with a queue as their target."""
    events = aws.client("events")

    def create(name: str, pattern: object, **target: Any) -> Queue:
        queue = Queue(aws, name)
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": queue.arn, **target}])
        return queue

    return create


@pytest.fixture
def bucket(aws: LocalAws) -> str:
    """A bucket that sends its events to EventBridge."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="results")
    s3.put_bucket_notification_configuration(
        Bucket="results", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    return "results"


def test_rule_receives_one_event_for_each_object_that_matches(
    aws: LocalAws, bucket: str, rule: Callable[..., Queue]
) -> None:
    detail = {"bucket": {"name": [bucket]}, "object": {"key": [{"suffix": "/manifest.json"}]}}
    manifests, everything = rule("manifests", CREATED | {"detail": detail}), rule("all", CREATED)
    s3 = aws.client("s3")
    s3.put_object(Bucket=bucket, Key="a/part-00001.csv", Body=b"x")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="a/manifest.json")["UploadId"]
    target: dict[str, Any] = {"Bucket": bucket, "Key": "a/manifest.json", "UploadId": upload}
    etag = s3.upload_part(**target, PartNumber=1, Body=b"{}")["ETag"]
    s3.complete_multipart_upload(**target, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})

    (event,) = manifests.bodies()
    assert event["detail"]["object"]["key"] == "a/manifest.json"
    assert event["detail"]["reason"] == "CompleteMultipartUpload"
    assert [item["detail"]["object"]["key"] for item in everything.bodies()] == [
        "a/part-00001.csv",
        "a/manifest.json",
    ]


def test_bucket_without_eventbridge_sends_nothing(aws: LocalAws, rule: Callable[..., Queue]) -> None:
    queue = rule("all", CREATED)
    aws.client("s3").create_bucket(Bucket="silent")
    aws.client("s3").put_object(Bucket="silent", Key="k", Body=b"x")
    assert queue.bodies() == []


def test_events_of_put_events_reach_all_targets_of_matching_rules(
    aws: LocalAws, rule: Callable[..., Queue]
) -> None:
    own, other = rule("own", {"source": ["zoho-crm-export"]}), rule("other", {"source": ["else"]})
    second = Queue(aws, "second")
    events = aws.client("events")
    events.put_targets(Rule="own", Targets=[{"Id": "2", "Arn": second.arn, "InputPath": "$.detail"}])
    entry = {"Source": "zoho-crm-export", "DetailType": "Export Completed", "Detail": '{"records": 3}'}
    assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0
    (event,) = own.bodies()
    assert (event["source"], event["detail-type"], event["detail"]) == (
        "zoho-crm-export",
        "Export Completed",
        {"records": 3},
    )
    assert "ingestion-time" not in event
    assert second.bodies() == [{"records": 3}]
    assert other.bodies() == []


def test_disabled_rule_receives_nothing(aws: LocalAws, bucket: str, rule: Callable[..., Queue]) -> None:
    queue = rule("all", CREATED)
    aws.client("events").disable_rule(Name="all")
    aws.client("s3").put_object(Bucket=bucket, Key="k", Body=b"x")
    assert queue.bodies() == []


def test_alarm_goes_off_publishes_to_its_topic_and_ends(aws: LocalAws) -> None:
    queue, sns, cloudwatch = Queue(aws, "mail"), aws.client("sns"), aws.client("cloudwatch")
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    cloudwatch.put_metric_alarm(
        AlarmName="a",
        Namespace="N",
        MetricName="Failed",
        Dimensions=[{"Name": "service", "Value": "s"}],
        Statistic="Sum",
        Period=2,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
        AlarmActions=[topic],
        OKActions=[topic],
    )
    datum = {"MetricName": "Failed", "Value": 1, "Dimensions": [{"Name": "service", "Value": "s"}]}
    cloudwatch.put_metric_data(Namespace="N", MetricData=[datum])
    states = [
        json.loads(json.loads(message["Body"])["Message"])["NewStateValue"] for message in queue.receive(2)
    ]
    assert states == ["ALARM", "OK"]


def test_message_in_a_dead_letter_queue_raises_its_alarm(aws: LocalAws) -> None:
    queue, cloudwatch = Queue(aws, "dead"), aws.client("cloudwatch")
    for name in ("ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"):
        cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="AWS/SQS",
            MetricName=name,
            Dimensions=[{"Name": "QueueName", "Value": "dead"}],
            Statistic="Maximum",
            Period=300,
            EvaluationPeriods=1,
            Threshold=0,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="notBreaching",
        )
    aws.client("sqs").send_message(QueueUrl=queue.url, MessageBody="x")
    deadline = time.monotonic() + 20
    while True:
        states = [item["StateValue"] for item in cloudwatch.describe_alarms()["MetricAlarms"]]
        if states == ["ALARM", "ALARM"]:
            return
        assert time.monotonic() < deadline, states
        time.sleep(0.2)


def test_message_carries_the_trace_header_of_the_function_that_sent_it(
    aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(aws, "q")
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0;Lineage=a87bd80c:1"
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", trace)
    sqs = closed_session().client("sqs", endpoint_url=aws.url)
    sqs.send_message(QueueUrl=queue.url, MessageBody="one")
    sqs.send_message_batch(QueueUrl=queue.url, Entries=[{"Id": "1", "MessageBody": "two"}])
    monkeypatch.delenv("_X_AMZN_TRACE_ID")
    sqs.send_message(QueueUrl=queue.url, MessageBody="three")
    headers = {item["Body"]: item["Attributes"].get("AWSTraceHeader") for item in queue.receive(3)}
    assert headers == {"one": trace, "two": trace, "three": None}


@pytest.fixture
def poll(aws: LocalAws) -> Iterator[Callable[[Queue, Any], None]]:
    """Polls queues for functions of the test."""
    pollers: list[Poller] = []

    def start(queue: Queue, function: Any) -> None:
        mapping = QueueMapping(queue.arn, "Worker", 1, 2, reports_item_failures=False, enabled=True)
        pollers.append(Poller(mapping, aws, function))
        pollers[-1].start()

    yield start
    for poller in pollers:
        poller.stop()


def test_message_of_the_seventeenth_hop_goes_to_the_dead_letter_queue(
    aws: LocalAws, poll: Callable[[Queue, Any], None], capsys: pytest.CaptureFixture[str]
) -> None:
    worker, sqs = worker_of(Path("/nowhere")), aws.client("sqs")
    dead = Queue(aws, "dead")
    queue = Queue(
        aws, "loop", RedrivePolicy=json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 5})
    )
    traces: list[str] = []

    def send_again(_name: str, _event: bytes, headers: Sequence[str] = ()) -> Outcome:
        """Do what the function's process does: send a message with its own trace header."""
        traces.append(trace_of(worker, headers))
        header = {"AWSTraceHeader": {"DataType": "String", "StringValue": traces[-1]}}
        sqs.send_message(QueueUrl=queue.url, MessageBody=f"hop {len(traces)}", MessageSystemAttributes=header)
        return Outcome(b"null", Report("Worker", "r", 1, 128))

    sqs.send_message(QueueUrl=queue.url, MessageBody="hop 0")
    poll(queue, send_again)
    assert [message["Body"] for message in dead.receive(1, 30)] == ["hop 16"]
    assert len(traces) == 16
    assert "Worker ran 16 times in one chain" in capsys.readouterr().err


def test_read_without_consistent_read_lags_behind(aws: LocalAws) -> None:
    table = aws.client("dynamodb")
    table.create_table(
        TableName="t",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "account")
        ],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-account",
                "KeySchema": [{"AttributeName": "account", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    key = {"pk": {"S": "p"}, "sk": {"S": "s"}}

    def write(state: str) -> None:
        table.put_item(TableName="t", Item=key | {"account": {"S": "a"}, "state": {"S": state}})

    def read(**more: Any) -> str | None:
        item = table.get_item(TableName="t", Key=key, **more).get("Item")
        return item["state"]["S"] if item else None

    def index() -> list[str]:
        found = table.query(
            TableName="t",
            IndexName="by-account",
            KeyConditionExpression="account = :a",
            ExpressionAttributeValues={":a": {"S": "a"}},
        )
        return [item["state"]["S"] for item in found["Items"]]

    write("one")
    assert (read(), read(ConsistentRead=True), index()) == (None, "one", [])
    time.sleep(LAG_SECONDS + 0.1)
    write("two")
    assert (read(), read(ConsistentRead=True), index()) == ("one", "two", ["one"])
    time.sleep(LAG_SECONDS + 0.1)
    assert (read(), index()) == ("two", ["two"])
