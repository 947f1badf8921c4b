"""An export, its parts and their states. `next_step` is the state machine; docs/design.md draws it."""

import hashlib
import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, Self

from crm_export.errors import ExportError
from crm_export.exports.runs import Run, with_window
from crm_export.results.record_ids import PartIds
from crm_export.zoho.catalog import has_page_token

if TYPE_CHECKING:  # the witness imports the pipeline's types, which import this module
    from crm_export.exports.witness import Before, Witness
if TYPE_CHECKING:  # the callback receiver needs no HTTP client
    from crm_export.zoho.bulk_read import Job
    from crm_export.zoho.records import Cursor

LARGEST_PART = 99_999  # keys have five digits
_EXPORT_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{16}")
_LONGEST_MESSAGE = 2500  # characters: a failure is part of a DynamoDB item
_LONGEST_LAST_ERROR = 500

BULK_READ, RECORDS = "bulk_read", "records"  # the Zoho API that an export reads


class ExportState(StrEnum):
    """RUNNING → COMPLETED | FAILED | CANCELLED."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class PartState(StrEnum):
    """PENDING → SUBMITTED → READY → STORED, or FAILED.

    PENDING: written before Zoho is called. SUBMITTED: Zoho returned a job id. READY: Zoho reports COMPLETED.
    STORED: the object is in S3 and contains as many records as Zoho counted.
    """

    PENDING = "PENDING"
    SUBMITTED = "SUBMITTED"
    READY = "READY"
    STORED = "STORED"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Caller:
    """The account (tenant) and the owner of the connection that a request uses."""

    account_id: str
    owner: str


@dataclass(frozen=True)
class RequestKey:
    """An Idempotency-Key and the request that it came with, both as SHA-256 in hex.

    shown: the key itself, cut for use in a message.
    """

    account_id: str
    shown: str
    key_hash: str
    request_hash: str
    expires_at: datetime  # from then on the key is free


@dataclass(frozen=True)
class BoundKey:
    """What the table has about a key: the hash of its request, and the export that this request started."""

    request_hash: str
    export_id: str
    expires_at: datetime


@dataclass(frozen=True)
class Failure:
    """Why an export FAILED: a stable code, the message, and what the user can do."""

    code: str
    message: str
    remedy: str

    @classmethod
    def of(cls, error: ExportError) -> Self:
        """Describe an error; a very long message is cut."""
        return cls(error.code, error.message[:_LONGEST_MESSAGE], error.remedy)


@dataclass(frozen=True)
class LastError:
    """Why the last attempt at a part failed: the error's code and message, and when."""

    code: str
    message: str
    at: str

    @classmethod
    def of(cls, error: ExportError, at: datetime) -> Self:
        """Describe an error; a long message is cut."""
        return cls(error.code, error.message[:_LONGEST_LAST_ERROR], timestamp(at))


@dataclass(frozen=True)
class DroppedField:
    """A field of the module that the export does not contain, and why."""

    field: str
    reason: str


@dataclass(frozen=True)
class Stored:
    """A part's object in S3. `records` is counted in the file, `bytes` is the size of the object.

    crc32: of the file before gzip, as 8 hex digits. header: the names of the CSV's columns; empty for ICS.
    ids: None if the file has no column Id. index: the key of the part's index (`results.record_index`); None
    if none was asked for, or the ids cannot be read.
    """

    key: str
    records: int
    bytes: int
    crc32: str
    header: tuple[str, ...]
    ids: PartIds | None = None
    index: str | None = None


