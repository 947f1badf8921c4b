"""Our own events on EventBridge.

https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
"""

import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from crm_export.errors import EventNotSent
from crm_export.exports.pipeline import EventBus

SOURCE = "zoho-crm-export"


class EventBridgeBus(EventBus):
    """A bus of EventBridge. make_client: returns its boto3 client; it is called for the first event."""

    def __init__(self, make_client: Callable[[], Any], bus: str) -> None:
        self._make_client = make_client
        self._bus = bus

    def send(self, detail_type: str, detail: dict[str, Any]) -> None:
        entry = {
            "Source": SOURCE,
            "DetailType": detail_type,
            "Detail": json.dumps(detail, ensure_ascii=False),
            "EventBusName": self._bus,
        }
        try:
            response = self._make_client().put_events(Entries=[entry])
        except (ClientError, BotoCoreError) as error:
            raise EventNotSent(f"EventBridge did not take the event: {error}") from error
        if response.get("FailedEntryCount"):  # with HTTP 200
            (failed,) = response["Entries"]
            raise EventNotSent(
                f"EventBridge did not take the event: {failed.get('ErrorCode')}: {failed.get('ErrorMessage')}"
            )
