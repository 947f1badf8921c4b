"""The contract of SyncTable: revisions, due syncs, runs that begin and end in one write, and credits.

It runs over the simulation's DynamoDB. Another module can import these tests and define a fixture `tables` of
its own to run them over another DynamoDB or over a folder.
"""

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from crm_export.aws.export_table import DynamoExportTable
from crm_export.aws.sync_table import DynamoSyncTable
from crm_export.exports.model import Export, ExportState, Failure, Part
from crm_export.exports.pipeline import ExportTable
from crm_export.exports.runs import CHANGES, SCHEDULED, Link, Run
from crm_export.sync.model import Blocked, LastRun, Sync, SyncTable
from simulation.dynamodb import DynamoDb, TableData

T0 = datetime(2026, 11, 22, 13, tzinfo=UTC)
HOUR = timedelta(hours=1)
LINK = Link("20261122T130000Z-0123456789abcdef", "exports/manifest.json", "0" * 64)


@dataclass
class Tables:
    """The table of syncs, and that of exports, which has their runs."""

    syncs: SyncTable
    exports: ExportTable


@pytest.fixture
def tables():
    client = DynamoDb(TableData(lambda: 0.0))
    return Tables(DynamoSyncTable(client, "exports"), DynamoExportTable(client, "exports"))


@pytest.fixture
def account():
    """Return an account of this test: the table may have others."""
    return f"acct-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def sync(tables, account):
    """Return a sync that is due at T0; afterwards no sync of the account is due."""
    new = sync_of(account)
    assert tables.syncs.write(new)
    yield new
    for left in tables.syncs.list_of_account(account):
        tables.syncs.delete(left)


def sync_of(account, module="Contacts", **members):
    return Sync(account, "user-1", module, "https://x", T0, **{"due_at": T0, **members})


def run_of(account):
    """Return a new export that is a run, and its first part."""
    export = Export(
        export_id=f"20261122T130000Z-{uuid.uuid4().hex[:16]}",
        account_id=account,
        owner="user-1",
        module="Contacts",
        query={},
        file_type="csv",
        api_version="v8",
        callback_base_url="https://x",
        requested_at=T0,
        deadline_at=T0 + HOUR,
        expires_at=datetime(2033, 5, 18, tzinfo=UTC),
        sync=Run(CHANGES, SCHEDULED, T0),
    )
    return export, Part(export.export_id, 1, T0)


def started(tables, sync):
    """Start a run; return its export and the sync that names it."""
    export, first = run_of(sync.account_id)
    running = sync.next(open_run=export.export_id, due_at=T0 + HOUR)
    assert tables.syncs.start_run(export, first, running)
    return export, running


def due_modules(tables, sync, now):
    return [found.module for found in tables.syncs.due(now) if found.account_id == sync.account_id]


# --- writes ---


def test_sync_is_read_back_with_every_member(tables, account):
    whole = sync_of(
        account,
        query={"fields": ["Last_Name"], "criteria": {"value": "😀"}},
        every=timedelta(minutes=15),
        full_every=None,
        queued_at=T0,
        open_run=LINK.export_id,
        watermark=T0,
        overlap=timedelta(minutes=30),
        previous=LINK,
        full=LINK,
        full_at=T0,
        deletes_read_at=T0,
        job_at=T0,
        signature="s",
        full_reason="schema",
        last_run=LastRun(LINK.export_id, "full", T0, 5, None, 1, {"inserted": 1}, 58),
        blocked=Blocked("X", "x", "", T0),
    )
    assert tables.syncs.write(whole)
    assert tables.syncs.get(account, "Contacts") == whole
    assert tables.syncs.delete(whole)


def test_missing_sync_is_none(tables, account):
    assert tables.syncs.get(account, "Contacts") is None
    assert tables.syncs.list_of_account(account) == []


def test_new_sync_does_not_replace_another(tables, sync):
    assert not tables.syncs.write(replace(sync, every=2 * HOUR))
    assert tables.syncs.get(sync.account_id, "Contacts") == sync


def test_only_the_first_of_two_changes_to_one_revision_is_written(tables, sync):
    first, second = sync.next(every=2 * HOUR), sync.next(every=3 * HOUR)
    assert tables.syncs.write(first)
    assert not tables.syncs.write(second)
    assert tables.syncs.get(sync.account_id, "Contacts") == first


def test_deleted_sync_is_not_written_again(tables, sync):
    assert tables.syncs.delete(sync)
    assert not tables.syncs.write(sync.next(every=2 * HOUR))
    assert tables.syncs.get(sync.account_id, "Contacts") is None


def test_sync_that_has_changed_is_not_deleted(tables, sync):
    assert tables.syncs.write(sync.next(every=2 * HOUR))
    assert not tables.syncs.delete(sync)
    assert tables.syncs.get(sync.account_id, "Contacts").every == 2 * HOUR


