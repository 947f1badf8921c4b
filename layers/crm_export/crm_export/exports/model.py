"""What an export and its parts are. Their states: docs/design.md."""

import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crm_export.zoho.records import Cursor

LARGEST_PART = 99_999  # five digits in keys
_EXPORT_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{16}")


BULK_READ, RECORDS = "bulk_read", "records"  # where an export's records come from


class ExportState(StrEnum):
    """RUNNING → COMPLETED | FAILED."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class PartState(StrEnum):
    """PENDING → SUBMITTED → READY → STORED, or FAILED.

    PENDING: written before Zoho is called. SUBMITTED: Zoho gave a job id. READY: Zoho says COMPLETED.
    STORED: the object is in S3 and its record count equals Zoho's.
    """

    PENDING = "PENDING"
    SUBMITTED = "SUBMITTED"
    READY = "READY"
    STORED = "STORED"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Stored:
    """A part's object in S3. `records` is counted in the file, `bytes` is the size of the object.

    crc32: of the file before gzip, as 8 hex digits. header: the names of the CSV's columns; empty for ICS.
    """

    key: str
    records: int
    bytes: int
    crc32: str
    header: tuple[str, ...]


@dataclass(frozen=True)
class Export:
    """What a user asks for: one module, one query. Times are ISO 8601 in UTC."""

    export_id: str
    account_id: str
    owner: str
    module: str
    query: dict[str, Any]  # Zoho's fields, criteria, cvid, as v3 and later write them; fields may be "all"
    file_type: str
    api_version: str
    callback_base_url: str
    requested_at: str
    deadline_at: str
    expires_at: int
    result_format: str = "csv"  # of what Zoho gives as csv: csv or csv.gz; frozen when the export starts
    state: ExportState = ExportState.RUNNING
    source: str = BULK_READ
    page: int = 1  # Zoho's page of 200,000 records that the first part is; earlier ones were not asked for
    generation: int = 1  # counts how often the export began anew
    first_part: int = 1  # of this generation: earlier ones are of another snapshot
    read_order: str | None = None  # of records read through the records API: "Modified_Time" | "id"
    fields: list[str] | None = None  # what Zoho is asked for by name; None: not settled, or all there are
    completed_at: str | None = None  # set before the manifest is written: from then on it cannot fail
    records: int | None = None
    failure: dict[str, str] | None = None
    fields_dropped: list[dict[str, str]] = field(default_factory=list)

    @property
    def is_readable(self) -> bool:
        """Whether its parts are read through the records API, and all is settled for that."""
        return self.source == RECORDS and self.read_order is not None

    @property
    def file_format(self) -> str:
        """Of the export's objects: csv, csv.gz or ics; also the end of their keys."""
        return self.result_format if self.file_type == "csv" else self.file_type

    @property
    def job_query(self) -> dict[str, Any]:
        """What its jobs are asked for: the query, with the fields that metadata named where nobody did."""
        query = {key: value for key, value in self.query.items() if key != "fields"}
        fields = self.query.get("fields") if self.fields is None else self.fields
        return {**query, "fields": fields} if fields else query

    @property
    def folder(self) -> str:
        """Prefix of the export's objects in S3."""
        return f"exports/account_id={self.account_id}/module={self.module}/export_id={self.export_id}"

    @property
    def manifest_key(self) -> str:
        """Key of the success marker."""
        return f"{self.folder}/manifest.json"

    def part_key(self, part: int, attempt: int = 1) -> str:
        """Key of a part's object. An attempt whose content may differ from an earlier one has its own."""
        again = f"-{attempt}" if attempt > 1 else ""
        return f"{self.folder}/part-{part:05d}{again}.{self.file_format}"

    def page_of(self, part: int) -> int:
        """Zoho's page that a part is, where parts are found by page."""
        return self.page + part - self.first_part


@dataclass(frozen=True)
class Part:
    """One Bulk Read job of an export and the one object it becomes. `part` counts from 1."""

    export_id: str
    part: int
    updated_at: str
    state: PartState = PartState.PENDING
    page_token: str | None = None  # how Zoho (v7 and later) finds this part; earlier: by page
    cursor: "Cursor | None" = None  # where it begins in the records API
    attempts: int = 0  # failed ones, since the part came to its state
    strikes: int = 0  # those of them that count towards `errors.max_attempts`: no throttling, no outages
    crashes: int = 0  # of those who held the lease and never gave it back, likewise
    not_before: str | None = None  # after a failed attempt
    lease_owner: str | None = None
    lease_until: str | None = None
    failed_job_ids: frozenset[str] = frozenset()  # jobs that Zoho ended in FAILURE
    hinted_job_id: str | None = None  # from a callback that came before the answer of "create job"
    job_id: str | None = None
    submitted_at: str | None = None
    expected_records: int | None = None
    more_records: bool = False
    next_page_token: str | None = None
    records: int | None = None
    bytes: int | None = None
    crc32: str | None = None
    header: list[str] | None = None
    key: str | None = None
    stored_at: str | None = None


def new_export_id(now: datetime) -> str:
    """An id that sorts by time and cannot be guessed: 20261122T130501Z-<64 random bits>."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(8)}"


def is_export_id(value: Any) -> bool:
    """Whether a value has the form of an export id."""
    return isinstance(value, str) and _EXPORT_ID.fullmatch(value) is not None


def timestamp(moment: datetime) -> str:
    """A UTC datetime as ISO 8601 with milliseconds and Z; such strings sort by time."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
