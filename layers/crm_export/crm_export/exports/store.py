"""The state of exports in one DynamoDB table: item META and items PART#00001 under EXPORT#<id>.

Every transition is one conditional write, and is asked so that asking twice does no harm: boto3
repeats a write whose answer was lost.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from crm_export.exports.items import item_key, read_export, read_part, typed
from crm_export.exports.model import Export, ExportState, Part, PartState
from crm_export.exports.part_transitions import PartTransitions

_OPEN = "OPEN"
_JSON = {"fields", "fields_dropped"}
# RUNNING, not sealed, and in the generation it was read in.
_UNCHANGED = "#state = :RUNNING AND generation = :seen AND attribute_not_exists(completed_at)"


class DynamoExportStore(PartTransitions):
    """ExportStore (ports) over the exports table. Reads are strongly consistent."""

    # --- reading -----------------------------------------------------------------------------

    def get(self, export_id: str) -> Export | None:
        """The export, or None."""
        item = self._table.get(item_key(export_id))
        return read_export(item) if item else None

    def get_part(self, export_id: str, part: int) -> Part | None:
        """The part, or None."""
        item = self._table.get(item_key(export_id, part))
        return read_part(item) if item else None

    def get_parts(self, export: Export) -> list[Part]:
        """See ExportStore."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table.name,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
            ExpressionAttributeValues={
                ":pk": item_key(export.export_id)["pk"],
                ":first": item_key(export.export_id, export.first_part)["sk"],
                ":last": {"S": "PART#~"},
            },
            ConsistentRead=True,
        )
        return [read_part(item) for page in pages for item in page["Items"]]

    def list_of_account(
        self, account_id: str, limit: int, after: dict[str, str] | None
    ) -> tuple[list[Export], dict[str, str] | None]:
        """See ExportStore. `after` is {"requested_at", "export_id"} of the last one seen."""
        start: dict[str, Any] = {}
        if after:
            start["ExclusiveStartKey"] = {
                **item_key(after["export_id"]),
                **typed({"account_id": account_id, "requested_at": after["requested_at"]}),
            }
        answer = self._client.query(
            TableName=self._table.name,
            IndexName="by-account",
            KeyConditionExpression="account_id = :account",
            ExpressionAttributeValues={":account": {"S": account_id}},
            ScanIndexForward=False,
            Limit=limit,
            **start,
        )
        exports = [read_export(item) for item in answer["Items"]]
        if not answer.get("LastEvaluatedKey") or not exports:
            return exports, None
        last = exports[-1]
        return exports, {"requested_at": last.requested_at, "export_id": last.export_id}

    def open_export_ids(self) -> Iterator[str]:
        """Ids of all exports that are RUNNING, oldest first."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table.name,
            IndexName="open",
            KeyConditionExpression="#open = :open",
            ExpressionAttributeNames={"#open": "open"},
            ExpressionAttributeValues={":open": {"S": _OPEN}},
        )
        for page in pages:
            for item in page["Items"]:
                yield item["pk"]["S"].removeprefix("EXPORT#")

    # --- an export ---------------------------------------------------------------------------

    def create(self, export: Export, first: Part) -> None:
        """Write a new export and its first part."""
        meta = {**item_key(export.export_id), **typed(asdict(export)), "open": {"S": _OPEN}}
        self._table.transact(
            [{"Put": {"Item": meta}}, {"Put": {"Item": self.part_item(first, export.expires_at)}}]
        )

    def amend(self, export: Export, **values: Any) -> Export | None:
        """See ExportStore."""
        amended = self._table.update(
            item_key(export.export_id),
            "SET " + ", ".join(f"#{name} = :{name}" for name in values),
            _UNCHANGED,
            {
                ":RUNNING": ExportState.RUNNING,
                ":seen": export.generation,
                **{
                    f":{name}": json.dumps(value) if name in _JSON else value
                    for name, value in values.items()
                },
            },
            names={f"#{name}": name for name in values},
        )
        return replace(export, **values) if amended else None

    def restart(self, export: Export, first: Part) -> bool:
        """See ExportStore."""
        request = self._table.update_request(
            item_key(export.export_id),
            "SET generation = :next, first_part = :first",
            _UNCHANGED,
            {
                ":RUNNING": ExportState.RUNNING,
                ":seen": export.generation,
                ":next": export.generation + 1,
                ":first": first.part,
            },
        )
        item = self.part_item(first, export.expires_at)
        put = {"Item": item, "ConditionExpression": "attribute_not_exists(pk)"}
        return self._table.transact([{"Update": request}, {"Put": put}])

    def seal(self, export: Export, completed_at: str, records: int) -> bool:
        """See ExportStore."""
        return self._table.update(
            item_key(export.export_id),
            "SET completed_at = if_not_exists(completed_at, :completed_at), records = :records",
            "#state = :RUNNING AND generation = :seen",
            {
                ":completed_at": completed_at,
                ":records": records,
                ":RUNNING": ExportState.RUNNING,
                ":seen": export.generation,
            },
        )

    def complete(self, export_id: str) -> bool:
        """See ExportStore."""
        return self._table.update(
            item_key(export_id),
            "SET #state = :COMPLETED REMOVE #open",
            "#state = :RUNNING AND attribute_exists(completed_at)",
            {":COMPLETED": ExportState.COMPLETED, ":RUNNING": ExportState.RUNNING},
            names={"#open": "open"},
        )

    def fail(self, export: Export, part: int | None, failure: dict[str, str], now: str) -> bool:
        """See ExportStore. `part`, where known, becomes FAILED too."""
        failed = self._table.update(
            item_key(export.export_id),
            "SET #state = :FAILED, failure = :failure, completed_at = :now REMOVE #open",
            _UNCHANGED,
            {
                ":FAILED": ExportState.FAILED,
                ":RUNNING": ExportState.RUNNING,
                ":seen": export.generation,
                ":failure": json.dumps(failure),
                ":now": now,
            },
            names={"#open": "open"},
        )
        if failed and part is not None:
            self._table.update(
                item_key(export.export_id, part),
                "SET #state = :FAILED, updated_at = :now",
                "#state <> :STORED",
                {":FAILED": PartState.FAILED, ":STORED": PartState.STORED, ":now": now},
            )
        return failed
