"""Zoho's limit of downloads as a budget: a part waits in its queue, instead of being refused by Zoho.

One download too many fails "all downloads" of the org for a minute.
https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/limitations.html
"""

import json
import math
from datetime import datetime
from typing import Any

_WINDOW = 60.0
_TRIES = 5


class DynamoDownloadBudget:
    """DownloadBudget (ports) in the exports table: the times of an account's last downloads."""

    def __init__(self, client: Any, table: str, per_minute: int) -> None:
        self._client = client
        self._table = table
        self._per_minute = per_minute

    def take(self, account_id: str, now: datetime) -> int:
        """See DownloadBudget. In any 60 seconds no more are given than allowed, whoever asks."""
        key = {"pk": {"S": f"BUDGET#{account_id}"}, "sk": {"S": "DOWNLOADS"}}
        moment = now.timestamp()
        for _ in range(_TRIES):
            item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item", {})
            seen = item.get("taken", {}).get("S", "[]")
            taken: list[float] = [then for then in json.loads(seen) if abs(moment - then) < _WINDOW]
            if len(taken) >= self._per_minute:
                return max(1, math.ceil(min(taken) + _WINDOW - moment))
            if self._write(key, seen, [*taken, moment]):
                return 0
        return 1

    def _write(self, key: dict[str, Any], seen: str, taken: list[float]) -> bool:
        values = {"taken": {"S": json.dumps(taken)}, "expires_at": {"N": str(int(taken[-1] + 3600))}}
        try:
            self._client.put_item(
                TableName=self._table,
                Item={**key, **values},
                ConditionExpression="attribute_not_exists(pk) OR taken = :seen",
                ExpressionAttributeValues={":seen": {"S": seen}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True
