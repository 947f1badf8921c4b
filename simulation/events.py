"""EventBridge: the events that our functions send about exports that have ended."""

import json
from typing import Any

from simulation.calls import Calls

_FAULTS = {
    "twice": "event sent twice, its response lost",
    "lost": "event sent, its response lost for good",
    "refused": "event not sent",
}


class EventBridge:
    """The boto3 client. `sent`: detail-type and detail of each event, in order."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def put_events(self, *, Entries: list[dict[str, str]]) -> dict[str, Any]:
        """See boto3."""
        (entry,) = Entries
        assert (entry["Source"], entry["EventBusName"]) == ("zoho-crm-export", "default")
        if self._calls.faults.happens("event refused by the bus"):
            failed = {"ErrorCode": "InternalFailure", "ErrorMessage": "try again"}
            return self._calls.make(
                "events put", lambda: {"FailedEntryCount": 1, "Entries": [failed]}, seconds=0.02
            )

        def put(again: bool) -> dict[str, Any]:
            self.sent.append((entry["DetailType"], json.loads(entry["Detail"])))
            return {"FailedEntryCount": 0, "Entries": [{"EventId": str(len(self.sent))}]}

        return self._calls.aws(f"events put {entry['DetailType']}", put, seconds=0.02, **_FAULTS)
