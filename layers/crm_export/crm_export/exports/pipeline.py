"""The Pipeline: everything that the verbs (start_export, submit_part, advance_part, …) need from outside.

`wiring` builds it from the implementations in `crm_export.aws`; the simulation and the tests use fakes.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from crm_export.errors import ConfigurationError
from crm_export.exports.model import (
    BoundKey,
    Export,
    Failure,
    LastError,
    Part,
    RequestKey,
    Step,
    Stored,
    next_step,
)
from crm_export.system import MACHINE, System

if TYPE_CHECKING:  # a function loads only what it uses
    from crm_export.exports.callbacks import KeyRing
    from crm_export.exports.runs import Run
    from crm_export.exports.witness import Witness
    from crm_export.zoho.bulk_read import BulkRead, Job
    from crm_export.zoho.census import Census
    from crm_export.zoho.changes import Changes
    from crm_export.zoho.records import Cursor, RecordsReader


class ExportTable(Protocol):
    """The state of exports. Every change is one conditional write.

    A method that returns bool returns True if the item now is as the caller asked. False means that another
    worker changed it first: read it again. A method that returns an export or a part, or None, does the same
    with the item as it now is in place of True, so that nobody has to read it.
    """

    def create(
        self, export: Export, first: Part, key: RequestKey | None = None, replaces: str | None = None
    ) -> bool:
        """Write a new export and its first part, and bind `key` to the export in the same transaction.

        False, and nothing is written, if the key is bound to an export other than `replaces`, or another
        request is binding it. Raises QueryRefused if the query is too large for the table.
        """

    def bound_key(self, key: RequestKey) -> BoundKey | None:
        """Return what the account's key is bound to, or None."""

    def get(self, export_id: str) -> Export | None:
        """Return an export, or None."""

    def get_part(self, export_id: str, part: int) -> Part | None:
        """Return a part, or None."""

    def get_with_part(self, export_id: str, part: int) -> tuple[Export, Part] | None:
        """Return an export and one of its parts, or None if one of them does not exist."""

    def get_parts(self, export: Export) -> list[Part]:
        """Return the parts of the export's generation (as it was read), in order."""

    def list_of_account(
        self, account_id: str, limit: int, after: tuple[str, str] | None, run_id: str | None = None
    ) -> tuple[list[Export], tuple[str, str] | None]:
        """Return exports, newest first, and the position to continue from (requested_at, export_id).

        With `run_id` those of this run only: perhaps fewer than `limit`, although there are more.
        """

    def open_export_ids(self) -> Iterator[str]:
        """Yield the ids of the exports that are RUNNING, or ended but not announced, oldest first."""

    def running_of_account(self, account_id: str, since: datetime) -> Iterator[str]:
        """Yield the ids of the account's exports that are RUNNING and were requested after `since`."""

    def reconciled_up_to(self) -> str:
        """Return the export after which the next tick begins, or ""."""

    def note_reconciled(self, export_id: str) -> None:
        """Let the next tick begin after this export; "": with the oldest."""

    def claim(self, part: Part, owner: str, now: datetime, until: datetime) -> Part | None:
        """Lease a part in the state it was read in, unless its `not_before` is in the future.

        An expired lease is taken over, and its owner joins the part's dead owners. Return the part as it now
        is: what does not belong to its state may have changed since it was read.
        """

    def renew(self, part: Part, owner: str, until: datetime) -> bool:
        """Extend a lease; False if another worker has taken it over."""

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
        """End a lease without a transition. If the attempt failed: when the next one may start, and why.

        asked: Zoho asked for the pause, so that no callback ends it. False if another worker holds the lease
        by now, or made the transition.
        """

    def cancel_death(self, part: Part, owner: str) -> None:
        """Remove a worker from the part's dead owners: it was only slow."""

    def note_hint(self, export_id: str, part: int, job_id: str) -> None:
        """Keep the job id of a callback while the part is PENDING.

        Not if that job has failed before, nor while an earlier hint has not been looked at. A pause ends, as
        a job exists, unless Zoho asked for it.
        """

    def count_callback(self, export_id: str, part: int, most: int) -> Part | None:
        """Count a callback of a part; return the part, or None if it had `most` before or does not exist."""

    def note_queued(self, part: Part, now: datetime) -> bool:
        """Note that the reconciler queues a part; False if the part has changed since it was read."""

    def forget_hint(self, part: Part, now: datetime) -> None:
        """Remove the hint: that job is not this part's."""

    def mark_submitted(self, part: Part, job_id: str, now: datetime) -> Part | None:
        """PENDING → SUBMITTED."""

    def mark_ready(self, export: Export, part: Part, job: "Job", now: datetime) -> Part | None:
        """SUBMITTED → READY, and in the same transaction the next part PENDING if there are more records."""

    def mark_pending_again(self, part: Part, now: datetime, not_before: datetime) -> bool:
        """SUBMITTED → PENDING: a new job replaces the part's job, but not before `not_before`."""

    def mark_stored(self, part: Part, stored: Stored, now: datetime) -> Part | None:
        """READY → STORED."""

    def mark_read(
        self,
        export: Export,
        part: Part,
        owner: str,
        stored: Stored,
        now: datetime,
        *,
        following: "Cursor | None",
        one_response: bool = False,
    ) -> bool:
        """PENDING → STORED by the holder of the lease, for a part that was read through the records API.

        With `following` there are more records: the next part is PENDING in the same transaction.
        one_response: one response of Zoho had all of the part's records.
        """

    def amend(self, export: Export, **values: Any) -> Export | None:
        """Change what Zoho is asked for (fields, fields_dropped, source, api_version, read_order).

        Or note Zoho's count (counted_before) or what a run found (sync). Return the changed export, or None
        if it has ended or restarted since it was read.
        """

    def add_credits(self, export_id: str, credits: int) -> None:
        """Add API credits that a step has spent."""

    def restart(self, export: Export, first: Part) -> bool:
        """Start a new generation with this first part. What a run of a sync has found is forgotten.

        False if the export has ended or restarted, or has a new part, since it was read.
        """

    def fail(self, export: Export, part: int | None, failure: Failure, now: datetime) -> Export | None:
        """RUNNING → FAILED; never after the export was sealed or restarted."""

    def seal(
        self, export: Export, completed_at: datetime, records: int, witness: "Witness | None" = None
    ) -> Export | None:
        """All parts are stored: from now on the export can only become COMPLETED.

        Time and witness stay those of the first call.
        """

    def complete(self, export_id: str) -> Export | None:
        """RUNNING and sealed → COMPLETED: the manifest is written."""

    def give_up(self, export: Export, failure: Failure, now: datetime) -> bool:
        """Set `gave_up_at` and the failure of a sealed export: from now on no worker writes its manifest."""

    def cancel(self, export_id: str, now: datetime) -> Export | None:
        """RUNNING → CANCELLED; never after the export was sealed."""

    def mark_cleaned(self, export_id: str, now: datetime) -> Export | None:
        """Note that the objects of a CANCELLED export are deleted; None if that was noted before."""

    def mark_announced(self, export_id: str) -> None:
        """Note that the end of an export was announced: from now on it is not open any more."""

    def fail_sealed(self, export: Export, failure: Failure, now: datetime) -> Export | None:
        """RUNNING and sealed → FAILED, if its folder holds no manifest of its own and never will."""


