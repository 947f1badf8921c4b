"""The transitions of a part: each one conditional write of its item in the exports table.

Asked so that asking twice does no harm: boto3 repeats a write whose answer was lost.
"""

import json
from dataclasses import asdict
from typing import Any

from crm_export.exports.items import Table, item_key, typed
from crm_export.exports.model import Part, PartState
from crm_export.zoho.bulk_read import Job

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

    def mark_read(
        self, part: Part, owner: str, stored: dict[str, Any], cursor: dict[str, Any] | None
    ) -> bool:
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
        values = {**asdict(part), "expires_at": expires_at}
        return {**item_key(part.export_id, part.part), **typed(values)}
