"""What exports and parts look like as DynamoDB items, and how items are written."""
# The transitions of a part: each one conditional write of its item in the exports table.
#
# Asked so that asking twice does no harm: boto3 repeats a write whose answer was lost.
#
# The state of exports in one DynamoDB table: item META and items PART#00001 under EXPORT#<id>.
#
# Every transition is one conditional write, and is asked so that asking twice does no harm: boto3
# repeats a write whose answer was lost.
#

import json
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from crm_export.exports.model import Export, ExportState, Part, PartState
from crm_export.zoho.bulk_read import Job
from crm_export.zoho.records import Cursor

_JSON_FIELDS = {"query", "failure", "fields", "fields_dropped", "header", "cursor"}
_EXPORT_FIELDS = [field.name for field in fields(Export)]
_PART_FIELDS = [field.name for field in fields(Part)]


def item_key(export_id: str, part: int | None = None) -> dict[str, dict[str, str]]:
    """The key of an export, or of one of its parts."""
    sk = "META" if part is None else f"PART#{part:05d}"
    return {"pk": {"S": f"EXPORT#{export_id}"}, "sk": {"S": sk}}


def typed(values: dict[str, Any]) -> dict[str, Any]:
    """Values as DynamoDB's attributes, without those that are None or empty sets."""
    serialize = TypeSerializer().serialize
    return {
        name: serialize(json.dumps(value) if name in _JSON_FIELDS else value)
        for name, value in values.items()
        if value is not None and value != frozenset()
    }


def _untyped(item: dict[str, Any], names: list[str]) -> dict[str, Any]:
    deserialize = TypeDeserializer().deserialize
    values: dict[str, Any] = {}
    for name in names:
        if name not in item:
            continue
        value = deserialize(item[name])
        if name in _JSON_FIELDS:
            value = json.loads(value)
        values[name] = int(value) if isinstance(value, Decimal) else value
        if isinstance(value, set):
            values[name] = frozenset(value)
    return values


def read_export(item: dict[str, Any]) -> Export:
    """The export an item META holds."""
    values = _untyped(item, _EXPORT_FIELDS)
    return Export(**{**values, "state": ExportState(values["state"])})


def read_part(item: dict[str, Any]) -> Part:
    """The part an item PART#00001 holds."""
    values = _untyped(item, _PART_FIELDS)
    cursor = Cursor.from_json(values["cursor"]) if "cursor" in values else None
    return Part(**{**values, "state": PartState(values["state"]), "cursor": cursor})


