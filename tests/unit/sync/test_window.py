"""Which kind of run is next, from when on it reads, and whether it needs a job."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_export.exports.runs import CHANGES, FULL, Link
from crm_export.sync.model import Lag, Sync
from crm_export.sync.window import grown, needs_job, overlap_of, plan, window_from

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LAG = Lag(timedelta(minutes=15), timedelta(minutes=5))
LINK = Link("e", "k", "s")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def sync_of(**members):
    """Return an hourly sync whose last run, a full one, began an hour before noon."""
    at = NOON - HOUR
    known = {"watermark": at, "full_at": at, "deletes_read_at": at, "job_at": at, "full": LINK}
    return Sync("a", "u", "Contacts", "https://x", NOON, previous=LINK, **{**known, **members})


def kind_of(sync, now=NOON, requested=None):
    run = plan(sync, now, LAG, requested)
    return run.kind, run.reason


# --- kind and reason ---


def test_run_between_two_full_ones_reads_changes():
    assert kind_of(sync_of()) == (CHANGES, "scheduled")
    assert kind_of(sync_of(), requested=CHANGES) == (CHANGES, "requested")


@pytest.mark.parametrize(
    ("members", "requested", "reason"),
    [
        ({"watermark": None, "full": None, "full_at": None}, None, "first"),
        ({"watermark": None, "full": None, "full_at": None}, FULL, "first"),
        ({"full": None}, None, "first"),
        ({"full_reason": "requested"}, None, "requested"),
        ({"full_reason": "schema"}, None, "schema"),
        ({"full_reason": "schema"}, CHANGES, "schema"),
        ({"full_reason": "deletes_unreadable"}, None, "deletes_unreadable"),
        ({"full_reason": "first"}, None, "first"),
        ({"deletes_read_at": None}, None, "deletes_unreadable"),
        ({"deletes_read_at": None}, FULL, "deletes_unreadable"),
        ({"module": "Notes"}, None, "deletes_unreadable"),
        ({}, FULL, "requested"),
        ({"full_at": NOON - 7 * DAY}, None, "scheduled"),
        ({"full_at": NOON - 7 * DAY}, CHANGES, "scheduled"),
        ({"every": 30 * DAY, "full_every": HOUR, "full_at": NOON - 30 * DAY}, None, "scheduled"),
    ],
)  # fmt: skip
def test_each_reason_makes_a_run_full(members, requested, reason):
    sync = replace(sync_of(), **members)
    assert kind_of(sync, requested=requested) == (FULL, reason)


def test_deletions_read_55_days_ago_are_recent_enough():
    sync = sync_of(every=30 * DAY, full_every=90 * DAY, deletes_read_at=NOON - 55 * DAY)
    assert kind_of(sync) == (CHANGES, "scheduled")
    assert kind_of(sync, NOON + timedelta(seconds=1)) == (FULL, "deletes_unreadable")


def test_full_run_is_due_exactly_after_full_every():
    sync = sync_of(full_at=NOON - 7 * DAY + timedelta(seconds=1))
    assert kind_of(sync) == (CHANGES, "scheduled")
    assert kind_of(sync, NOON + timedelta(seconds=1)) == (FULL, "scheduled")


def test_sync_that_is_never_full_becomes_full_before_readers_cannot_follow_its_chain():
    every = timedelta(minutes=15)
    sync = sync_of(every=every, full_every=None, full_at=NOON - 8_999 * every)
    assert kind_of(sync) == (CHANGES, "scheduled")
    assert kind_of(sync, NOON + every) == (FULL, "scheduled")


# --- windows ---


def test_window_begins_at_the_watermark_less_the_overlap():
    run = plan(sync_of(), NOON, LAG)
    assert (run.since, run.window_from) == (NOON - HOUR, NOON - HOUR - LAG.overlap)
    assert run.watermark == NOON - LAG.lag
    assert run.reads_from == run.window_from


def test_first_run_has_no_window():
    sync = Sync("a", "u", "Contacts", "https://x", NOON)
    assert window_from(sync, LAG) is None
    run = plan(sync, NOON, LAG)
    assert (run.since, run.window_from, run.reads_from, run.previous) == (None, None, None, None)


def test_window_is_that_of_the_larger_overlap():
    assert overlap_of(sync_of(overlap=None), LAG) == LAG.overlap
    assert overlap_of(sync_of(overlap=timedelta(minutes=1)), LAG) == LAG.overlap
    assert overlap_of(sync_of(overlap=HOUR), LAG) == HOUR
    assert overlap_of(sync_of(overlap=timedelta()), Lag(timedelta(), timedelta())) == timedelta()


@given(st.integers(-10_000, 10_000), st.integers(0, 2_000))
def test_watermark_never_moves_back_and_the_window_covers_the_last_overlap(seconds, overlap):
    sync = sync_of(overlap=timedelta(seconds=overlap))
    now = sync.watermark + timedelta(seconds=seconds)
    run = plan(sync, now, LAG)
    assert run.watermark >= sync.watermark
    assert run.window_from <= sync.watermark - overlap_of(sync, LAG)
    assert run.window_from <= now - LAG.overlap - LAG.lag or now > sync.watermark + LAG.lag


def test_window_covers_what_changes_after_zohos_clock_was_set_back():
    run = plan(sync_of(), NOON - DAY, LAG)
    assert run.watermark == NOON - HOUR
    assert run.window_from == NOON - DAY - LAG.lag - LAG.overlap


# --- jobs ---


@pytest.mark.parametrize(
    ("every", "since_job", "has_changes", "expected"),
    [
        (HOUR, HOUR, True, True),
        (HOUR, HOUR, False, False),
        (HOUR, DAY, False, True),
        (timedelta(minutes=15), timedelta(hours=6), False, True),
        (timedelta(minutes=15), timedelta(hours=6, seconds=-1), False, False),
        (30 * DAY, DAY, False, True),
        (30 * DAY, DAY - timedelta(seconds=1), False, False),
        (HOUR, None, False, True),
    ],
)
def test_run_without_changes_has_a_job_only_once_a_day_or_in_24_runs(every, since_job, has_changes, expected):
    sync = sync_of(every=every, job_at=since_job and NOON - since_job)
    assert needs_job(sync, plan(sync, NOON, LAG), NOON, has_changes=has_changes) is expected


def test_full_run_always_has_a_job():
    sync = sync_of()
    assert needs_job(sync, plan(sync, NOON, LAG, FULL), NOON, has_changes=False)


# --- overlap ---


@pytest.mark.parametrize(
    ("before", "late", "after"),
    [(15, 0, 15), (15, 1, 30), (15, 900, 30), (800, 1, 1440), (1440, 5, 1440), (0, 1, 1), (0, 0, 0)],
)
def test_overlap_doubles_with_late_rows_up_to_a_day(before, late, after):
    assert grown(timedelta(minutes=before), late) == timedelta(minutes=after)