def test_syncs_of_an_account_are_listed_by_module(tables, sync):
    for module in ("Leads", "Accounts"):
        assert tables.syncs.write(sync_of(sync.account_id, module))
    listed = [found.module for found in tables.syncs.list_of_account(sync.account_id)]
    assert listed == ["Accounts", "Contacts", "Leads"]


# --- due syncs ---


def test_due_syncs_are_those_whose_time_has_come_the_longest_due_first(tables, sync):
    for module, due_at in (("Leads", T0 - HOUR), ("Deals", T0 + HOUR), ("Accounts", None)):
        assert tables.syncs.write(sync_of(sync.account_id, module, due_at=due_at))
    assert due_modules(tables, sync, T0) == ["Leads", "Contacts"]
    assert due_modules(tables, sync, T0 - timedelta(milliseconds=1)) == ["Leads"]
    assert due_modules(tables, sync, T0 - 2 * HOUR) == []


def test_sync_is_due_at_the_time_that_was_written_last(tables, sync):
    assert tables.syncs.write(sync.next(due_at=T0 + HOUR))
    assert due_modules(tables, sync, T0) == []
    assert due_modules(tables, sync, T0 + HOUR) == ["Contacts"]
    assert tables.syncs.write(sync.next().next(due_at=None, enabled=False))
    assert due_modules(tables, sync, T0 + HOUR) == []


# --- runs ---


def test_run_begins_together_with_its_export(tables, sync):
    export, running = started(tables, sync)
    assert tables.syncs.get(sync.account_id, "Contacts") == running
    assert tables.exports.get(export.export_id) == export
    assert tables.exports.get_part(export.export_id, 1) == Part(export.export_id, 1, T0)


def test_run_of_a_sync_that_has_changed_leaves_no_export(tables, sync):
    _, running = started(tables, sync)
    export, first = run_of(sync.account_id)
    assert not tables.syncs.start_run(export, first, sync.next(open_run=export.export_id))
    assert tables.exports.get(export.export_id) is None
    assert tables.syncs.get(sync.account_id, "Contacts") == running


def test_run_of_a_deleted_sync_leaves_no_export(tables, sync):
    assert tables.syncs.delete(sync)
    export, first = run_of(sync.account_id)
    assert not tables.syncs.start_run(export, first, sync.next(open_run=export.export_id))
    assert tables.exports.get(export.export_id) is None


def test_sealed_run_completes_together_with_the_watermark(tables, sync):
    export, running = started(tables, sync)
    assert tables.exports.seal(export, T0, 5)
    after = running.next(open_run=None, watermark=T0, previous=LINK)
    completed = tables.syncs.complete_run(export.export_id, after)
    assert completed == tables.exports.get(export.export_id)
    assert (completed.state, completed.records) == (ExportState.COMPLETED, 5)
    assert tables.syncs.get(sync.account_id, "Contacts") == after


def test_run_that_is_not_sealed_moves_no_watermark(tables, sync):
    export, running = started(tables, sync)
    assert tables.syncs.complete_run(export.export_id, running.next(watermark=T0)) is None
    assert tables.exports.get(export.export_id).state is ExportState.RUNNING
    assert tables.syncs.get(sync.account_id, "Contacts") == running


def test_run_does_not_complete_if_the_sync_has_changed(tables, sync):
    export, running = started(tables, sync)
    assert tables.exports.seal(export, T0, 5)
    changed = running.next(every=2 * HOUR)
    assert tables.syncs.write(changed)
    assert tables.syncs.complete_run(export.export_id, running.next(watermark=T0)) is None
    assert tables.exports.get(export.export_id).state is ExportState.RUNNING
    assert tables.syncs.get(sync.account_id, "Contacts") == changed


@pytest.mark.parametrize("end", ["cancel", "fail"])
def test_run_that_has_ended_otherwise_moves_no_watermark(tables, sync, end):
    export, running = started(tables, sync)
    if end == "cancel":
        assert tables.exports.cancel(export.export_id, T0)
    else:
        assert tables.exports.fail(export, None, Failure("X", "x", ""), T0)
    assert tables.syncs.complete_run(export.export_id, running.next(watermark=T0)) is None
    assert tables.syncs.get(sync.account_id, "Contacts") == running


# --- credits ---


def test_credits_count_until_24_hours_have_passed(tables, account):
    tables.syncs.spend(account, T0.replace(minute=50), 60)
    assert tables.syncs.spent(account, T0.replace(minute=10) + 24 * HOUR) == 60


def test_credits_of_the_last_24_hours_are_added_up(tables, account):
    assert tables.syncs.spent(account, T0) == 0
    for hours, credits in ((25, 1000), (23, 100), (1, 20), (0, 3), (0, 4)):
        tables.syncs.spend(account, T0 - hours * HOUR, credits)
    assert tables.syncs.spent(account, T0) == 127
    assert tables.syncs.spent(account, T0 + 24 * HOUR) == 7
    assert tables.syncs.spent(account, T0 + 25 * HOUR) == 0
    assert tables.syncs.spent(f"{account}-other", T0) == 0