@dataclass(frozen=True)
class Callback:
    """A callback of Zoho, as a message carries it to the function that may use the table.

    job_id: the job that its body names, or None. is_new: its message is received for the first time.
    """

    job_id: str | None
    is_new: bool = True


class PartQueue(Protocol):
    """A queue of parts to look at."""

    def send(
        self, export_id: str, part: int, *, group: str, delay: int = 0, callback: Callback | None = None
    ) -> None:
        """Send {"export_id", "part"}, to arrive after `delay` seconds (at most 900).

        group: the export's `group`. The queue is fair between groups. callback: why the part is sent, if
        Zoho called back; the message then also has {"callback": {"job_id"}}.
        """

    def send_sync(self, account_id: str, module: str, *, delay: int = 0) -> None:
        """Send {"account_id", "module"} of a sync that is due."""

    def postpone(self, receipt_handle: str, seconds: int) -> None:
        """Let a received message arrive again after that many seconds."""


class DownloadBudget(Protocol):
    """The downloads that Zoho allows an account per minute."""

    def take(self, account_id: str, now: datetime) -> int:
        """Take one download: return 0, or the number of seconds to wait before asking again."""


class Results(Protocol):
    """Where results are stored. `file_format` is csv, csv.gz or ics."""

    def store_result(
        self, chunks: Iterable[bytes], key: str, *, file_format: str, expected_records: int, job_id: str,
        confirm: Callable[[], None], index: bool = False,
    ) -> Stored:  # fmt: skip
        """Stream a result ZIP into an object, which appears only if it is whole and verified.

        That is: if CRC, sizes and the number of records are right and the result is that of the job. The
        first write of a key wins: if the key exists with the same content, that object is the part's, with
        another content ObjectConflict is raised. `confirm` is called just before the object appears, and may
        raise. Raises ResultError, StorageUnavailable, and whatever `chunks` raises. CountMismatch and
        ResultTooLarge are raised as soon as there are more records than expected, or more bytes than the
        records so far explain. index: of a CSV, store the index, too, before the object appears.
        """

    def store_records(
        self, pages: Iterable[list[dict[str, Any]]], key: str, *, fields: list[str], file_format: str,
        confirm: Callable[[], None], index: bool = False,
    ) -> Stored:  # fmt: skip
        """Stream pages of the records API into an object, written as Bulk Read writes it: csv or csv.gz.

        Everything else is as in `store_result`.
        """

    def read_ids(self, key: str) -> Iterator[str]:
        """Yield the Id column of a stored csv or csv.gz. Raises ResultError."""

    def read_columns(self, key: str, columns: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        """Yield columns of a stored csv or csv.gz as `records_csv.read_columns` does. Raises ResultError."""

    def read_index(self, key: str) -> Iterator[tuple[int, int]]:
        """Yield id and hash of each record in a stored index, sorted by id.

        Raises ResultError, also for an index that is corrupted; StorageUnavailable.
        """

    def write_object(
        self, key: str, chunks: Iterable[bytes], confirm: Callable[[], None] = lambda: None
    ) -> None:
        """Write an object, which appears whole or never. `confirm` is called just before, and may raise.

        If the key exists with the same content, nothing is written. Raises ObjectConflict if it exists with
        another content; ResultError, StorageUnavailable.
        """

    def digest(self, key: str) -> str:
        """Return the SHA-256 of an object's bytes, in hex. Raises ResultError, StorageUnavailable."""

    def remove_leftovers(self, folder: str, keep: set[str]) -> None:
        """Abort all uploads to an export's folder, and delete its own objects that are not in `keep`.

        Its own are those with part-, deleted- or diff- in their names: manifests always stay. Raises
        ResultError, StorageUnavailable.
        """

    def read_manifest(self, key: str) -> dict[str, Any] | None:
        """Return a manifest, or None if there is none; {} for an object that is not a JSON object.

        Raises ResultError, StorageUnavailable.
        """

    def write_manifest(self, key: str, manifest: dict[str, Any]) -> bool:
        """Write the manifest unless there is one: a second write would announce the export again.

        True if it was written. Raises ResultError, StorageUnavailable.
        """

    def read_latest(self, key: str) -> tuple[dict[str, Any], str] | None:
        """Return a JSON object that is replaced again and again, and its ETag; None if there is none.

        {} for an object that is not a JSON object. Raises ResultError, StorageUnavailable.
        """

    def write_latest(self, key: str, document: dict[str, Any], etag: str | None) -> bool:
        """Replace the object that was read with this ETag, or make it if that is None.

        False, and nothing is written, if it was changed meanwhile. Raises ResultError, StorageUnavailable.
        """


class EventBus(Protocol):
    """Where programs of others learn that an export has ended."""

    def send(self, detail_type: str, detail: dict[str, Any]) -> None:
        """Send an event. Raises EventNotSent for every failure."""


class Runs(Protocol):
    """What a sync does at the end of an export that is one of its runs: `crm_export.sync.finish`."""

    def find(
        self, pipeline: "Pipeline", export: Export, run: "Run", parts: list[Part], keep: Callable[[], None]
    ) -> "Run":
        """Read deletions and compare, when all parts are stored; return the run with its result.

        Raises ExportError.
        """

    def complete(self, pipeline: "Pipeline", export: Export) -> Export | None:
        """RUNNING and sealed → COMPLETED, together with the sync's watermark; the manifest is written."""


@dataclass(frozen=True)
class Zoho:
    """Zoho's API with the tokens of one connection. known_modules(version): `zoho.metadata.known_modules`."""

    bulk_read: "BulkRead"
    records: "RecordsReader"
    census: "Census"
    changes: "Changes"
    known_modules: Callable[[str], list[str] | None]


@dataclass(frozen=True)
class Limits:
    """The stack's parameters that bound an export, and sizes that tests make small."""

    api_version: str = "v8"
    result_format: str = "csv"
    deadline: timedelta = timedelta(hours=24)
    retention: timedelta = timedelta(days=30)
    job_deadline: timedelta = timedelta(hours=3)
    quiet: timedelta = timedelta(minutes=5)
    max_open_exports: int = 100
    records_per_part: int = 10_000  # of the records API


class _NotWired:
    """Stands for a member that this function's settings do not provide."""

    def __init__(self, member: str) -> None:
        self._member = member

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        raise ConfigurationError(f"This function uses '{self._member}', which its settings do not provide.")

    def __getattr__(self, name: str) -> NoReturn:
        self()


def _not_wired(member: str) -> Any:
    return _NotWired(member)


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """The first argument of every verb.

    zoho(account_id, owner): Zoho's API with the tokens of their connection; raises ConnectionNotFound and
    other errors of the ConnectionStore. link(key): a presigned URL of an object, valid for 15 minutes.
    callback_base_url: the origin that Zoho calls back; if empty, that of the request that starts the export.
    """

    table: ExportTable = _not_wired("table")
    submit_queue: PartQueue = _not_wired("submit_queue")
    download_queue: PartQueue = _not_wired("download_queue")
    zoho: Callable[[str, str], Zoho] = _not_wired("zoho")
    results: Results = _not_wired("results")
    budget: DownloadBudget = _not_wired("budget")
    events: EventBus = _not_wired("events")
    runs: Runs = _not_wired("runs")
    results_bucket: str = ""
    callback_keys: "KeyRing" = _not_wired("callback_keys")
    callback_base_url: str = ""
    link: Callable[[str], str] = _not_wired("link")
    system: System = MACHINE
    limits: Limits = Limits()

    def clock(self) -> datetime:
        """Return the present in UTC."""
        return self.system.now()

    def zoho_for(self, export: Export) -> Zoho:
        """Return Zoho's API with the tokens of the export's connection."""
        return self.zoho(export.account_id, export.owner)

    def after(self, seconds: float) -> datetime:
        """Return the time `seconds` from now."""
        return self.clock() + timedelta(seconds=seconds)

    def enqueue(self, export: Export, part: Part, *, delay: int = 0) -> None:
        """Send a part to the function that does its next step."""
        step = next_step(export, part)
        if step is not Step.NOTHING:
            queue = self.submit_queue if step.is_submitters else self.download_queue
            queue.send(part.export_id, part.part, group=export.group, delay=delay)

    def enqueue_new(self, export: Export, number: int, *, delay: int = 0) -> None:
        """Send a part that was just created."""
        self.enqueue(export, Part(export.export_id, number, self.clock()), delay=delay)
