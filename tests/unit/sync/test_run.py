"""When a run starts, what keeps it from starting, and when it is tried again."""

from dataclasses import replace
from datetime import timedelta

import pytest

from crm_export.errors import (
    ConnectionMalformed,
    CreditShareSpent,
    RunInProgress,
    StateUnavailable,
    TooManyOpenExports,
    ZohoPermissionDenied,
    ZohoThrottled,
    ZohoUnavailable,
)
from crm_export.exports.model import ExportState, Failure, PartState
from crm_export.sync.model import SyncLimits
from crm_export.sync.run import run_due
from tests.unit.sync.conftest import CALLER, MODULE, NOON


def start(world):
    """Deliver a message about the sync; return the sync."""
    run_due(world.syncs, CALLER.account_id, MODULE)
    return world.sync()


def open_run(world):
    return world.export(world.sync().open_run)


# --- start ---


def test_due_sync_starts_a_run_and_is_due_again_in_its_rhythm(world):
    world.put(every="1h")
    world.let_pass(minutes=7)
    sync = start(world)
    assert (sync.due_at, sync.queued_at, sync.blocked) == (NOON + timedelta(hours=1), None, None)
    run = open_run(world).sync
    assert (run.kind, run.reason, run.watermark) == ("full", "first", world.now - timedelta(minutes=5))


def test_late_message_about_a_sync_that_is_not_due_does_nothing(synced):
    before = synced.sync()
    assert start(replaced(synced, due_at=NOON + timedelta(hours=9))).open_run is None
    synced.put(enabled=False)
    assert start(synced).open_run is None
    assert before.previous == synced.sync().previous
    run_due(synced.syncs, CALLER.account_id, "Deals")


def replaced(world, **members):
    world.change(**members)
    return world


def test_time_of_a_run_is_zohos_whatever_our_clock_says(world):
    world.zoho.skew = timedelta(days=-400)
    world.zoho.put(1, 2, 3)
    world.put(every="1h")
    world.run()
    assert world.sync().watermark == NOON - timedelta(days=400, minutes=5)
    world.let_pass(hours=1)
    world.zoho.put(4)
    world.run()
    assert world.folded() == {1, 2, 3, 4}


def test_probe_without_changes_starts_a_run_without_a_job(synced):
    before = len(synced.zoho.jobs)
    synced.zoho.delete(3)
    start(synced)
    assert synced.exports.get_part(synced.sync().open_run, 1).state is PartState.STORED
    synced.finish(open_run(synced))
    assert len(synced.zoho.jobs) == before
    assert synced.folded() == {1, 2}


def test_run_without_changes_has_a_job_once_a_day(synced):
    jobs = []
    for _ in range(7):
        before = len(synced.zoho.jobs)
        synced.run()
        jobs.append(len(synced.zoho.jobs) - before)
        synced.let_pass(hours=8)
    assert jobs == [0, 0, 0, 1, 0, 0, 1]


def test_probe_asks_from_the_beginning_of_the_window(synced):
    synced.run()
    assert synced.zoho.probed[-1] == NOON - timedelta(minutes=20)  # the lag and the overlap


def test_run_has_a_job_if_zohos_clock_was_set_back_although_the_probe_shows_nothing(synced):
    synced.zoho.skew = timedelta(hours=-3)
    synced.zoho.put(9)
    synced.run()
    assert synced.folded() == {1, 2, 3, 9}
    assert synced.sync().watermark == NOON - timedelta(minutes=5)


# --- a run in progress ---


def test_run_in_progress_keeps_the_next_one_waiting_and_is_no_blockade(synced, metric_names):
    start(synced)
    first = synced.sync().open_run
    synced.let_pass(hours=1)
    sync = start(synced)
    assert (sync.open_run, sync.blocked) == (first, None)
    assert sync.due_at == synced.now + timedelta(minutes=5)
    assert synced.shown()["state"] == "RUNNING"
    assert "SyncsBlocked" not in metric_names()
    synced.finish(open_run(synced))
    assert synced.shown()["state"] == "IDLE"


