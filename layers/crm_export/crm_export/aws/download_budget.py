"""Zoho's limit of downloads per minute as a budget: a part waits in its queue instead of being refused.

One download too many makes Zoho refuse all downloads of the org for a minute.
https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/limitations.html
"""

import json
import math
from datetime import datetime
from typing import Any

from crm_export.aws.table import Table, attribute, key
from crm_export.exports.pipeline import DownloadBudget

_WINDOW_SECONDS = 60.0
_KEPT_SECONDS = 3600
_TRIES = 5


class DynamoDownloadBudget(DownloadBudget):
    """The budget in DynamoDB: the times of an account's last downloads."""

    def __init__(self, client: Any, table: str, per_minute: int) -> None:
        self._table = Table(client, table)
        self._per_minute = per_minute

    def take(self, account_id: str, now: datetime) -> int:
        """Take one download. Never allows more than `per_minute` downloads in any 60 seconds."""
        item_key, moment = key(f"BUDGET#{account_id}", "DOWNLOADS"), now.timestamp()
        for _ in range(_TRIES):
            seen = (self._table.get(item_key) or {}).get("taken", {}).get("S", "[]")
            taken: list[float] = [then for then in json.loads(seen) if abs(moment - then) < _WINDOW_SECONDS]
            if len(taken) >= self._per_minute:
                return max(1, math.ceil(min(taken) + _WINDOW_SECONDS - moment))
            item = {
                **item_key,
                "taken": attribute(json.dumps([*taken, moment])),
                "expires_at": attribute(int(moment) + _KEPT_SECONDS),
            }
            if self._table.put(item, "attribute_not_exists(pk) OR taken = :seen", seen=seen):
                return 0
        return 1
