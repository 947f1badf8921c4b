"""Finds the syncs that are due and queues them. Called by functions/export_reconciler."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice, zip_longest

from crm_export import deadline
from crm_export.sync.model import Sync, Syncs
from crm_export.telemetry import count, logger

# A message that is older is taken for lost; a run takes a minute to start at most.
_LOST_AFTER = timedelta(minutes=20)
_SPREAD = timedelta(minutes=4)  # less than the time between two ticks
_MOST_PER_TICK = 5_000
_SHARE_OF_TIME = 0.5  # of the function's; the rest is for the exports


def start_due(syncs: Syncs) -> int:
    """Queue every sync that is due, and return their number.

    The accounts take turns, and the messages arrive spread over four minutes, so that a thousand syncs that
    are due at once neither exhaust the API of Zoho nor keep one account waiting for another's.
    """
    pipeline, table, now = syncs.pipeline, syncs.table, syncs.pipeline.clock()
    ends_at = pipeline.system.monotonic() + _SHARE_OF_TIME * deadline.remaining()
    due = [sync for sync in islice(table.due(now), _MOST_PER_TICK) if not _is_queued(sync, now)]
    queued = 0
    for place, sync in enumerate(in_turn(due)):
        if pipeline.system.monotonic() > ends_at:
            logger.warning("syncs left to the next tick", syncs=len(due) - place)
            break
        if table.write(sync.next(queued_at=now)):  # else another tick has it, or a user changed it
            delay = int(_SPREAD.total_seconds() * place / len(due))
            pipeline.submit_queue.send_sync(sync.account_id, sync.module, delay=delay)
            queued += 1
    count("SyncsQueued", queued)
    return queued


def in_turn(syncs: Iterable[Sync]) -> Iterator[Sync]:
    """Yield syncs so that each account has one before any has its next."""
    by_account: dict[str, list[Sync]] = defaultdict(list)
    for sync in syncs:
        by_account[sync.account_id].append(sync)
    for turn in zip_longest(*by_account.values()):
        yield from (sync for sync in turn if sync is not None)


def _is_queued(sync: Sync, now: datetime) -> bool:
    return sync.queued_at is not None and now - sync.queued_at < _LOST_AFTER


def next_due(sync: Sync, now: datetime) -> datetime | None:
    """Return when the next run starts if one starts now: in the rhythm of `due_at`, and after now.

    A run that a user requests before `due_at` begins a new rhythm.
    """
    if not sync.enabled:
        return None
    due = min(sync.due_at or now, now)
    missed = max((now - due) // sync.every, 0)
    return due + (missed + 1) * sync.every
