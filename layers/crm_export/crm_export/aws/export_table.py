"""The state of exports in DynamoDB: one item META and items PART#00001, … under EXPORT#<export_id>.

Every change is one conditional write, so two workers never both succeed at the same transition.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from crm_export import strict_json
from crm_export.aws.idempotency import key_item, put_key, read_key
from crm_export.aws.table import Item, Key, Table, attribute, key, size_of, update_of
from crm_export.errors import QueryRefused
from crm_export.exports.model import (
    BoundKey,
    DroppedField,
    Export,
    ExportState,
    Failure,
    LastError,
    Part,
    PartState,
    RequestKey,
    Stored,
)
from crm_export.exports.pipeline import ExportTable
from crm_export.exports.runs import Run
from crm_export.exports.witness import Before, Witness
from crm_export.results.record_ids import PartIds
from crm_export.zoho.bulk_read import Job
from crm_export.zoho.records import Cursor

# RUNNING, not sealed, and of the generation that was read.
_UNCHANGED = "#state = :RUNNING AND generation = :seen AND attribute_not_exists(completed_at)"
_SEALED = "#state = :RUNNING AND generation = :seen AND attribute_exists(completed_at)"
# What every transition of a part resets; more names to remove may follow.
_RESET = "updated_at = :now, attempts = :n0 REMOVE not_before, lease_owner, lease_until, strikes, dead_owners"
_COMPLETION = (
    "SET #state = :COMPLETED REMOVE failure",
    "#state = :RUNNING AND attribute_exists(completed_at)",
)
_POSITION = key("RECONCILER", "POSITION")
# Bytes of an item of a new export, of the 400 KB that DynamoDB allows. The rest is for what later writes add:
# the fields to ask for (20 KB), the failure (15 KB), and fields that Zoho refuses, with the reasons (100 KB).
_LARGEST_NEW_ITEM = 256 * 1024
_EXPORTS_READ = 1000  # at a time, to find those of a run: DynamoDB stops at 1 MB


class DynamoExportTable(ExportTable):
    """The state of exports in DynamoDB. Reads are strongly consistent."""

    def __init__(self, client: Any, table: str) -> None:
        self._table = Table(client, table)

    # --- Reads -------------------------------------------------------------------------------

    def get(self, export_id: str) -> Export | None:
        item = self._table.get(item_key(export_id))
        return read_export(item) if item else None

    def get_part(self, export_id: str, part: int) -> Part | None:
        item = self._table.get(item_key(export_id, part))
        return read_part(item) if item else None

    def get_with_part(self, export_id: str, part: int) -> tuple[Export, Part] | None:
        meta, item = self._table.get_both(item_key(export_id), item_key(export_id, part))
        return (read_export(meta), read_part(item)) if meta and item else None

    def get_parts(self, export: Export) -> list[Part]:
        first = item_key(export.export_id, export.first_part)
        items = self._table.query(
            "pk = :pk AND sk BETWEEN :first AND :last",
            {"ConsistentRead": True},
            pk=first["pk"]["S"],
            first=first["sk"]["S"],
            last="PART#~",
        )
        return [read_part(item) for item in items]

    def list_of_account(
        self, account_id: str, limit: int, after: tuple[str, str] | None, run_id: str | None = None
    ) -> tuple[list[Export], tuple[str, str] | None]:
        page: dict[str, Any] = {"IndexName": "by-account", "ScanIndexForward": False, "Limit": limit}
        values = {"account": account_id}
        if run_id is not None:
            page |= {"FilterExpression": "run_id = :run", "Limit": _EXPORTS_READ}
            values["run"] = run_id
        if after:
            requested_at, export_id = after
            start = {"account_id": attribute(account_id), "requested_at": attribute(requested_at)}
            page["ExclusiveStartKey"] = item_key(export_id) | start
        response = self._table.query_page("account_id = :account", page, **values)
        exports = [read_export(item) for item in response["Items"][:limit]]
        if len(response["Items"]) > limit:
            return exports, (response["Items"][limit - 1]["requested_at"]["S"], exports[-1].export_id)
        last = response.get("LastEvaluatedKey")
        if not last or (not exports and run_id is None):
            return exports, None
        return exports, (last["requested_at"]["S"], last["pk"]["S"].removeprefix("EXPORT#"))

    def open_export_ids(self) -> Iterator[str]:
        items = self._table.query("#open = :OPEN", {"IndexName": "open"})
        return (item["pk"]["S"].removeprefix("EXPORT#") for item in items)

    def running_of_account(self, account_id: str, since: datetime) -> Iterator[str]:
        items = self._table.query(
            "account_id = :account AND requested_at > :since",
            {"IndexName": "by-account", "FilterExpression": "#state = :RUNNING"},
            account=account_id,
            since=since,
        )
        return (item["pk"]["S"].removeprefix("EXPORT#") for item in items)

    def reconciled_up_to(self) -> str:
        item = self._table.get(_POSITION)
        return item["export_id"]["S"] if item else ""

    def note_reconciled(self, export_id: str) -> None:
        self._table.put({**_POSITION, "export_id": attribute(export_id)})

    # --- An export ---------------------------------------------------------------------------

    def create(
        self, export: Export, first: Part, key: RequestKey | None = None, replaces: str | None = None
    ) -> bool:
        writes = creation(export, first)
        if key is not None:
            writes.append(put_key(key, export.export_id, replaces))
        return self._table.transact(*writes, or_conflict=key is not None)

    def bound_key(self, key: RequestKey) -> BoundKey | None:
        item = self._table.get(key_item(key))
        return read_key(item) if item else None

    def amend(self, export: Export, **values: Any) -> Export | None:
        amended = self._update(
            item_key(export.export_id),
            "SET " + ", ".join(f"#{name} = :{name}" for name in values),
            _UNCHANGED,
            seen=export.generation,
            **{name: _plain(name, value) for name, value in values.items()},
        )
        return replace(export, **values) if amended else None

    def add_credits(self, export_id: str, credits: int) -> None:
        update = "SET credits = if_not_exists(credits, :n0) + :credits"
        self._update(item_key(export_id), update, "#state = :RUNNING", credits=credits)

    def restart(self, export: Export, first: Part) -> bool:
        run = {} if export.sync is None else {"sync": _plain("sync", export.restarted_run)}
        update = _existing(
            item_key(export.export_id),
            f"SET generation = :next, first_part = :first{', #sync = :sync' if run else ''}",
            _UNCHANGED,
            seen=export.generation,
            next=export.generation + 1,
            first=first.part,
            **run,
        )
        return self._table.transact({"Update": update}, _put_new(first, export.expires_at))

    def seal(
        self, export: Export, completed_at: datetime, records: int, witness: Witness | None = None
    ) -> Export | None:
        seen = {} if witness is None else {"witness": _plain("witness", witness)}
        return self._changed_export(
            export.export_id,
            "SET completed_at = if_not_exists(completed_at, :completed_at), records = :records"
            f"{', witness = if_not_exists(witness, :witness)' if seen else ''}",
            "#state = :RUNNING AND generation = :seen",
            completed_at=completed_at,
            records=records,
            seen=export.generation,
            **seen,
        )

    def complete(self, export_id: str) -> Export | None:
        return self._changed_export(export_id, *_COMPLETION)

    def give_up(self, export: Export, failure: Failure, now: datetime) -> bool:
        return self._update(
            item_key(export.export_id),
            "SET gave_up_at = if_not_exists(gave_up_at, :now), failure = :failure",
            _SEALED,
            seen=export.generation,
            failure=_plain("failure", failure),
            now=now,
        )

    def fail_sealed(self, export: Export, failure: Failure, now: datetime) -> Export | None:
        return self._changed_export(
            export.export_id,
            "SET #state = :FAILED, failure = :failure, completed_at = :now",
            _SEALED,
            seen=export.generation,
            failure=_plain("failure", failure),
            now=now,
        )

    def cancel(self, export_id: str, now: datetime) -> Export | None:
        condition = "#state = :RUNNING AND attribute_not_exists(completed_at)"
        return self._changed_export(
            export_id, "SET #state = :CANCELLED, completed_at = :now", condition, now=now
        )

    def mark_cleaned(self, export_id: str, now: datetime) -> Export | None:
        condition = "#state = :CANCELLED AND attribute_not_exists(cleaned_at)"
        return self._changed_export(export_id, "SET cleaned_at = :now", condition, now=now)

    def mark_announced(self, export_id: str) -> None:
        self._update(item_key(export_id), "REMOVE #open", "#state <> :RUNNING")

    def fail(self, export: Export, part: int | None, failure: Failure, now: datetime) -> Export | None:
        failed = self._changed_export(
            export.export_id,
            "SET #state = :FAILED, failure = :failure, completed_at = :now",
            _UNCHANGED,
            seen=export.generation,
            failure=_plain("failure", failure),
            now=now,
        )
        if failed and part is not None:
            update = "SET #state = :FAILED, updated_at = :now"
            self._update(item_key(export.export_id, part), update, "#state <> :STORED", now=now)
        return failed

    # --- The lease and the hint of a part ----------------------------------------------------

    def claim(self, part: Part, owner: str, now: datetime, until: datetime) -> Part | None:
        takeover = part.lease_owner is not None and part.lease_owner != owner
        free = (
            "lease_owner = :dead AND lease_until < :now" if takeover else "attribute_not_exists(lease_owner)"
        )
        died = " ADD dead_owners :died" if takeover else ""
        return self._changed_part(
            part,
            f"SET lease_owner = :owner, lease_until = :until, updated_at = :now REMOVE not_before{died}",
            f"#state = :state AND (({free}) OR lease_owner = :owner) AND "
            "(attribute_not_exists(not_before) OR not_before <= :now)",
            state=part.state,
            owner=owner,
            until=until,
            now=now,
            **({"dead": part.lease_owner, "died": {part.lease_owner}} if takeover else {}),
        )

    def renew(self, part: Part, owner: str, until: datetime) -> bool:
        held = "#state = :state AND lease_owner = :owner"
        return self._update(
            _part_key(part), "SET lease_until = :until", held, state=part.state, owner=owner, until=until
        )

    def release(
        self,
        part: Part,
        owner: str,
        now: datetime,
        *,
        not_before: datetime | None = None,
        asked: bool = False,
        last_error: LastError | None = None,
        strikes: dict[str, int] | None = None,
    ) -> bool:
        given = {"not_before": not_before, "last_error": last_error, "strikes": strikes}
        values = {name: _plain(name, value) for name, value in given.items() if value is not None}
        failed = ", attempts = attempts + :n1" if not_before else ""
        if asked:
            failed += ", wait_asked = :not_before"
        return self._update(
            _part_key(part),
            f"SET updated_at = :now{failed}{''.join(f', {name} = :{name}' for name in values)} "
            f"REMOVE lease_owner, lease_until{'' if asked else ', wait_asked'}",
            "#state = :state AND lease_owner = :owner",
            state=part.state,
            owner=owner,
            now=now,
            **values,
        )

    def cancel_death(self, part: Part, owner: str) -> None:
        self._update(
            _part_key(part),
            "DELETE dead_owners :owners",
            "#state = :state AND contains(dead_owners, :owner)",
            state=part.state,
            owners={owner},
            owner=owner,
        )

    def count_callback(self, export_id: str, part: int, most: int) -> Part | None:
        item = self._changed(
            item_key(export_id, part),
            "SET callbacks = if_not_exists(callbacks, :n0) + :n1",
            "attribute_not_exists(callbacks) OR callbacks < :most",
            most=most,
        )
        return read_part(item) if item else None

    def note_hint(self, export_id: str, part: int, job_id: str) -> None:
        self._update(
            item_key(export_id, part),
            "SET hinted_job_id = :job",
            "#state = :PENDING AND attribute_not_exists(hinted_job_id) "
            "AND NOT contains(failed_job_ids, :job)",
            job=job_id,
        )
        # The part need not wait any longer, as a job exists; unless Zoho asked for the pause.
        self._update(
            item_key(export_id, part),
            "REMOVE not_before",
            "#state = :PENDING AND hinted_job_id = :job AND attribute_not_exists(wait_asked)",
            job=job_id,
        )

    def note_queued(self, part: Part, now: datetime) -> bool:
        # Two ticks may overlap: only one of them queues the part.
        seen = "queued_at = :last" if part.queued_at else "attribute_not_exists(queued_at)"
        return self._update(
            _part_key(part),
            "SET queued_at = :now",
            f"#state = :state AND updated_at = :seen AND ({seen} OR queued_at = :now)",
            state=part.state,
            seen=part.updated_at,
            now=now,
            **({"last": part.queued_at} if part.queued_at else {}),
        )

    def forget_hint(self, part: Part, now: datetime) -> None:
        self._update(
            _part_key(part),
            "SET updated_at = :now REMOVE hinted_job_id",
            "#state = :PENDING AND hinted_job_id = :job",
            job=part.hinted_job_id,
            now=now,
        )

    # --- Transitions of a part ---------------------------------------------------------------

    def mark_submitted(self, part: Part, job_id: str, now: datetime) -> Part | None:
        return self._changed_part(
            part,
            "SET #state = :SUBMITTED, job_id = :job, submitted_at = if_not_exists(submitted_at, :now), "
            f"{_RESET}, hinted_job_id",
            "#state = :PENDING OR (#state = :SUBMITTED AND job_id = :job)",
            job=job_id,
            now=now,
        )

    def mark_ready(self, export: Export, part: Part, job: Job, now: datetime) -> Part | None:
        ready = part.become_ready(job, now)
        token = ready.next_page_token
        update = (
            f"SET #state = :READY, ready_at = :now, expected_records = :expected, more_records = :more"
            f"{', next_page_token = :token' if token else ''}, {_RESET}",
            "#state = :SUBMITTED AND job_id = :job",
        )
        values: dict[str, Any] = {
            "job": job.job_id,
            "expected": job.count,
            "more": job.more_records,
            "now": now,
            **({"token": token} if token else {}),
        }
        if not job.more_records:
            return self._changed_part(part, *update, **values)
        writes = _existing(_part_key(part), *update, **values)
        return ready if self._transact_with_next(export, writes, ready.following(now)) else None

    def mark_pending_again(self, part: Part, now: datetime, not_before: datetime) -> bool:
        return self._update(
            _part_key(part),
            "SET #state = :PENDING, updated_at = :now, attempts = :n0, not_before = :not_before "
            "REMOVE lease_owner, lease_until, strikes, dead_owners, job_id, submitted_at "
            "ADD failed_job_ids :jobs",
            "#state = :SUBMITTED AND job_id = :job",
            job=part.job_id,
            jobs={part.job_id},
            now=now,
            not_before=not_before,
        )

    def mark_stored(self, part: Part, stored: Stored, now: datetime) -> Part | None:
        return self._changed_part(
            part,
            f"SET {_stored(stored)}",
            "#state = :READY AND job_id = :job",
            job=part.job_id,
            now=now,
            **_stored_values(stored),
        )

    def mark_read(
        self,
        export: Export,
        part: Part,
        owner: str,
        stored: Stored,
        now: datetime,
        *,
        following: Cursor | None,
        one_response: bool = False,
    ) -> bool:
        read = _existing(
            _part_key(part),
            f"SET expected_records = :records, more_records = :more, one_response = :one, {_stored(stored)}",
            "#state = :PENDING AND lease_owner = :owner",
            owner=owner,
            more=following is not None,
            one=one_response,
            now=now,
            **_stored_values(stored),
        )
        next_part = Part(part.export_id, part.part + 1, now, cursor=following)
        return self._transact_with_next(export, read, next_part if following is not None else None)

    def _transact_with_next(self, export: Export, update: dict[str, Any], following: Part | None) -> bool:
        writes: list[dict[str, dict[str, Any]]] = [{"Update": update}]
        if following is not None:
            writes.append(_put_new(following, export.expires_at))
        return self._table.transact(*writes)

    def _changed_export(self, export_id: str, update: str, condition: str, **values: Any) -> Export | None:
        item = self._changed(item_key(export_id), update, condition, **values)
        return read_export(item) if item else None

    def _changed_part(self, part: Part, update: str, condition: str, **values: Any) -> Part | None:
        item = self._changed(_part_key(part), update, condition, **values)
        return read_part(item) if item else None

    def _changed(self, item: Key, update: str, condition: str, **values: Any) -> Item | None:
        return self._table.changed(item, update, f"attribute_exists(pk) AND ({condition})", **values)

    def _update(self, item: Key, update: str, condition: str, **values: Any) -> bool:
        return self._table.update(item, update, f"attribute_exists(pk) AND ({condition})", **values)


def item_key(export_id: str, part: int | None = None) -> Key:
    """Return the key of an export, or of one of its parts."""
    return key(f"EXPORT#{export_id}", "META" if part is None else f"PART#{part:05d}")


def read_export(item: Item) -> Export:
    """Return the export that an item META contains."""
    return Export(**_decode_item(item, Export) | {"state": ExportState(item["state"]["S"])})


def read_part(item: Item) -> Part:
    """Return the part that an item PART#00001 contains."""
    return Part(**_decode_item(item, Part) | {"state": PartState(item["state"]["S"])})


