"""What a request changes about a sync that exists."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from crm_export.aws.sync_table import DynamoSyncTable
from crm_export.exports.model import Caller
from crm_export.exports.request import StartRequest
from crm_export.sync.manage import put_sync
from crm_export.sync.model import Sync, Syncs
from simulation.dynamodb import DynamoDb, TableData

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def table():
    return DynamoSyncTable(DynamoDb(TableData(lambda: 0.0)), "exports")


@pytest.fixture
def put(table):
    """Change the sync of Contacts at noon; return it."""
    pipeline = SimpleNamespace(
        zoho=lambda account_id, owner: SimpleNamespace(known_modules=lambda version: ["Contacts"]),
        clock=lambda: NOON,
        callback_base_url=None,
        limits=SimpleNamespace(api_version="v8"),
    )

    def put_it(**body):
        request = StartRequest("contacts", lambda: body, "https://x")
        return put_sync(Syncs(pipeline, table), Caller("acct-1", "user-1"), request)[0]

    return put_it


def stored(table, minutes, **members):
    """Store an hourly sync that is due so many minutes after noon."""
    sync = Sync("acct-1", "user-1", "Contacts", "https://x", NOON, due_at=NOON + timedelta(minutes=minutes))
    assert table.write(replace(sync, **members))


@pytest.mark.parametrize("minutes", [0, -30])
def test_sync_that_is_due_stays_due_when_its_rhythm_changes(table, put, minutes):
    stored(table, minutes)
    assert put(every="6h").due_at == NOON + timedelta(minutes=minutes)


@pytest.mark.parametrize(("every", "due"), [("2h", 90), ("15m", 0), ("30m", 0), ("45m", 15)])
def test_next_run_follows_the_last_one_in_the_new_rhythm(table, put, every, due):
    stored(table, 30)
    assert put(every=every).due_at == NOON + timedelta(minutes=due)


def test_sync_that_is_enabled_again_is_due_now(table, put):
    stored(table, 30)
    assert put(enabled=False).due_at is None
    assert put(enabled=True).due_at == NOON


def test_other_query_makes_the_next_run_full_and_due_now(table, put):
    stored(table, 30)
    changed = put(query={"fields": ["Last_Name"]})
    assert (changed.due_at, changed.full_reason) == (NOON, "requested")
    assert changed.query == {"fields": ["Last_Name", "Modified_Time"]}
