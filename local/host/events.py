"""EventBridge in moto's process: rules receive S3's events and those of PutEvents, as AWS delivers them.

moto matches patterns. Its own events have a fixed sequencer and wrong names, come twice for a multipart
upload, and also reach rules that are disabled.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

import json
import secrets
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

# The part of S3's event name after "s3:", and the detail-type and reason of its EventBridge event.
_S3_EVENTS = {
    "ObjectCreated:Put": ("Object Created", "PutObject"),
    "ObjectCreated:Post": ("Object Created", "POST Object"),
    "ObjectCreated:Copy": ("Object Created", "CopyObject"),
    "ObjectCreated:CompleteMultipartUpload": ("Object Created", "CompleteMultipartUpload"),
    "ObjectRemoved:Delete": ("Object Deleted", "DeleteObject"),
}


def deliver_events() -> None:
    """Let moto's rules deliver events as EventBridge does."""
    from moto.events.models import Rule  # noqa: PLC0415 - moto reads its settings at import
    from moto.s3 import notifications  # noqa: PLC0415 - as above

    rules: Any = Rule
    rules.send_to_targets = _send_to_targets
    notifications._send_event_bridge_message = _send_s3_event


def s3_event(
    event_name: str, bucket: str, key: str, size: int, etag: str, *, account: str, region: str
) -> dict[str, Any] | None:
    """Return the event for `event_name` (such as "s3:ObjectCreated:Put"); None if EventBridge gets none."""
    if (kind := _S3_EVENTS.get(event_name.removeprefix("s3:"))) is None:
        return None
    detail_type, reason = kind
    detail: dict[str, Any] = {
        "version": "0",
        "bucket": {"name": bucket},
        "object": {"key": key, "sequencer": f"{time.time_ns():016X}"},
        "request-id": secrets.token_hex(8).upper(),
        "requester": account,
        "source-ip-address": "127.0.0.1",
        "reason": reason,
    }
    if detail_type == "Object Created":
        detail["object"] |= {"size": size, "etag": etag.strip('"')}
    else:
        detail["deletion-type"] = "Permanently Deleted"
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": "aws.s3",
        "account": account,
        "time": iso_time(time.time()),
        "region": region,
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": detail,
    }


def iso_time(moment: float | str) -> str:
    """Return a time as events have it. moto passes seconds since 1970, as a number or as a string."""
    try:
        return f"{datetime.fromtimestamp(float(moment), UTC):%Y-%m-%dT%H:%M:%SZ}"
    except ValueError:
        return str(moment)


def message_of(target: Mapping[str, Any], event: Mapping[str, Any]) -> str:
    """Return what a target receives: its Input, a part of the event, a transformed event, or the event."""
    if (given := target.get("Input")) is not None:
        return str(given)
    if transformer := target.get("InputTransformer"):
        from moto.events.utils import EventTemplateParser  # noqa: PLC0415 - as above

        original: Any = {**event, "ingestion-time": event["time"]}
        paths = transformer.get("InputPathsMap", {})
        return json.dumps(EventTemplateParser.parse(transformer["InputTemplate"], paths, original))
    part: Any = event
    for name in target.get("InputPath", "$").split(".")[1:]:
        part = part.get(name)
    return json.dumps(part)


def _send_s3_event(account_id: str, bucket: Any, event_name: str, key: Any) -> None:
    """Replace moto's function of this name: offer an event to the rules of the default bus."""
    from moto.events.models import events_backends  # noqa: PLC0415 - as above

    name = str(getattr(event_name, "value", event_name))
    if name.endswith(":Put") and key.multipart is not None:
        return  # moto stores the object of a multipart upload like a PutObject, which S3 does not report
    event = s3_event(
        name, bucket.name, key.name, key.size, key.etag, account=account_id, region=bucket.region_name
    )
    backend: Any = events_backends[account_id][bucket.region_name]
    for rule in list(backend.event_buses["default"].rules.values()) if event else ():
        rule.send_to_targets(event)


def _send_to_targets(self: Any, original_event: Mapping[str, Any], transform_input: bool = True) -> None:
    """Replace Rule.send_to_targets."""
    matches = bool(self.event_pattern.get_pattern()) and self.event_pattern.matches_event(original_event)
    if self.state != "ENABLED" or not matches:
        return
    event = {name: value for name, value in original_event.items() if name != "ingestion-time"}
    event["time"] = iso_time(event["time"])
    for target in self.targets:
        try:
            _send(self, target, message_of(target, event) if transform_input else json.dumps(event))
        except Exception as error:  # as on AWS, the sender does not notice
            print(f"rule {self.name} cannot deliver to {target['Arn']}: {error!r}", flush=True)


def _send(rule: Any, target: Mapping[str, Any], message: str) -> None:
    """Send to a queue or topic. The local stack has no other targets."""
    from moto.sns.models import sns_backends  # noqa: PLC0415 - as above
    from moto.sqs.models import sqs_backends  # noqa: PLC0415 - as above

    service, name = target["Arn"].split(":")[2], target["Arn"].rpartition(":")[2]
    if service == "sqs":
        group = target.get("SqsParameters", {}).get("MessageGroupId")
        sqs_backends[rule.account_id][rule.region_name].send_message(name, message, group_id=group)
    elif service == "sns":
        sns_backends[rule.account_id][rule.region_name].publish(message, arn=target["Arn"])
    else:
        raise NotImplementedError("the local stack delivers to queues and topics only")
