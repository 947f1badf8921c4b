"""What an export knows if it is a run of a sync. `crm_export.sync` decides, `exports` carries it along.

Times are Zoho's own, in UTC and whole seconds.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

FULL, CHANGES = "full", "changes"
FIRST, SCHEDULED, REQUESTED = "first", "scheduled", "requested"
SCHEMA, DELETES_UNREADABLE = "schema", "deletes_unreadable"

_MODIFIED = "Modified_Time"


@dataclass(frozen=True)
class Link:
    """A run's manifest: the next run names it, so that a chain cannot be changed unnoticed.

    sha256: of the manifest's bytes, in hex.
    """

    export_id: str
    manifest_key: str
    sha256: str


@dataclass(frozen=True)
class Drift:
    """Rows that differ from what the chain had, although no window showed a change of them, by kind."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0


@dataclass(frozen=True)
class RunResult:
    """What was found when all rows of a run were stored.

    deleted: the rows of deleted-00001.csv, or None if the deletions were not read. removed_key: of the index
    of those that remove a row of the chain. late: rows that changed before the last watermark, and that the
    previous run did not have.
    """

    deleted: int | None = None
    deleted_key: str | None = None
    removed_key: str | None = None
    late: int = 0
    drift: Drift | None = None
    diff_key: str | None = None


@dataclass(frozen=True)
class Run:
    """One run of a sync.

    kind, reason: the constants above. since: the watermark of the run before, None for the first run.
    window_from: `since` less the overlap. watermark: the sync's next watermark, once the run is complete.
    credits: what the start of the run cost. booked: what the run was expected to cost. signature: of the
    names of the module's fields before a full run read any row.
    """

    kind: str
    reason: str
    watermark: datetime
    since: datetime | None = None
    window_from: datetime | None = None
    previous: Link | None = None
    credits: int = 0
    booked: int = 0
    result: RunResult | None = None
    signature: str | None = None

    @property
    def reads_from(self) -> datetime | None:
        """The time from which on changes are read, or None if all records are read."""
        return self.window_from if self.kind == CHANGES else None

    def to_dict(self) -> dict[str, Any]:
        """Return the run as JSON values."""
        times = {name: _text(getattr(self, name)) for name in ("watermark", "since", "window_from")}
        return asdict(self) | times

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Return the run that `to_dict` described."""
        result, previous = stored["result"], stored["previous"]
        if result is not None:
            drift = result["drift"]
            result = RunResult(**result | {"drift": drift and Drift(**drift)})
        times = {name: _moment(stored[name]) for name in ("watermark", "since", "window_from")}
        return cls(**{**stored, **times, "previous": previous and Link(**previous), "result": result})

    def in_manifest(self) -> dict[str, Any]:
        """Return the manifest's `sync`, docs/manifest.schema.json, but for the credits."""
        result = self.result or RunResult()
        return {
            "kind": self.kind,
            "reason": self.reason,
            "window": {"from": _text(self.window_from), "to": _text(self.watermark)},
            "previous": self.previous and asdict(self.previous),
            "deleted": result.deleted,
            "deleted_key": result.deleted_key,
            "removed_key": result.removed_key,
            "late": result.late,
            "drift": result.drift and asdict(result.drift),
            "diff_key": result.diff_key,
        }


def with_window(query: dict[str, Any], begins: datetime) -> dict[str, Any]:
    """Return a query of Bulk Read that also requires a Modified_Time from `begins` on, and has no end.

    A row that is modified again while the run reads would leave a window that has an end.
    """
    changed = {
        "field": {"api_name": _MODIFIED},
        "comparator": "greater_equal",
        "value": begins.isoformat(timespec="seconds"),
    }
    given = query.get("criteria")
    both = {"group_operator": "and", "group": [given, changed]} if given else changed
    return {**query, "criteria": both}


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