@dataclass(frozen=True)
class Export:
    """One module read with one query, once."""

    export_id: str
    account_id: str
    owner: str
    module: str
    query: dict[str, Any]  # `fields` (a list or "all"), `criteria` and `cvid`, as in ExportRequest.query
    file_type: str  # what Zoho writes: csv or ics
    api_version: str
    callback_base_url: str
    requested_at: datetime
    deadline_at: datetime
    expires_at: datetime  # DynamoDB deletes the items afterwards
    result_format: str = "csv"  # of an export whose file_type is csv: csv or csv.gz
    state: ExportState = ExportState.RUNNING
    source: str = BULK_READ
    page: int = 1  # Zoho's page of 200,000 records that the first part reads
    generation: int = 1  # 1 + the number of restarts
    first_part: int = 1  # of this generation; earlier parts belong to another snapshot
    read_order: str | None = None  # for source RECORDS, once it is settled: "Modified_Time" or "id"
    fields: list[str] | None = None  # the fields to ask Zoho for; None: not settled yet, or all
    completed_at: datetime | None = None  # set before the manifest is written
    gave_up_at: datetime | None = None  # since then no worker writes the manifest, which S3 refuses
    records: int | None = None
    failure: Failure | None = None
    fields_dropped: tuple[DroppedField, ...] = ()
    counted_before: "Before | None" = None  # Zoho's own count, before the first job was created
    witness: "Witness | None" = None  # set with completed_at
    run_id: str | None = None  # the caller's name for exports that belong together
    cleaned_at: datetime | None = None  # of a CANCELLED export: its objects are deleted
    sync: Run | None = None  # of an export that is a run of a sync
    credits: int = 0  # of Zoho's API, that its steps have spent; counted for runs of a sync

    @property
    def group(self) -> str:
        """The account as queues and callback URLs name it."""
        return group_of(self.account_id)

    @property
    def is_readable(self) -> bool:
        """True if the parts are read through the records API and fields and order are settled."""
        return self.source == RECORDS and self.read_order is not None

    @property
    def file_format(self) -> str:
        """Format of the export's objects and suffix of their keys: csv, csv.gz or ics."""
        return self.result_format if self.file_type == "csv" else self.file_type

    @property
    def job_query(self) -> dict[str, Any]:
        """The query of the export's jobs: with settled field names in place of "all", and a run's window."""
        query = {key: value for key, value in self.query.items() if key != "fields"}
        fields = self.query.get("fields") if self.fields is None else self.fields
        if self.sync is not None and self.sync.reads_from is not None:
            query = with_window(query, self.sync.reads_from)
        return {**query, "fields": fields} if fields else query

    @property
    def restarted_run(self) -> Run | None:
        """The run as a restart leaves it: what was found is about the rows of the generation before."""
        return self.sync and replace(self.sync, result=None)

    @property
    def folder(self) -> str:
        """Prefix of the export's objects in S3."""
        return f"exports/account_id={self.account_id}/module={self.module}/export_id={self.export_id}"

    @property
    def manifest_key(self) -> str:
        """Key of the manifest, which marks success."""
        return f"{self.folder}/manifest.json"

    def part_key(self, part: int) -> str:
        """Key of a part's object."""
        return f"{self.folder}/part-{part:05d}.{self.file_format}"

    def page_of(self, part: int) -> int:
        """The Zoho page that a part reads, for API versions with numbered pages."""
        return self.page + part - self.first_part


@dataclass(frozen=True)
class Part:
    """One Bulk Read job (or one batch of records) of an export, and the object it becomes."""

    export_id: str
    part: int  # from 1
    updated_at: datetime
    state: PartState = PartState.PENDING
    page_token: str | None = None  # finds the part's records, API v7 and later; earlier: by page number
    cursor: "Cursor | None" = None  # finds them in the records API
    attempts: int = 0  # failed attempts at the current state
    strikes: dict[str, int] = field(default_factory=dict)  # those that count towards max_attempts, by code
    dead_owners: frozenset[str] = frozenset()  # workers at the current state whose lease ran out
    last_error: LastError | None = None  # of the last failed attempt
    not_before: datetime | None = None  # no attempt starts earlier
    lease_owner: str | None = None
    lease_until: datetime | None = None
    queued_at: datetime | None = None  # when the reconciler last queued it
    failed_job_ids: frozenset[str] = frozenset()  # jobs that ended in FAILURE, disappeared or were overdue
    hinted_job_id: str | None = None  # from a callback that arrived before the response of "create job"
    job_id: str | None = None
    submitted_at: datetime | None = None
    ready_at: datetime | None = None  # when Zoho first reported the job COMPLETED
    expected_records: int | None = None
    more_records: bool = False
    next_page_token: str | None = None
    records: int | None = None
    bytes: int | None = None
    crc32: str | None = None
    header: tuple[str, ...] | None = None
    ids: PartIds | None = None  # of its records; None if the file has no column Id
    key: str | None = None
    stored_at: datetime | None = None
    one_response: bool | None = None  # of the records API: one response of Zoho had all of the part's records
    index: str | None = None  # key of the index of its records; of runs of a sync

    def become_ready(self, job: "Job", now: datetime) -> Self:
        """Return the part as READY: `job` has ended, and with the transition the lease and all counts end."""
        return replace(
            self,
            state=PartState.READY,
            ready_at=now,
            expected_records=job.count,
            more_records=job.more_records,
            next_page_token=job.next_page_token or self.next_page_token,
            updated_at=now,
            attempts=0,
            strikes={},
            dead_owners=frozenset(),
            not_before=None,
            lease_owner=None,
            lease_until=None,
        )

    def following(self, now: datetime) -> "Part":
        """Return the next part as it is written with this one's transition to READY."""
        return Part(self.export_id, self.part + 1, now, page_token=self.next_page_token)


