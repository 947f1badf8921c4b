"""What the steps of an export need from the world outside."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from crm_export.exports.model import Export, Part, Stored, timestamp
from crm_export.zoho.bulk_read import Job, JobRequest

if TYPE_CHECKING:  # who reads callbacks only needs no HTTP client
    from crm_export.zoho.records import Cursor, RecordPage

Clock = Callable[[], datetime]  # the present, in UTC


def at(clock: Clock, *, seconds: float = 0) -> str:
    """The timestamp of now, or of so many seconds from now."""
    return timestamp(clock() + timedelta(seconds=seconds))


class ExportStore(Protocol):
    """The state of exports. Every change is one conditional write.

    A method that returns bool tells whether the state now is what the caller asked for; False means
    somebody else moved it on: read it again.
    """

    def create(self, export: Export, first: Part) -> None: ...
    def get(self, export_id: str) -> Export | None: ...
    def get_part(self, export_id: str, part: int) -> Part | None: ...
    def get_parts(self, export: Export) -> list[Part]:
        """All parts of the generation the export was read in, in order."""
        ...

    def claim(self, part: Part, owner: str, now: str, until: str) -> bool:
        """Lease a part for one step, in the state it was read in; not before its `not_before`.

        A lease that has run out is taken over and counted as a crash.
        """
        ...

    def renew(self, part: Part, owner: str, until: str) -> bool:
        """Hold a lease for longer; False when it is another's by now."""
        ...

    def release(
        self, part: Part, owner: str, now: str, *, not_before: str | None = None, strike: bool = False
    ) -> None:
        """End a lease without a transition; with not_before, after a failed attempt, perhaps a strike."""
        ...

    def forget_hint(self, part: Part, now: str) -> None:
        """The job of the hint is not this part's."""
        ...

    def note_job(self, export_id: str, part: int, job_id: str) -> None:
        """Keep the job id of a callback, while we know none ourselves; never that of a job that failed."""
        ...

    def mark_submitted(self, part: Part, job_id: str, now: str) -> bool: ...
    def mark_ready(self, part: Part, job: Job, now: str) -> bool:
        """READY, and where there are more records the next part PENDING, in one transaction."""
        ...

    def mark_pending_again(self, part: Part, now: str, not_before: str) -> bool:
        """Zoho ended the job in FAILURE: a new job shall be made, not before then."""
        ...

    def mark_stored(self, part: Part, stored: dict[str, Any], now: str) -> bool: ...
    def mark_read(
        self, part: Part, owner: str, stored: dict[str, Any], cursor: dict[str, Any] | None
    ) -> bool:
        """PENDING → STORED of a part read through the records API, by who holds its lease. With a cursor
        there are more records: the next part is PENDING, in one transaction.

        `stored` is what mark_stored takes, with expected_records and stored_at.
        """
        ...

    def amend(self, export: Export, **values: Any) -> Export | None:
        """Change what is asked of Zoho (fields, fields_dropped, source, api_version); None when the export
        has ended or begun anew since it was read.
        """
        ...

    def restart(self, export: Export, first: Part) -> bool:
        """Begin a new generation with this first part; False when the export has ended, begun anew, or
        another part has come since it was read.
        """
        ...

    def fail(self, export: Export, part: int | None, failure: dict[str, str], now: str) -> bool:
        """RUNNING → FAILED, never once an export is sealed, nor by who worked on an earlier generation."""
        ...

    def seal(self, export: Export, completed_at: str, records: int) -> bool:
        """All parts are stored: from now on the export can only become COMPLETED."""
        ...

    def complete(self, export_id: str) -> bool:
        """The manifest is written: COMPLETED."""
        ...

    def list_of_account(
        self, account_id: str, limit: int, after: dict[str, str] | None
    ) -> tuple[list[Export], dict[str, str] | None]:
        """Newest first; the second value continues the list, None at its end."""
        ...

    def open_export_ids(self) -> Iterator[str]: ...


class PartQueue(Protocol):
    """A queue of parts to look at."""

    def send(self, export_id: str, part: int, *, delay: int = 0) -> None:
        """Send {"export_id", "part"}, to arrive after `delay` seconds (at most 900)."""
        ...


class BulkReadApi(Protocol):
    """Bulk Read in the name of one connection (zoho.bulk_read)."""

    def create_job(self, version: str, request: JobRequest) -> str: ...
    def get_job(self, version: str, job_id: str) -> Job: ...
    def open_result(self, version: str, job_id: str) -> AbstractContextManager[Iterator[bytes]]: ...


class DownloadBudget(Protocol):
    """How many downloads of results an account may begin."""

    def take(self, account_id: str, now: datetime) -> int:
        """Take one: 0, or the seconds after which to ask again."""
        ...


class RecordsApi(Protocol):
    """The records of a module in the name of one connection (zoho.record_pages)."""

    def field_names(self, version: str, module: str) -> tuple[list[str], list[str]]: ...
    def page(
        self, version: str, module: str, query: dict[str, Any], fields: list[str], cursor: "Cursor"
    ) -> "RecordPage": ...


class ResultStore(Protocol):
    """The results bucket. A `file_format` is csv, csv.gz or ics."""

    def store_result(
        self, chunks: Iterable[bytes], key: str, *, file_format: str, expected_records: int, job_id: str
    ) -> Stored:
        """Unzip, count, verify and store a result.

        Raises ResultError, and whatever `chunks` raises; then nothing is stored.
        """
        ...

    def store_records(
        self, pages: Iterable[list[dict[str, Any]]], key: str, *, fields: list[str], file_format: str
    ) -> Stored:
        """Store records of the records API, written as Bulk Read writes them: csv or csv.gz."""
        ...

    def read_ids(self, key: str) -> Iterator[str]:
        """Yield the Id column of a stored csv or csv.gz. Raises ResultError."""
        ...

    def delete_other_parts(self, folder: str, keep: set[str]) -> int:
        """Delete the parts in an export's folder whose keys are not in `keep`; return their number."""
        ...

    def write_manifest(self, key: str, manifest: dict[str, Any]) -> None:
        """Write the manifest unless it exists."""
        ...
