"""Events of S3 have EventBridge's shape, and a rule's target receives the event or what it asks for."""

import json

import pytest

from local.host.events import iso_time, message_of, s3_event

PUT = "s3:ObjectCreated:Put"
EVENT = {"id": "1", "time": "2026-01-01T00:00:00Z", "detail": {"object": {"key": "k"}}}


def event_of(name: str) -> dict | None:
    return s3_event(name, "b", "exports/manifest.json", 7, '"e"', account="1", region="r")


def test_event_of_a_new_object_has_the_documented_shape():
    event = event_of(PUT)
    detail = event["detail"]
    assert event.keys() == {
        "version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail",
    }  # fmt: skip
    assert (event["source"], event["detail-type"]) == ("aws.s3", "Object Created")
    assert event["resources"] == ["arn:aws:s3:::b"]
    assert detail["bucket"] == {"name": "b"}
    assert detail["object"].items() >= {"key": "exports/manifest.json", "size": 7, "etag": "e"}.items()
    assert detail.keys() == {
        "version", "bucket", "object", "request-id", "requester", "source-ip-address", "reason",
    }  # fmt: skip
    assert detail["reason"] == "PutObject"


def test_later_event_has_a_greater_sequencer():
    first, second = (event_of(PUT)["detail"]["object"]["sequencer"] for _ in range(2))
    assert first < second


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("s3:ObjectCreated:CompleteMultipartUpload", ("Object Created", "CompleteMultipartUpload")),
        ("s3:ObjectCreated:Copy", ("Object Created", "CopyObject")),
        ("s3:ObjectRemoved:Delete", ("Object Deleted", "DeleteObject")),
    ],
)
def test_kind_of_an_event_follows_from_the_call(name, kind):
    event = event_of(name)
    assert (event["detail-type"], event["detail"]["reason"]) == kind


def test_tags_that_moto_sets_with_an_object_are_no_event():
    assert event_of("s3:ObjectTagging:Put") is None


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({}, EVENT),
        ({"Input": '{"a": 1}'}, {"a": 1}),
        ({"InputPath": "$.detail.object"}, {"key": "k"}),
        (
            {
                "InputTransformer": {
                    "InputPathsMap": {"key": "$.detail.object.key"},
                    "InputTemplate": '{"name": "<key>"}',
                }
            },
            {"name": "k"},
        ),
    ],
)
def test_target_receives_what_it_asks_for(target, message):
    assert json.loads(message_of(target, EVENT)) == message


@pytest.mark.parametrize("moment", [1767225600, "1767225600.0", "2026-01-01T00:00:00Z"])
def test_time_of_an_event_is_iso_8601(moment):
    assert iso_time(moment) == "2026-01-01T00:00:00Z"
