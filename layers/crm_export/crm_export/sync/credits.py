"""Limits what syncs spend of an account's API credits, so that its users never run out of them.

https://www.zoho.com/crm/developer/docs/api/v8/api-limits.html
"""

from contextlib import suppress
from datetime import datetime, timedelta

from crm_export.errors import CreditShareSpent, StateUnavailable
from crm_export.exports.model import Export
from crm_export.exports.runs import FULL, Run
from crm_export.sync.model import Sync, SyncTable
from crm_export.zoho.catalog import (
    CREDITS_BULK_READ_JOB,
    CREDITS_DELETED_PAGE,
    CREDITS_OTHER_CALL,
    has_bulk_read,
)

_RECORDS_PER_JOB, _RECORDS_PER_PAGE = 200_000, 200
_CALLS_PER_JOB = 3  # that read its state and its result
_AGAIN_AFTER = timedelta(hours=1)


def check_share(share: int, remaining: int | None, spent: int, cost: int) -> None:
    """Raise CreditShareSpent if a run of `cost` credits would exceed the share of the syncs.

    share: percent of what Zoho would report as left, if the syncs had spent nothing in the last 24 hours.
    remaining: as Zoho reports it; None, while it does not, allows everything. spent: by syncs, in 24 hours.
    """
    if remaining is None:
        return
    allowed = (remaining + spent) * share // 100
    if spent + cost > allowed:
        raise CreditShareSpent(
            f"The run would cost about {cost} API credits. Zoho reports {remaining} as left, and the syncs "
            f"have spent {spent} in the last 24 hours, of {allowed} that are their share ({share} percent).",
            retry_after=int(_AGAIN_AFTER.total_seconds()),
        )


def estimate(sync: Sync, run: Run, *, with_job: bool) -> int:
    """Return about how many credits a run costs after its probe: its rows, deletions and fields."""
    others = 2 * CREDITS_DELETED_PAGE + CREDITS_OTHER_CALL
    if not with_job:
        return others
    records = sync.full_records if run.kind == FULL else 1
    if has_bulk_read(sync.module):
        return others + (CREDITS_BULK_READ_JOB + _CALLS_PER_JOB) * -(-max(records, 1) // _RECORDS_PER_JOB)
    return others + CREDITS_OTHER_CALL * -(-max(records, 1) // _RECORDS_PER_PAGE)


def book_rest(table: SyncTable, export: Export, now: datetime) -> None:
    """Book what a run that has ended cost beyond what its start booked.

    It is not worth an error if that cannot be noted.
    """
    rest = export.sync.credits + export.credits - export.sync.booked if export.sync else 0
    if rest > 0:
        with suppress(StateUnavailable):
            table.spend(export.account_id, now, rest)