class Step(Enum):
    """What happens to a part next."""

    SUBMIT = "create the part's Bulk Read job"
    SETTLE = "settle fields and order for the records API"
    READ = "read a batch of records and store it"
    ADOPT = "take the job that a callback named, if it is this part's"
    CHECK = "ask Zoho for the job's state"
    STORE = "download the job's result and store it"
    COMPLETE = "complete the export if all parts are stored"
    CLEAN = "delete the objects of a cancelled export"
    NOTHING = "nothing"

    @property
    def is_submitters(self) -> bool:
        """True if bulk_read_submitter does the step; result_downloader does the others."""
        return self in {Step.SUBMIT, Step.SETTLE}


def next_step(export: Export, part: Part) -> Step:  # noqa: C901, PLR0911 (a row of the table each)
    """Return the next step of a part: the table "The next step" in docs/design.md, row by row."""
    match export.state, part.state:
        case ExportState.CANCELLED, _ if export.cleaned_at is None:
            return Step.CLEAN
        case ((ExportState.COMPLETED | ExportState.FAILED | ExportState.CANCELLED), _):
            return Step.NOTHING
        case _ if part.part < export.first_part:
            return Step.NOTHING
        case _, PartState.PENDING if export.is_readable:
            return Step.READ
        case _, PartState.PENDING if part.hinted_job_id is not None:
            return Step.ADOPT
        case _, PartState.PENDING if export.source == RECORDS:
            return Step.SETTLE
        case _, PartState.PENDING:
            return Step.SUBMIT
        case _, PartState.SUBMITTED:
            return Step.CHECK
        case _, PartState.READY:
            return Step.STORE
        case _, PartState.STORED:
            return Step.COMPLETE
        case _:
            return Step.NOTHING


def group_of(account_id: str) -> str:
    """Return the name of an account in queues and callback URLs: 16 hex digits, whatever its characters."""
    return hashlib.sha256(account_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def all_parts_stored(export: Export, parts: list[Part]) -> bool:
    """True if the parts from the first to the last are STORED and Zoho said which one is the last."""
    return (
        [part.part for part in parts] == list(range(export.first_part, export.first_part + len(parts)))
        and all(part.state is PartState.STORED for part in parts)
        and [part.more_records for part in parts] == [True] * (len(parts) - 1) + [False]
    )


def awaits_run(export: Export) -> bool:
    """Return True if the sync still has to read deletions and compare, before the export is sealed."""
    return export.sync is not None and export.sync.result is None and export.completed_at is None


def is_snapshot(export: Export, parts: list[Part]) -> bool:
    """Return True if all records are known to be as they were at one moment.

    That is so if one job or one response has all of them, or if page tokens continue one job's snapshot.
    """
    if export.source == RECORDS:
        return len(parts) == 1 and bool(parts[0].one_response)
    return len(parts) == 1 or has_page_token(export.api_version)


def new_export_id(now: datetime, random_hex: str) -> str:
    """Return an id that sorts by time and cannot be guessed: 20261122T130501Z-<16 random hex digits>."""
    return f"{now:%Y%m%dT%H%M%SZ}-{random_hex}"


def is_export_id(value: Any) -> bool:
    """True if a value has the form of an export id."""
    return isinstance(value, str) and _EXPORT_ID.fullmatch(value) is not None


def timestamp(moment: datetime) -> str:
    """Return a UTC datetime as ISO 8601 with milliseconds and Z; such strings sort by time."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
