"""The witness of a full export: Zoho's own count of the module, before and after it was read.

A job's count proves that we stored what the job returned, but jobs have been seen to leave out records.
Called by `submit` (before) and `complete` (after). It never fails an export, and takes seconds at most.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from crm_export import deadline
from crm_export.errors import ExportError
from crm_export.telemetry import logger
from crm_export.zoho.catalog import counts_alike, has_count

if TYPE_CHECKING:
    from crm_export.exports.model import Export
    from crm_export.exports.pipeline import Pipeline

EXACT, EXPLAINED, GAP, UNKNOWN = "exact", "explained", "gap", "unknown"
_SECONDS_BEFORE = 4.0  # a caller waits for the first job, so there is no second attempt
_SECONDS_AFTER = 20.0
_SECONDS_TO_COMPLETE = 15.0  # of the function's time: to seal the export and write the manifest
# Zoho does not say how late its count is: so long, deletions before the first count may explain a difference.
_COUNT_LAG = timedelta(minutes=15)
_LONGEST_WHY = 300


@dataclass(frozen=True)
class Before:
    """Zoho's count before the export read the module, and when (Zoho's clock); or why there is none."""

    records: int | None = None
    at: str = ""
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the count as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Self:
        """Return the count that `to_dict` wrote."""
        return cls(**stored)


@dataclass(frozen=True)
class Witness:
    """What Zoho's counts say about a full export; a number is None if it was not asked for, or not given.

    created, deleted: records created or deleted since the first count; asked for if the counts differ.
    """

    before: int | None
    after: int | None
    created: int | None
    deleted: int | None
    verdict: str
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Return the witness as in docs/manifest.schema.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Self:
        """Return the witness that `to_dict` wrote."""
        return cls(**stored)


@dataclass(frozen=True)
class Movement:
    """What happened to the module since the first count. deleted_earlier: in the 15 minutes before it."""

    created: int
    deleted: int
    deleted_earlier: int


def is_witnessed(export: "Export") -> bool:
    """Return True for an export of the whole module, which Zoho's count can be compared with."""
    is_partial = export.sync is not None and export.sync.reads_from is not None
    return not (is_partial or export.query.keys() & {"criteria", "cvid"}) and export.page == 1


def count_before(pipeline: "Pipeline", export: "Export") -> Before:
    """Ask Zoho for its count, for at most four seconds."""
    if not has_count(export.module):
        return Before(why=_no_count(export))

    def ask() -> Before:
        counted = pipeline.zoho_for(export).census.count(export.api_version, export.module)
        return Before(counted.records, counted.at.isoformat())

    with deadline.ends_in(min(_SECONDS_BEFORE, deadline.remaining())):
        return _asked(ask, lambda why: Before(why=why))


def testify(pipeline: "Pipeline", export: "Export", records: int) -> Witness | None:
    """Return the witness of an export whose parts are all stored, or None if it is not one of all records.

    Asks Zoho for at most 20 seconds: for its count, and if that differs, for what has changed meanwhile.
    """
    if not is_witnessed(export):
        return None
    before = export.counted_before or Before(why=_no_count(export))
    counted = before.records
    if counted is None:
        return Witness(None, None, None, None, UNKNOWN, before.why)

    def unknown(why: str) -> Witness:
        return Witness(counted, None, None, None, UNKNOWN, why)

    with deadline.ends_in(min(_SECONDS_AFTER, deadline.remaining() - _SECONDS_TO_COMPLETE)):
        return _asked(lambda: _compare(pipeline, export, records, counted, before.at), unknown)


def _no_count(export: "Export") -> str:
    """Return why an export has no first count."""
    if not has_count(export.module):
        return f"Zoho has no count of {export.module}."
    return "Zoho was not asked for its count before the export: an earlier version started it."


def _compare(pipeline: "Pipeline", export: "Export", records: int, before: int, at: str) -> Witness:
    census = pipeline.zoho_for(export).census
    after = census.count(export.api_version, export.module).records
    if records == before == after:
        return Witness(before, after, None, None, EXACT, f"Zoho counted {before} before and after.")
    since = datetime.fromisoformat(at)

    def movement() -> Movement:
        created = census.created_since(export.api_version, export.module, since)
        deleted = census.deleted_since(export.api_version, export.module, since - _COUNT_LAG)
        earlier = sum(moment < since for moment in deleted)
        return Movement(created, len(deleted) - earlier, earlier)

    def unread(why: str) -> Witness:
        counts = f"The export has {records} records; Zoho counted {before} before and {after} after."
        return Witness(before, after, None, None, UNKNOWN, f"{counts} {why}"[:_LONGEST_WHY])

    def judged() -> Witness:
        moved = movement()
        verdict, why = judge(records, before, after, moved)
        if verdict == GAP and not counts_alike(export.module):
            verdict, why = UNKNOWN, f"{why} Zoho does not document whether its count has converted leads."
        return Witness(before, after, moved.created, moved.deleted, verdict, why)

    return _asked(judged, unread)


def judge(records: int, before: int, after: int, moved: Movement) -> tuple[str, str]:
    """Return the verdict about an export with so many records, and why.

    The records were read at some time between the counts. So none is missing if there are at least as many
    as before without those deleted since, or as after without those created since. A gap is claimed only if
    there are fewer than both, and not even a count that lags behind deletions explains that.
    """
    facts = (
        f"The export has {records} records; Zoho counted {before} before and {after} after, with "
        f"{moved.created} created and {moved.deleted} deleted meanwhile."
    )
    fewest = min(before - moved.deleted, after - moved.created)
    most = max(before + moved.created, after + moved.deleted)
    if records < fewest - moved.deleted_earlier:
        return GAP, f"{facts} At least {fewest - moved.deleted_earlier - records} are missing."
    if records < fewest:
        return UNKNOWN, f"{facts} {moved.deleted_earlier} were deleted shortly before: the count may lag."
    if records > most or after - before != moved.created - moved.deleted:
        return UNKNOWN, f"{facts} Records may have been restored, or Zoho's count may lag."
    return EXPLAINED, facts


def _asked[T](ask: Callable[[], T], otherwise: Callable[[str], T]) -> T:
    """Return what `ask` returns, or what `otherwise` makes of Zoho's refusal or failure."""
    try:
        return ask()
    except ExportError as error:
        logger.info("module not counted", code=error.code, reason=error.message)
        return otherwise(f"{error.code}: {error.message}"[:_LONGEST_WHY])