class Table:
    """Conditional writes to one table; a condition that does not hold is False, not an exception."""

    def __init__(self, client: Any, name: str) -> None:
        self.client = client
        self.name = name

    def get(self, key: dict[str, Any]) -> dict[str, Any] | None:
        """An item, read consistently, or None."""
        answer = self.client.get_item(TableName=self.name, Key=key, ConsistentRead=True)
        item: dict[str, Any] | None = answer.get("Item")
        return item

    def update_request(
        self,
        key: dict[str, Any],
        update: str,
        condition: str,
        values: dict[str, Any],
        names: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """The parameters of an UpdateItem of an item that exists; `#state` is its state."""
        serialize = TypeSerializer().serialize
        return {
            "TableName": self.name,
            "Key": key,
            "UpdateExpression": update,
            "ConditionExpression": f"attribute_exists(pk) AND ({condition})",
            "ExpressionAttributeNames": {"#state": "state", **(names or {})},
            "ExpressionAttributeValues": {name: serialize(value) for name, value in values.items()},
        }

    def update(
        self,
        key: dict[str, Any],
        update: str,
        condition: str,
        values: dict[str, Any],
        names: dict[str, str] | None = None,
    ) -> bool:
        """Do it; tell whether the condition held."""
        try:
            self.client.update_item(**self.update_request(key, update, condition, values, names))
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def transact(self, writes: list[dict[str, Any]]) -> bool:
        """Do all writes or none; tell whether all conditions held."""
        for write in writes:
            for request in write.values():
                request.setdefault("TableName", self.name)
        try:
            self.client.transact_write_items(TransactItems=writes)
        except ClientError as error:
            reasons = error.response.get("CancellationReasons", [])
            if any(reason.get("Code") == "ConditionalCheckFailed" for reason in reasons):
                return False
            raise
        return True


# What a transition sets and removes beside the state, before the names of what else it removes.
_ANEW = (
    "updated_at = :now, attempts = :zero, strikes = :zero, crashes = :zero "
    "REMOVE not_before, lease_owner, lease_until,"
)


class PartTransitions:
    """The part of ExportStore (ports) that moves parts on."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = Table(client, table)

    def claim(self, part: Part, owner: str, now: str, until: str) -> bool:
        """See ExportStore."""
        # Only who read the dead worker's lease takes it over, and sets the count: added to, it would count
        # one death twice when boto3 asks again.
        dead = part.lease_owner if part.lease_owner != owner else None
        crashed = ", crashes = :crashes" if dead else ""
        free = "lease_owner = :dead AND lease_until < :now" if dead else "attribute_not_exists(lease_owner)"
        return self._table.update(
            item_key(part.export_id, part.part),
            f"SET lease_owner = :owner, lease_until = :until, updated_at = :now{crashed} REMOVE not_before",
            f"#state = :state AND (({free}) OR lease_owner = :owner) AND "
            "(attribute_not_exists(not_before) OR not_before <= :now)",
            {":owner": owner, ":until": until, ":now": now, ":state": part.state}
            | ({":dead": dead, ":crashes": part.crashes + 1} if dead else {}),
        )

    def renew(self, part: Part, owner: str, until: str) -> bool:
        """See ExportStore."""
        return self._table.update(
            item_key(part.export_id, part.part),
            "SET lease_until = :until",
            "#state = :state AND lease_owner = :owner",
            {":until": until, ":state": part.state, ":owner": owner},
        )

    def release(
        self, part: Part, owner: str, now: str, *, not_before: str | None = None, strike: bool = False
    ) -> None:
        """See ExportStore."""
        failed = ", attempts = attempts + :one, not_before = :not_before" if not_before else ""
        if failed and strike:  # of a part written before there were strikes, all attempts were
            failed += ", strikes = if_not_exists(strikes, attempts) + :one"
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
            "SET #state = :SUBMITTED, job_id = :job, submitted_at = if_not_exists(submitted_at, :now), "
            f"{_ANEW} hinted_job_id",
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
            writes.append(self._put_next(following))
        return self._table.transact(writes)

    def mark_pending_again(self, part: Part, now: str, not_before: str) -> bool:
        """SUBMITTED → PENDING, without the job that failed and after a pause."""
        return self._table.update(
            item_key(part.export_id, part.part),
            "SET #state = :PENDING, updated_at = :now, attempts = :zero, strikes = :zero, crashes = :zero, "
            "not_before = :not_before REMOVE lease_owner, lease_until, job_id, submitted_at, hinted_job_id "
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

    def mark_read(self, part: Part, owner: str, stored: dict[str, Any], cursor: Cursor | None) -> bool:
        """See ExportStore."""
        update = self._table.update_request(
            item_key(part.export_id, part.part),
            "SET #state = :STORED, expected_records = :expected, more_records = :more, records = :records, "
            "#bytes = :bytes, crc32 = :crc32, header = :header, #key = :key, stored_at = :now, "
            f"{_ANEW} job_id",
            "#state = :PENDING AND lease_owner = :owner",
            {
                ":zero": 0,
                ":STORED": PartState.STORED,
                ":PENDING": PartState.PENDING,
                ":owner": owner,
                ":expected": stored["expected_records"],
                ":more": cursor is not None,
                ":records": stored["records"],
                ":bytes": stored["bytes"],
                ":crc32": stored["crc32"],
                ":header": json.dumps(stored["header"]),
                ":key": stored["key"],
                ":now": stored["stored_at"],
            },
            names={"#bytes": "bytes", "#key": "key"},
        )
        writes: list[dict[str, Any]] = [{"Update": update}]
        if cursor is not None:
            writes.append(
                self._put_next(Part(part.export_id, part.part + 1, stored["stored_at"], cursor=cursor))
            )
        return self._table.transact(writes)

    def _put_next(self, following: Part) -> dict[str, Any]:
        export = self._table.get(item_key(following.export_id)) or {}
        item = self.part_item(following, int(export["expires_at"]["N"]))
        return {"Put": {"Item": item, "ConditionExpression": "attribute_not_exists(pk)"}}

    def part_item(self, part: Part, expires_at: int) -> dict[str, Any]:
        """A part as the item it is written as."""
        cursor = part.cursor and part.cursor.to_json()
        values = {**asdict(part), "cursor": cursor, "expires_at": expires_at}
        return {**item_key(part.export_id, part.part), **typed(values)}


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