def creation(export: Export, first: Part) -> list[dict[str, dict[str, Any]]]:
    """Return the writes of a transaction that creates an export. Raises QueryRefused if it is too large."""
    meta = {**item_key(export.export_id), **encode(vars(export)), "open": attribute("OPEN")}
    items = [meta, _part_item(first, export.expires_at)]
    if (size := max(map(size_of, items))) > _LARGEST_NEW_ITEM:
        raise QueryRefused(
            f"With this query the export's state has {size} bytes; at most {_LARGEST_NEW_ITEM} are "
            "allowed. Give fewer or shorter values in query.criteria, or fewer names in query.fields."
        )
    return [{"Put": {"Item": item}} for item in items]


def completion(export_id: str) -> dict[str, dict[str, Any]]:
    """Return the write of a transaction that completes a sealed export."""
    return {"Update": _existing(item_key(export_id), *_COMPLETION)}


def _part_key(part: Part) -> Key:
    return item_key(part.export_id, part.part)


def _existing(item: Key, update: str, condition: str, **values: Any) -> dict[str, Any]:
    return update_of(item, update, f"attribute_exists(pk) AND ({condition})", **values)


def _part_item(part: Part, expires_at: datetime) -> Item:
    return {**_part_key(part), **encode({**vars(part), "expires_at": expires_at})}


