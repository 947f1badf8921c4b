"""A sync: what keeps one module of one account current, and what it knows about its runs."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any, Protocol, Self

from crm_export.exports.model import Export, Part
from crm_export.exports.pipeline import Pipeline
from crm_export.exports.runs import Link

NEVER = "never"
SHORTEST_EVERY, LONGEST_EVERY = timedelta(minutes=15), timedelta(days=30)
LONGEST_FULL_EVERY = timedelta(days=90)


@dataclass(frozen=True)
class Blocked:
    """Why a run could not start, and since when: code, message and remedy of the error."""

    code: str
    message: str
    remedy: str
    since: datetime


@dataclass(frozen=True)
class LastRun:
    """The last run that is complete."""

    export_id: str
    kind: str
    completed_at: datetime
    records: int
    deleted: int | None
    late: int
    drift: dict[str, int] | None
    credits: int


@dataclass(frozen=True)
class Sync:
    """One module of one account, kept current.

    updated_at: when a user last changed it. revision: counts the writes; each write names the one that it
    replaces. due_at: when the next run starts; None if the sync is not enabled. queued_at: when the
    reconciler last sent a message about it. open_run: the export that reads for it. watermark: Zoho's time up
    to which the chain has all changes. overlap: how far before the watermark the next window begins.
    previous, full: the manifests of the last run and of the last full run. full_at, deletes_read_at, job_at:
    Zoho's time of the last full run, of the last deletions that were read, and of the last run that created a
    job. full_records: how many the last full run had. signature: of the module's fields. full_reason: why the
    next run has to be full, although nothing else says so.
    """

    account_id: str
    owner: str
    module: str
    callback_base_url: str
    updated_at: datetime
    query: dict[str, Any] = field(default_factory=dict)
    every: timedelta = timedelta(hours=1)
    full_every: timedelta | None = timedelta(days=7)
    enabled: bool = True
    revision: int = 0
    due_at: datetime | None = None
    queued_at: datetime | None = None
    open_run: str | None = None
    watermark: datetime | None = None
    overlap: timedelta | None = None
    previous: Link | None = None
    full: Link | None = None
    full_at: datetime | None = None
    full_records: int = 0
    deletes_read_at: datetime | None = None
    job_at: datetime | None = None
    signature: str | None = None
    full_reason: str | None = None
    last_run: LastRun | None = None
    blocked: Blocked | None = None

    def next(self, **changes: Any) -> Self:
        """Return the sync as its next revision."""
        return replace(self, revision=self.revision + 1, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the sync as JSON values: times as ISO 8601, spans in seconds."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Self:
        """Return the sync that `to_dict` described."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: _read(name, value) for name, value in stored.items() if name in known})


@dataclass(frozen=True)
class Lag:
    """How far the windows of runs reach back.

    overlap: before the last watermark; so long may a change take to become visible. lag: the watermark stays
    so far behind Zoho's clock.
    """

    overlap: timedelta = timedelta(minutes=15)
    lag: timedelta = timedelta(minutes=5)


class SyncTable(Protocol):
    """The state of syncs. Every change is one conditional write, as in `ExportTable`."""

    def get(self, account_id: str, module: str) -> Sync | None:
        """Return a sync, or None."""

    def list_of_account(self, account_id: str) -> list[Sync]:
        """Return the account's syncs, by module."""

    def due(self, now: datetime) -> Iterator[Sync]:
        """Yield the syncs whose `due_at` has come, the longest due first."""

    def write(self, sync: Sync) -> bool:
        """Write a sync; False if it is not the next revision of what is there (0: of nothing)."""

    def delete(self, sync: Sync) -> bool:
        """Delete a sync; False if it has changed since it was read."""

    def start_run(self, export: Export, first: Part, sync: Sync) -> bool:
        """Write a new export, its first part and the sync, which names it, or nothing: then False."""

    def complete_run(self, export_id: str, sync: Sync) -> Export | None:
        """RUNNING and sealed → COMPLETED, and write the sync in the same transaction.

        Else write nothing, and return None.
        """

    def spend(self, account_id: str, now: datetime, credits: int) -> None:
        """Note credits that syncs of an account have spent."""

    def spent(self, account_id: str, now: datetime) -> int:
        """Return how many credits syncs of an account have spent in the last 24 hours.

        The hour in which these begin is counted as a whole: Zoho has not given all of it back.
        """


@dataclass(frozen=True)
class SyncLimits:
    """The stack's parameters about syncs. credit_share: in percent."""

    lag: Lag = Lag()
    credit_share: int = 30


@dataclass(frozen=True)
class Syncs:
    """The first argument of the verbs of syncs. pipeline: for the exports that are their runs."""

    pipeline: Pipeline
    table: SyncTable
    limits: SyncLimits = SyncLimits()


_SPANS = {"every", "full_every", "overlap"}
_PARTS = {"previous": Link, "full": Link, "last_run": LastRun, "blocked": Blocked}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, timedelta):
        return int(value.total_seconds())
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    return value


def _read(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _SPANS:
        return timedelta(seconds=value)
    if name in _PARTS:
        return _PARTS[name](**{key: _read(key, member) for key, member in value.items()})
    if name.endswith("_at") or name in {"watermark", "since"}:
        return datetime.fromisoformat(value)
    return value