def test_requested_run_is_refused_while_one_is_in_progress(synced):
    synced.request()
    with pytest.raises(RunInProgress, match="has a run in progress"):
        synced.request("full")


def test_message_that_comes_while_another_worker_starts_the_run_changes_nothing(synced):
    """The other worker starts the run while this one asks Zoho."""
    other = iter([1])
    probe = synced.zoho.probe

    def probe_meanwhile(*asked):
        if next(other, None):
            start(synced)
        return probe(*asked)

    synced.zoho.probe = probe_meanwhile
    start(synced)
    sync = synced.sync()
    assert list(synced.exports.open_export_ids()) == [sync.open_run]
    assert sync.revision == 3  # put, run, end of run; then the other worker's


@pytest.mark.parametrize("end", ["failed", "cancelled", "expired"])
def test_run_that_ended_without_completing_leaves_its_window_to_the_next(synced, end):
    synced.zoho.put(4)
    start(synced)
    export = open_run(synced)
    if end == "failed":
        synced.exports.fail(export, 1, Failure("X", "broken", "mend it"), synced.now)
    elif end == "cancelled":
        synced.exports.cancel(export.export_id, synced.now)
    else:
        del synced.items.items[(f"EXPORT#{export.export_id}", "META")]
    synced.let_pass(hours=30)
    assert synced.sync().watermark == NOON - timedelta(minutes=5)
    manifest = synced.run()
    assert manifest["sync"]["window"]["from"] == "2026-11-22T11:40:00+00:00"
    assert manifest["sync"]["previous"]["export_id"] != export.export_id
    assert synced.folded() == {1, 2, 3, 4}


def test_failed_run_is_shown_with_its_reason_until_the_next_one_starts(synced):
    start(synced)
    export = open_run(synced)
    synced.exports.fail(export, 1, Failure("X", "broken", "mend it"), synced.now)
    shown = synced.shown()
    assert (shown["state"], shown["blocked"]["code"]) == ("BLOCKED", "X")
    assert shown["blocked"]["export_id"] == export.export_id
    synced.let_pass(hours=1)
    start(synced)
    assert (synced.shown()["state"], synced.shown()["blocked"]) == ("RUNNING", None)


# --- what keeps a run from starting ---


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ZohoUnavailable("down"), timedelta(minutes=5)),
        (ZohoThrottled("slow down", retry_after=900), timedelta(minutes=15)),
        (ZohoThrottled("slow down", retry_after=3), timedelta(minutes=5)),
        (CreditShareSpent("spent", retry_after=3600), timedelta(hours=1)),
        (TooManyOpenExports("full", retry_after=60), timedelta(minutes=5)),
        (ConnectionMalformed("none"), timedelta(days=1)),
        (ZohoPermissionDenied("not allowed"), timedelta(days=1)),
    ],
)
def test_blocked_sync_says_why_and_is_tried_again(synced, error, again):
    synced.put(every="30d")
    synced.change(due_at=synced.now)
    synced.zoho.probe_fails = error
    sync = start(synced)
    assert (sync.blocked.code, sync.blocked.message) == (error.code, error.message)
    assert (sync.due_at, sync.queued_at) == (synced.now + again, None)
    assert synced.shown()["state"] == "BLOCKED"


def test_sync_that_is_blocked_for_good_is_tried_in_its_own_rhythm(synced):
    synced.zoho.probe_fails = ConnectionMalformed("none")
    synced.let_pass(minutes=10)
    assert start(synced).due_at == NOON + timedelta(hours=2)


def test_blocked_since_stays_while_the_reason_does(synced):
    synced.zoho.probe_fails = ZohoUnavailable("down")
    began = synced.now
    start(synced)
    synced.let_pass(minutes=5)
    assert start(synced).blocked.since == began
    synced.zoho.probe_fails = ConnectionMalformed("none")
    synced.let_pass(minutes=5)
    assert start(synced).blocked.since == synced.now
    synced.zoho.probe_fails = None
    synced.let_pass(days=1)
    assert start(synced).blocked is None