def _put_new(part: Part, expires_at: datetime) -> dict[str, dict[str, Any]]:
    item = _part_item(part, expires_at)
    return {"Put": {"Item": item, "ConditionExpression": "attribute_not_exists(pk)"}}


def _stored(stored: Stored) -> str:
    return (
        f"#state = :STORED, {', '.join(f'#{name} = :{name}' for name in _stored_values(stored))}, "
        f"stored_at = :now, {_RESET}"
    )


def _stored_values(stored: Stored) -> dict[str, Any]:
    index = {} if stored.index is None else {"index": stored.index}
    plain = {name: _plain(name, getattr(stored, name)) for name in ("header", "ids")}
    return {name: value for name, value in vars(stored).items() if name != "index"} | plain | index


# --- Attributes: how the fields of Export and Part are stored ---------------------------------

# How a field becomes JSON, and how JSON becomes the field.
_JSON: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "query": (dict, dict),
    "fields": (list, list),
    "header": (list, tuple),
    "ids": (
        lambda ids: ids and ids.to_dict(),
        lambda stored: stored and PartIds.from_dict(stored),
    ),
    "failure": (vars, lambda stored: Failure(**stored)),
    "last_error": (vars, lambda stored: LastError(**stored)),
    "strikes": (dict, dict),
    "fields_dropped": (
        lambda dropped: [vars(field) for field in dropped],
        lambda stored: tuple(DroppedField(**field) for field in stored),
    ),
    "cursor": (Cursor.to_json, Cursor.from_json),
    "counted_before": (Before.to_dict, Before.from_dict),
    "sync": (Run.to_dict, Run.from_dict),
    "witness": (Witness.to_dict, Witness.from_dict),
}
_TIMES = {field.name for kind in (Export, Part) for field in fields(kind) if "datetime" in str(field.type)}
_deserialize = TypeDeserializer().deserialize


