"""When the next run of a sync starts."""

from datetime import UTC, datetime, timedelta

import pytest

from crm_export.sync.model import Sync
from crm_export.sync.schedule import next_due

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def sync_of(minutes, **members):
    """Return an hourly sync that is due so many minutes after noon."""
    due_at = NOON + timedelta(minutes=minutes)
    return Sync("acct-1", "user-1", "Contacts", "https://x", NOON, **{"due_at": due_at, **members})


@pytest.mark.parametrize(
    ("due", "following"),
    [(0, 60), (-10, 50), (-59, 1), (-60, 60), (-1450, 50)],
    ids=["on time", "late", "very late", "one missed", "a day missed"],
)
def test_run_that_is_due_keeps_the_rhythm(due, following):
    assert next_due(sync_of(due), NOON) == NOON + timedelta(minutes=following)


@pytest.mark.parametrize("due", [1, 50, 600])
def test_run_that_is_requested_early_begins_a_new_rhythm(due):
    assert next_due(sync_of(due), NOON) == NOON + timedelta(hours=1)


def test_sync_that_is_not_enabled_has_no_next_run():
    assert next_due(sync_of(0, enabled=False), NOON) is None
