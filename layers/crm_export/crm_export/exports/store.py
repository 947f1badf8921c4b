"""The state of exports in one DynamoDB table: item META and items PART#00001 under EXPORT#<id>.

Every transition is one conditional write, and is asked so that asking twice does no harm: boto3
repeats a write whose answer was lost.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from crm_export.exports.items import Table, item_key, read_export, read_part, typed
from crm_export.exports.model import Export, ExportState, Part, PartState
from crm_export.zoho.bulk_read import Job

_OPEN = "OPEN"
# What a transition sets and removes beside the state, before the names of what else it removes.
_ANEW = "updated_at = :now, attempts = :zero, crashes = :zero REMOVE not_before, lease_owner, lease_until,"


class DynamoExportStore:
    """ExportStore (ports) over the exports table. Reads are strongly consistent."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = Table(client, table)

    # --- reading -----------------------------------------------------------------------------

    def get(self, export_id: str) -> Export | None:
        """The export, or None."""
        item = self._table.get(item_key(export_id))
        return read_export(item) if item else None

    def get_part(self, export_id: str, part: int) -> Part | None:
        """The part, or None."""
        item = self._table.get(item_key(export_id, part))
        return read_part(item) if item else None

    def get_parts(self, export_id: str) -> list[Part]:
        """All parts, in order."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table.name,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :part)",
            ExpressionAttributeValues={":pk": {"S": f"EXPORT#{export_id}"}, ":part": {"S": "PART#"}},
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
            [{"Put": {"Item": meta}}, {"Put": {"Item": self._part_item(first, export.expires_at)}}]
        )

    def seal(self, export_id: str, completed_at: str, records: int) -> bool:
        """See ExportStore."""
        return self._table.update(
            item_key(export_id),
            "SET completed_at = if_not_exists(completed_at, :completed_at), records = :records",
            "#state = :RUNNING",
            {":completed_at": completed_at, ":records": records, ":RUNNING": ExportState.RUNNING},
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

    def fail(self, export_id: str, part: int | None, failure: dict[str, str], now: str) -> bool:
        """See ExportStore. `part`, where known, becomes FAILED too."""
        failed = self._table.update(
            item_key(export_id),
            "SET #state = :FAILED, failure = :failure, completed_at = :now REMOVE #open",
            "#state = :RUNNING AND attribute_not_exists(completed_at)",
            {
                ":FAILED": ExportState.FAILED,
                ":RUNNING": ExportState.RUNNING,
                ":failure": json.dumps(failure),
                ":now": now,
            },
            names={"#open": "open"},
        )
        if failed and part is not None:
            self._table.update(
                item_key(export_id, part),
                "SET #state = :FAILED, updated_at = :now",
                "#state <> :STORED",
                {":FAILED": PartState.FAILED, ":STORED": PartState.STORED, ":now": now},
            )
        return failed

    # --- a part ------------------------------------------------------------------------------

    def claim(self, part: Part, owner: str, now: str, until: str) -> bool:
        """See ExportStore."""
        crashed = ", crashes = crashes + :one" if part.lease_owner else ""
        return self._table.update(
            item_key(part.export_id, part.part),
            f"SET lease_owner = :owner, lease_until = :until, updated_at = :now{crashed} REMOVE not_before",
            "#state = :state AND "
            "(attribute_not_exists(lease_until) OR lease_until < :now OR lease_owner = :owner) AND "
            "(attribute_not_exists(not_before) OR not_before <= :now)",
            {":owner": owner, ":until": until, ":now": now, ":state": part.state}
            | ({":one": 1} if part.lease_owner else {}),
        )

    def renew(self, part: Part, owner: str, until: str) -> bool:
        """See ExportStore."""
        return self._table.update(
            item_key(part.export_id, part.part),
            "SET lease_until = :until",
            "#state = :state AND lease_owner = :owner",
            {":until": until, ":state": part.state, ":owner": owner},
        )

    def release(self, part: Part, owner: str, now: str, *, not_before: str | None = None) -> None:
        """See ExportStore."""
        failed = ", attempts = attempts + :one, not_before = :not_before" if not_before else ""
        self._table.update(
            item_key(part.export_id, part.part),
            f"SET updated_at = :now{failed} REMOVE lease_owner, lease_until",
            "#state = :state AND lease_owner = :owner",
            {":now": now, ":state": part.state, ":owner": owner}
            | ({":one": 1, ":not_before": not_before} if not_before else {}),
        )

    def forget_hint(self, part: Part, now: str) -> None:
        """See ExportStore."""
        self._table.update(
            item_key(part.export_id, part.part),
            "SET updated_at = :now REMOVE hinted_job_id",
            "#state = :PENDING AND hinted_job_id = :job",
            {":now": now, ":PENDING": PartState.PENDING, ":job": part.hinted_job_id},
        )

    def note_job(self, export_id: str, part: int, job_id: str) -> None:
        """See ExportStore."""
        self._table.update(
            item_key(export_id, part),
            # Whatever the part waits for: there is a job now.
            "SET hinted_job_id = :job REMOVE not_before",
            "#state = :PENDING AND NOT contains(failed_job_ids, :job)",
            {":job": job_id, ":PENDING": PartState.PENDING},
        )

    def mark_submitted(self, part: Part, job_id: str, now: str) -> bool:
        """PENDING → SUBMITTED."""
        return self._table.update(
            item_key(part.export_id, part.part),
            f"SET #state = :SUBMITTED, job_id = :job, {_ANEW} hinted_job_id",
            "#state = :PENDING OR (#state = :SUBMITTED AND job_id = :job)",
            {
                ":zero": 0,
                ":PENDING": PartState.PENDING,
                ":SUBMITTED": PartState.SUBMITTED,
                ":job": job_id,
                ":now": now,
            },
        )

    def mark_ready(self, part: Part, job: Job, now: str) -> bool:
        """SUBMITTED → READY, and the next part PENDING where there are more records."""
        facts: dict[str, Any] = {":expected": job.count, ":more": job.more_records}
        token = ", next_page_token = :token" if job.next_page_token else ""
        if job.next_page_token:
            facts[":token"] = job.next_page_token
        ready = self._table.update_request(
            item_key(part.export_id, part.part),
            f"SET #state = :READY, expected_records = :expected, more_records = :more{token}, "
            f"{_ANEW} hinted_job_id",
            "#state = :SUBMITTED AND job_id = :job",
            {
                **facts,
                ":zero": 0,
                ":READY": PartState.READY,
                ":SUBMITTED": PartState.SUBMITTED,
                ":job": job.job_id,
                ":now": now,
            },
        )
        writes: list[dict[str, Any]] = [{"Update": ready}]
        if job.more_records:
            following = Part(part.export_id, part.part + 1, now, page_token=job.next_page_token)
            export = self._table.get(item_key(part.export_id)) or {}
            item = self._part_item(following, int(export["expires_at"]["N"]))
            writes.append({"Put": {"Item": item, "ConditionExpression": "attribute_not_exists(pk)"}})
        return self._table.transact(writes)

    def mark_pending_again(self, part: Part, now: str, not_before: str) -> bool:
        """SUBMITTED → PENDING, without the job that failed and after a pause."""
        return self._table.update(
            item_key(part.export_id, part.part),
            "SET #state = :PENDING, updated_at = :now, attempts = :zero, crashes = :zero, "
            "not_before = :not_before REMOVE lease_owner, lease_until, job_id, hinted_job_id "
            "ADD failed_job_ids :jobs",
            "#state = :SUBMITTED AND job_id = :job",
            {
                ":PENDING": PartState.PENDING,
                ":SUBMITTED": PartState.SUBMITTED,
                ":job": part.job_id,
                ":jobs": {part.job_id},
                ":now": now,
                ":not_before": not_before,
                ":zero": 0,
            },
        )

    def mark_stored(self, part: Part, stored: dict[str, Any], now: str) -> bool:
        """READY → STORED with records, bytes, crc32, header and key."""
        return self._table.update(
            item_key(part.export_id, part.part),
            "SET #state = :STORED, records = :records, #bytes = :bytes, crc32 = :crc32, "
            f"header = :header, #key = :key, stored_at = :now, {_ANEW} hinted_job_id",
            "#state = :READY AND job_id = :job",
            {
                ":zero": 0,
                ":STORED": PartState.STORED,
                ":READY": PartState.READY,
                ":job": part.job_id,
                ":records": stored["records"],
                ":bytes": stored["bytes"],
                ":crc32": stored["crc32"],
                ":header": json.dumps(stored["header"]),
                ":key": stored["key"],
                ":now": now,
            },
            names={"#bytes": "bytes", "#key": "key"},
        )

    def _part_item(self, part: Part, expires_at: int) -> dict[str, Any]:
        values = {**asdict(part), "expires_at": expires_at}
        return {**item_key(part.export_id, part.part), **typed(values)}
