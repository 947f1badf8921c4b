"""Plans a run: full or changes, from when on, and whether it needs a job. Pure decisions."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from crm_export import strict_json
from crm_export.exports.runs import (
    CHANGES,
    DELETES_UNREADABLE,
    FIRST,
    FULL,
    REQUESTED,
    SCHEDULED,
    Run,
)
from crm_export.sync.model import Lag, Sync
from crm_export.zoho.catalog import has_deleted

LONGEST_OVERLAP = timedelta(days=1)
# Zoho keeps rows of the recycle bin for 60 days.
_LONGEST_WITHOUT_DELETES = timedelta(days=55)
_LONGEST_WITHOUT_JOB = timedelta(days=1)
_RUNS_WITHOUT_JOB = 24
_MOST_RUNS = 9_000  # between two full runs; `chain` follows 10,000


def overlap_of(sync: Sync, lag: Lag) -> timedelta:
    """Return how far before its watermark the next window of a sync begins."""
    return max(sync.overlap or lag.overlap, lag.overlap)


def window_from(sync: Sync, lag: Lag) -> datetime | None:
    """Return the beginning of the next window, or None before the first complete run."""
    if sync.watermark is None:
        return None
    return sync.watermark - overlap_of(sync, lag)


def plan(sync: Sync, now: datetime, lag: Lag, requested: str | None = None) -> Run:
    """Return the run that begins at Zoho's time `now`. requested: the kind that a user asked for."""
    reason = _why_full(sync, now, requested)
    begins = window_from(sync, lag)
    if begins is not None:  # Zoho's clock may have been set back
        begins = min(begins, now - lag.lag - overlap_of(sync, lag))
    return Run(
        kind=FULL if reason else CHANGES,
        reason=reason or (REQUESTED if requested else SCHEDULED),
        watermark=max(now - lag.lag, sync.watermark or now - lag.lag),
        since=sync.watermark,
        window_from=begins,
        previous=sync.previous,
    )


def _why_full(sync: Sync, now: datetime, requested: str | None) -> str | None:
    """Return why the next run is full, or None for a run of changes."""
    if sync.watermark is None or sync.full is None or sync.full_at is None:
        return FIRST
    if sync.full_reason is not None:
        return sync.full_reason
    read_at = sync.deletes_read_at
    if not has_deleted(sync.module) or read_at is None or now - read_at > _LONGEST_WITHOUT_DELETES:
        return DELETES_UNREADABLE
    if requested == FULL:
        return REQUESTED
    longest = sync.every * _MOST_RUNS  # also without full_every: readers follow the whole chain
    is_due = now - sync.full_at >= min(sync.full_every or longest, longest)
    return SCHEDULED if is_due else None


def needs_job(sync: Sync, run: Run, now: datetime, *, has_changes: bool) -> bool:
    """Return True unless the probe showed that no record has changed.

    A probe may be wrong, so a job is created at least once a day, and once in 24 runs.
    """
    if run.kind == FULL or has_changes or sync.job_at is None:
        return True
    return now - sync.job_at >= min(sync.every * _RUNS_WITHOUT_JOB, _LONGEST_WITHOUT_JOB)


def signature_of(
    query: Mapping[str, Any], fields: Sequence[Mapping[str, Any]], *, types: bool = True
) -> str | None:
    """Return a hash of the names and types of the fields that a query reads; None without metadata.

    types: without them, signatures of several API versions can be compared.
    """
    wanted = query.get("fields")
    names = {name.partition(".")[0] for name in wanted} if isinstance(wanted, list) else None
    found = sorted(
        (str(field["api_name"]), str(field.get("data_type")) if types else "")
        for field in fields
        if names is None or field["api_name"] in names
    )
    return hashlib.sha256(strict_json.dumps(found).encode()).hexdigest() if found else None


def grown(overlap: timedelta, late: int) -> timedelta:
    """Return the overlap for the next run: twice as long, up to a day, if rows came late."""
    if not late:
        return overlap
    return min(max(overlap * 2, timedelta(minutes=1)), LONGEST_OVERLAP)
