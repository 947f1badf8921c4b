"""The bus of events: moto's EventBridge takes what we send, and every failure is EventNotSent."""

import json
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber
from moto import mock_aws

from crm_export.aws.event_bus import EventBridgeBus
from crm_export.errors import EventNotSent

DETAIL = {"export_id": "e", "message": "größer als “5”"}


@pytest.fixture
def aws(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@dataclass
class Listener:
    """A queue that a rule of a bus feeds."""

    bus: str
    rule: dict[str, Any]

    def __post_init__(self) -> None:
        self.sqs, self.events = boto3.client("sqs"), boto3.client("events")
        self.url = self.sqs.create_queue(QueueName="ended")["QueueUrl"]
        if self.bus != "default":
            self.events.create_event_bus(Name=self.bus)
        names = {"Name": "ended", "EventBusName": self.bus}
        self.events.put_rule(**names, EventPattern=json.dumps(self.rule))
        arn = "arn:aws:sqs:us-east-1:123456789012:ended"
        self.events.put_targets(Rule="ended", EventBusName=self.bus, Targets=[{"Id": "1", "Arn": arn}])

    def received(self) -> list[dict[str, Any]]:
        messages = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"]) for message in messages]


@pytest.mark.parametrize("bus", ["default", "exports"])
def test_rule_finds_the_event_by_source_and_detail_type(aws, bus):
    with mock_aws():
        listener = Listener(
            bus, {"source": ["zoho-crm-export"], "detail-type": ["Export Completed", "Export Failed"]}
        )
        events = EventBridgeBus(lambda: listener.events, bus)
        events.send("Export Failed", DETAIL)
        events.send("Something Else", DETAIL)
        (event,) = listener.received()
    assert (event["source"], event["detail-type"]) == ("zoho-crm-export", "Export Failed")
    assert event["detail"] == DETAIL


def client(aws):
    return boto3.client("events")


def test_entry_that_the_bus_refuses_is_not_sent(aws):
    refused = {"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"}
    events = client(aws)
    with Stubber(events) as stub:
        stub.add_response("put_events", {"FailedEntryCount": 1, "Entries": [refused]})
        with pytest.raises(EventNotSent, match="ThrottlingException: Rate exceeded"):
            EventBridgeBus(lambda: events, "default").send("Export Failed", DETAIL)


def test_request_that_is_denied_is_not_sent(aws):
    events = client(aws)
    with Stubber(events) as stub:
        stub.add_client_error("put_events", "AccessDeniedException", "not authorized to perform", 400)
        with pytest.raises(EventNotSent, match="AccessDeniedException"):
            EventBridgeBus(lambda: events, "default").send("Export Failed", DETAIL)


def test_bus_that_cannot_be_reached_is_not_sent():
    def unreachable():
        raise EndpointConnectionError(endpoint_url="https://events.example")

    with pytest.raises(EventNotSent, match="Could not connect"):
        EventBridgeBus(unreachable, "default").send("Export Failed", DETAIL)


def test_client_is_created_for_the_first_event_only():
    created = []
    EventBridgeBus(lambda: created.append("events"), "default")
    assert created == []