def test_long_message_of_a_blocked_sync_is_cut(synced):
    synced.zoho.probe_fails = ConnectionMalformed("word " * 10_000)
    assert len(start(synced).blocked.message) <= 2500


def test_outage_of_the_table_is_left_to_the_queue(synced):
    synced.zoho.probe_fails = StateUnavailable("throttled")
    with pytest.raises(StateUnavailable):
        start(synced)
    assert synced.sync().blocked is None


def test_account_with_too_many_open_exports_waits_for_five_minutes(synced):
    synced.limit(max_open_exports=1)
    synced.put(every="30d")
    synced.change(due_at=synced.now)
    start(synced)
    export = open_run(synced)
    synced.change(open_run=None, due_at=synced.now)
    sync = start(synced)
    assert sync.blocked.code == "TOO_MANY_OPEN_EXPORTS"
    assert sync.due_at == synced.now + timedelta(minutes=5)
    synced.finish(export)
    synced.let_pass(minutes=5)
    assert start(synced).blocked is None


def test_query_that_zoho_refuses_fails_the_run_and_is_shown(synced):
    def refuse(version, request):
        raise ZohoPermissionDenied("No permission.")

    synced.zoho.put(4)
    synced.zoho.create_job = refuse
    start(synced)
    assert open_run(synced).state is ExportState.FAILED
    assert synced.shown()["blocked"]["code"] == "ZOHO_PERMISSION_DENIED"


# --- credits ---


def test_sync_beyond_its_share_waits_and_goes_on_when_credits_are_back(synced):
    synced.limits = SyncLimits(credit_share=30)
    synced.zoho.remaining = 100
    synced.zoho.put(4)
    sync = start(synced)
    assert sync.blocked.code == "CREDIT_SHARE_SPENT"
    assert sync.due_at == synced.now + timedelta(hours=1)
    synced.zoho.remaining = 50_000
    synced.let_pass(hours=1)
    assert start(synced).open_run is not None


def test_blocked_run_books_what_its_probe_has_cost(synced):
    synced.zoho.remaining = 0
    before = synced.table.spent(CALLER.account_id, synced.now)
    synced.zoho.put(4)
    start(synced)
    assert synced.table.spent(CALLER.account_id, synced.now) == before + 1


def test_run_that_costs_more_than_expected_books_the_rest_when_it_completes(synced):
    synced.zoho.put(4)
    start(synced)
    export = open_run(synced)
    before = synced.table.spent(CALLER.account_id, synced.now)
    synced.exports.add_credits(export.export_id, 1_000)
    synced.finish(export)
    assert synced.table.spent(CALLER.account_id, synced.now) == before + 1_001 - export.sync.booked


def test_run_that_failed_or_was_cancelled_has_its_rest_booked_once_by_the_next_one(synced):
    synced.zoho.put(4)
    start(synced)
    export = open_run(synced)
    synced.exports.add_credits(export.export_id, 1_000)
    synced.exports.cancel(export.export_id, synced.now)
    before = synced.table.spent(CALLER.account_id, synced.now)
    following = synced.request()
    spent = synced.table.spent(CALLER.account_id, synced.now) - before
    assert spent == following.sync.booked + 1_001 - export.sync.booked
    with pytest.raises(RunInProgress):
        synced.request()
    assert synced.table.spent(CALLER.account_id, synced.now) - before == spent


def test_full_run_is_expected_to_cost_as_much_as_the_last_full_one(synced):
    sync = synced.change(full_records=1_000_000, last_run=replace(synced.sync().last_run, records=2))
    assert sync.full_records == 1_000_000
    synced.request("full")
    assert open_run(synced).sync.booked == 271