def _plain(name: str, value: Any) -> Any:
    """Return the string, number, boolean or set that a field is stored as."""
    if name in _JSON:
        return strict_json.dumps(_JSON[name][0](value))
    if name == "expires_at":  # DynamoDB's time to live wants seconds since the epoch
        return int(value.timestamp())
    return value


def encode(values: Mapping[str, Any]) -> Item:
    """Return fields as attributes, without those that are None or an empty set."""
    return {
        name: attribute(_plain(name, value))
        for name, value in values.items()
        if value is not None and value != frozenset()
    }


def _decode_item(item: Item, kind: type[Export | Part]) -> dict[str, Any]:
    return {field.name: _decode(field.name, item[field.name]) for field in fields(kind) if field.name in item}


def _decode(name: str, stored: Any) -> Any:
    value = _deserialize(stored)
    if name == "strikes" and not isinstance(value, str):
        return {}  # a part that version 0.2.0 wrote: one number for all codes
    if name in _JSON:
        return _JSON[name][1](json.loads(value))
    if name == "expires_at":
        return datetime.fromtimestamp(int(value), UTC)
    if name in _TIMES:
        return datetime.fromisoformat(value)
    if isinstance(value, Decimal):
        return int(value)
    return frozenset(value) if isinstance(value, set) else value
