"""The contract of ExportTable: transitions out of order, repeated, and by two workers at once.

It runs over the simulation's DynamoDB. Another module can import these tests and define a fixture `table` of
its own to run them over another DynamoDB.
"""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from crm_export.aws.export_table import DynamoExportTable, encode, item_key
from crm_export.aws.table import size_of
from crm_export.errors import QueryRefused
from crm_export.exports.model import (
    BoundKey,
    DroppedField,
    Export,
    ExportState,
    Failure,
    LastError,
    Part,
    PartState,
    RequestKey,
    Stored,
)
from crm_export.exports.runs import Run, RunResult
from crm_export.exports.witness import Before, Witness
from crm_export.zoho.bulk_read import Job
from crm_export.zoho.records import Cursor
from simulation.dynamodb import DynamoDb, TableData

T0, T1, T2, T9 = (datetime(2026, 11, 22, 13, 0, second, tzinfo=UTC) for second in (0, 1, 2, 9))
FAILURE = Failure("X", "x", "")
STORED = Stored("k", 1, 9, "00000001", ("Id",))
CURSOR = Cursor(by_time=False, page_token="t", read=1)


@pytest.fixture
def table():
    return DynamoExportTable(DynamoDb(TableData(lambda: 0.0)), "exports")


@pytest.fixture
def export(table):
    export = Export(
        export_id=f"20261122T130000Z-{uuid.uuid4().hex[:16]}",
        account_id=f"acct-{uuid.uuid4().hex[:8]}",
        owner="user-1",
        module="Contacts",
        query={"fields": ["Last_Name"]},
        file_type="csv",
        api_version="v8",
        callback_base_url="https://x",
        requested_at=T0,
        deadline_at=T9,
        expires_at=datetime(2033, 5, 18, tzinfo=UTC),
    )
    table.create(export, Part(export.export_id, 1, T0))
    yield export
    table.fail(export, None, FAILURE, T9)


def part_of(table, export, number=1):
    part = table.get_part(export.export_id, number)
    assert part is not None
    return part


def submitted(table, export):
    assert table.mark_submitted(part_of(table, export), "1", T1)
    return part_of(table, export)


# --- an export ---


def test_created_export_and_part_are_read_back(table, export):
    assert table.get(export.export_id) == export
    assert part_of(table, export) == Part(export.export_id, 1, T0)
    assert export.export_id in set(table.open_export_ids())
    assert table.get("20261122T130000Z-0000000000000000") is None


def test_exports_of_an_account_are_listed_newest_first_in_pages(table, export):
    for second in (1, 2):
        later = replace(
            export,
            export_id=f"20261122T13000{second}Z-{uuid.uuid4().hex[:16]}",
            requested_at=export.requested_at.replace(second=second),
        )
        table.create(later, Part(later.export_id, 1, T0))
        table.fail(later, None, FAILURE, T9)
    page, position = table.list_of_account(export.account_id, 2, None)
    assert [found.requested_at for found in page] == [T2, T1]
    page, position = table.list_of_account(export.account_id, 2, position)
    assert (page, position) == ([export], None)
    assert table.list_of_account("another", 2, None) == ([], None)


def test_exports_of_a_run_are_listed_without_the_others(table, export):
    runs = ("a", "b", "a", "a")
    others = [
        replace(
            export,
            export_id=f"20261122T1301{second:02}Z-{uuid.uuid4().hex[:16]}",
            requested_at=export.requested_at.replace(minute=1, second=second),
            run_id=run_id,
        )
        for second, run_id in enumerate(runs)
    ]
    for other in others:
        table.create(other, Part(other.export_id, 1, T0))
        table.fail(other, None, FAILURE, T9)
    listed, position = [], None
    for _ in range(9):
        page, position = table.list_of_account(export.account_id, 2, position, "a")
        listed += page
        if position is None:
            break
    assert [found.export_id for found in listed] == [others[index].export_id for index in (3, 2, 0)]


def test_running_export_is_cancelled_once(table, export):
    cancelled = table.cancel(export.export_id, T1)
    assert cancelled == table.get(export.export_id)
    assert (cancelled.state, cancelled.completed_at) == (ExportState.CANCELLED, T1)
    assert table.cancel(export.export_id, T2) is None


def test_sealed_export_cannot_be_cancelled(table, export):
    assert table.seal(export, T1, 5)
    assert table.cancel(export.export_id, T2) is None
    assert table.complete(export.export_id)
    assert table.cancel(export.export_id, T2) is None


def test_cancelled_export_cannot_end_otherwise(table, export):
    assert table.cancel(export.export_id, T1)
    assert table.seal(export, T2, 5) is None
    assert table.complete(export.export_id) is None
    assert table.fail(export, None, FAILURE, T2) is None
    assert not table.restart(export, Part(export.export_id, 2, T2))
    assert table.amend(export, fields=["A"]) is None
    assert table.get(export.export_id).state is ExportState.CANCELLED


def test_only_a_cancelled_export_is_marked_as_cleaned_up_and_only_once(table, export):
    assert table.mark_cleaned(export.export_id, T1) is None
    table.cancel(export.export_id, T1)
    assert table.mark_cleaned(export.export_id, T2) == table.get(export.export_id)
    assert table.get(export.export_id).cleaned_at == T2
    assert table.mark_cleaned(export.export_id, T9) is None


def test_sealed_export_can_only_complete(table, export):
    assert table.seal(export, T1, 5)
    assert table.seal(export, T2, 5)
    assert not table.fail(export, 1, FAILURE, T2)
    assert table.amend(export, fields=["A"]) is None
    sealed = table.get(export.export_id)
    assert (sealed.state, sealed.completed_at, sealed.records) == (ExportState.RUNNING, T1, 5)
    assert table.complete(export.export_id)
    assert not table.complete(export.export_id)
    assert not table.fail(export, 1, FAILURE, T2)
    assert not table.seal(export, T2, 5)
    assert table.get(export.export_id).state is ExportState.COMPLETED
    assert part_of(table, export).state is PartState.PENDING


@pytest.mark.parametrize("end", ["complete", "fail", "fail_sealed", "cancel"])
def test_export_is_open_until_its_end_was_announced(table, export, end):
    table.mark_announced(export.export_id)  # too early: it is RUNNING
    assert export.export_id in set(table.open_export_ids())
    if end == "fail":
        assert table.fail(export, None, FAILURE, T1)
    elif end == "cancel":
        assert table.cancel(export.export_id, T1)
    else:
        assert table.seal(export, T1, 5)
        ended = (
            table.complete(export.export_id) if end == "complete" else table.fail_sealed(export, FAILURE, T2)
        )
        assert ended
    before = table.get(export.export_id)
    assert export.export_id in set(table.open_export_ids())
    for _ in range(2):
        table.mark_announced(export.export_id)
        assert export.export_id not in set(table.open_export_ids())
    assert table.get(export.export_id) == before


def test_failed_export_stays_failed(table, export):
    assert table.fail(export, 1, FAILURE, T1)
    assert not table.fail(export, 1, replace(FAILURE, code="Y"), T2)
    assert not table.seal(export, T2, 5)
    assert not table.complete(export.export_id)
    assert table.amend(export, fields=["A"]) is None
    failed = table.get(export.export_id)
    assert (failed.state, failed.failure, failed.completed_at) == (ExportState.FAILED, FAILURE, T1)
    assert part_of(table, export).state is PartState.FAILED


def test_failure_of_a_part_that_does_not_exist_creates_none(table, export):
    assert table.fail(export, 9, FAILURE, T1)
    assert table.get_part(export.export_id, 9) is None


def test_export_that_is_not_sealed_cannot_complete(table, export):
    assert not table.complete(export.export_id)


def test_worker_that_read_an_earlier_generation_cannot_change_the_export(table, export):
    assert table.restart(export, Part(export.export_id, 2, T1))
    assert not table.restart(export, Part(export.export_id, 3, T1))
    assert not table.fail(export, 1, FAILURE, T1)
    assert not table.seal(export, T1, 5)
    assert table.amend(export, fields=["A"]) is None
    restarted = table.get(export.export_id)
    assert (restarted.generation, restarted.first_part, restarted.state) == (2, 2, ExportState.RUNNING)
    assert [part.part for part in table.get_parts(restarted)] == [2]
    assert table.fail(restarted, 2, FAILURE, T2)
    assert not table.restart(restarted, Part(export.export_id, 3, T2))


def test_restart_forgets_what_a_run_of_a_sync_has_found(table, export):
    run = Run("changes", "scheduled", T1, since=T0, window_from=T0)
    amended = table.amend(export, sync=replace(run, result=RunResult(deleted=3, late=1)))
    assert table.get(export.export_id).sync.result == RunResult(deleted=3, late=1)
    assert table.restart(amended, Part(export.export_id, 2, T1))
    assert table.get(export.export_id).sync == run


def test_restart_of_an_export_that_is_no_run_of_a_sync_makes_it_none(table, export):
    assert table.restart(export, Part(export.export_id, 2, T1))
    assert table.get(export.export_id).sync is None


def test_restart_of_sealed_export_or_over_an_existing_part_is_refused(table, export):
    submitted(table, export)
    table.mark_ready(export, part_of(table, export), Job("1", "COMPLETED", count=1, more_records=True), T2)
    assert not table.restart(export, Part(export.export_id, 2, T2))
    assert table.get(export.export_id).generation == 1
    assert table.seal(export, T2, 1)
    assert not table.restart(export, Part(export.export_id, 3, T2))
    assert table.get_part(export.export_id, 3) is None


def test_count_before_and_witness_are_read_back_as_first_written(table, export):
    before = Before(5, "2026-11-22T13:00:00+00:00")
    assert table.amend(export, counted_before=before)
    first, second = (Witness(5, 5, None, None, verdict, "why") for verdict in ("exact", "gap"))
    assert table.seal(export, T1, 5, first).witness == first
    assert table.seal(export, T2, 5, second).witness == first
    sealed = table.get(export.export_id)
    assert (sealed.counted_before, sealed.witness, sealed.completed_at) == (before, first, T1)


def test_amended_export_is_read_back(table, export):
    dropped = (DroppedField("B", "x"),)
    amended = table.amend(export, fields=["A"], fields_dropped=dropped, source="records", api_version="v3")
    assert amended == table.get(export.export_id)
    assert (amended.fields, amended.fields_dropped, amended.source) == (["A"], dropped, "records")


def test_change_of_an_export_that_does_not_exist_creates_nothing(table, export):
    unknown = replace(export, export_id="20261122T130000Z-0000000000000000")
    assert table.amend(unknown, fields=["A"]) is None
    assert not table.seal(unknown, T1, 5)
    assert not table.restart(unknown, Part(unknown.export_id, 2, T1))
    assert not table.fail(unknown, 1, FAILURE, T1)
    assert table.get(unknown.export_id) is None


# --- an export's Idempotency-Key ---


@pytest.fixture
def key(export):
    return RequestKey(export.account_id, "'k'", "of the key", "of the request", T9)


def create(table, export, key, replaces=None):
    """Create another export of the account with a key. Return its id, or None if the key is bound."""
    other = replace(export, export_id=f"20261122T130000Z-{uuid.uuid4().hex[:16]}")
    if table.create(other, Part(other.export_id, 1, T0), key, replaces):
        table.fail(other, None, FAILURE, T9)
        return other.export_id
    assert (table.get(other.export_id), table.get_part(other.export_id, 1)) == (None, None)
    return None


def test_key_is_bound_to_the_export_it_is_written_with(table, export, key):
    assert table.bound_key(key) is None
    export_id = create(table, export, key)
    assert table.bound_key(key) == BoundKey("of the request", export_id, T9)
    assert table.get_part(export_id, 1) is not None


def test_export_with_a_bound_key_is_not_written(table, export, key):
    first = create(table, export, key)
    assert create(table, export, replace(key, request_hash="of another request")) is None
    assert create(table, export, key, replaces=export.export_id) is None
    assert table.bound_key(key) == BoundKey("of the request", first, T9)


def test_export_with_a_bound_key_replaces_the_export_that_the_key_names(table, export, key):
    first = create(table, export, key)
    second = create(table, export, replace(key, request_hash="of another request"), replaces=first)
    assert table.bound_key(key) == BoundKey("of another request", second, T9)
    assert create(table, export, key, replaces=first) is None


def test_key_that_expired_meanwhile_is_bound(table, export, key):
    assert create(table, export, key, replaces=export.export_id)


def test_same_key_of_another_account_is_independent(table, export, key):
    assert create(table, export, key)
    assert create(table, export, replace(key, account_id=f"{key.account_id}-2"))
    assert create(table, export, replace(key, key_hash="of another key"))


# --- the size of items ---


def of_size(export, size):
    """Return the export with a query that makes its item this large."""
    text = "я" * 120_000 + "x" * 20_000
    return replace(export, query={"cvid": text + "x" * (size - size_of(meta_of(export, text)))})


def meta_of(export, text):
    """Return the item of an export as it is written, with this text in its query."""
    values = {**vars(export), "query": {"cvid": text}}
    return {**item_key(export.export_id), **encode(values), "open": {"S": "OPEN"}}


def test_export_of_256_kb_is_written_and_one_byte_more_is_refused(table, export):
    largest = of_size(export, 256 * 1024)
    assert table.create(largest, Part(largest.export_id, 1, T0))
    assert table.get(export.export_id) == largest
    too_large = of_size(replace(export, export_id="20261122T130000Z-0000000000000000"), 256 * 1024 + 1)
    with pytest.raises(QueryRefused, match="has 262145 bytes; at most 262144 are allowed"):
        table.create(too_large, Part(too_large.export_id, 1, T0))
    assert table.get(too_large.export_id) is None


def test_largest_export_has_room_for_what_later_writes_add(table, export):
    largest = of_size(export, 256 * 1024)
    assert table.create(largest, Part(largest.export_id, 1, T0))
    names = [f"{number:03}" + "A" * 97 for number in range(200)]
    dropped = tuple(DroppedField(name, "x" * 500) for name in names[:150])
    assert table.amend(largest, fields=names, fields_dropped=dropped)
    assert table.amend(largest, counted_before=Before(at="x" * 25, why="я" * 300))
    assert table.fail(largest, 1, Failure("X" * 30, "я" * 2500, "x" * 300), T9)


def test_item_larger_than_400_kb_is_not_written(table, export):
    with pytest.raises(ClientError, match="ValidationException"):
        table.amend(export, fields=["x" * 410_000])
    assert table.get(export.export_id).fields is None


# --- the lease of a part ---


def test_lease_is_given_to_one_of_two_workers_and_to_the_other_when_it_expires(table, export):
    part = part_of(table, export)
    assert table.claim(part, "a", T0, T2)
    assert table.claim(part, "a", T1, T2)  # repeated because the response was lost
    assert not table.claim(part, "b", T1, T9)
    assert not table.renew(part, "b", T9)
    held = part_of(table, export)
    assert not table.claim(held, "b", T2, T9)  # the lease ends after T2
    assert table.claim(held, "b", T9, T9)
    assert part_of(table, export).dead_owners == {"a"}
    assert not table.renew(part, "a", T9)
    assert not table.release(part, "a", T9, not_before=T9)  # too late: the lease is b's
    assert (part_of(table, export).lease_owner, part_of(table, export).attempts) == ("b", 0)


def test_renewed_lease_lasts_longer(table, export):
    part = part_of(table, export)
    assert table.claim(part, "a", T0, T1)
    assert table.renew(part, "a", T9)
    assert part_of(table, export).lease_until == T9
    assert not table.claim(part_of(table, export), "b", T2, T9)


def test_claim_of_a_part_that_has_moved_on_is_refused(table, export):
    pending = part_of(table, export)
    submitted(table, export)
    assert not table.claim(pending, "a", T1, T9)
    assert not table.renew(pending, "a", T9)
    assert part_of(table, export).lease_owner is None


def test_lease_of_a_part_that_has_moved_on_is_neither_renewed_nor_released(table, export):
    pending = part_of(table, export)
    submitted(table, export)
    assert table.claim(part_of(table, export), "a", T1, T2)
    assert not table.renew(pending, "a", T9)
    table.release(pending, "a", T2, not_before=T9)
    part = part_of(table, export)
    assert (part.lease_owner, part.lease_until, part.attempts) == ("a", T2, 0)


def test_crash_is_counted_once_however_often_the_claim_is_repeated(table, export):
    part = part_of(table, export)
    assert table.claim(part, "a", T0, T1)
    held = part_of(table, export)
    assert table.claim(held, "b", T2, T2)
    assert table.claim(held, "b", T2, T9)  # repeated because the response was lost
    assert part_of(table, export).dead_owners == {"a"}
    assert table.release(part, "b", T9)
    assert not table.claim(held, "c", T9, T9)  # read before the release: nobody has died since
    assert table.claim(part_of(table, export), "c", T9, T9)
    assert part_of(table, export).dead_owners == {"a"}


def test_expired_lease_is_taken_over_only_by_a_worker_that_read_it(table, export):
    assert table.claim(part_of(table, export), "a", T0, T1)
    held = part_of(table, export)
    assert table.claim(held, "b", T2, T2)
    assert not table.claim(held, "c", T9, T9)  # b's lease has expired too, but c has not read it
    assert table.claim(part_of(table, export), "c", T9, T9)
    assert part_of(table, export).dead_owners == {"a", "b"}


def test_failed_attempt_pauses_the_part_for_every_worker(table, export):
    part = part_of(table, export)
    assert table.claim(part, "a", T0, T2)
    table.release(part, "a", T1, not_before=T2)
    paused = part_of(table, export)
    assert (paused.attempts, paused.not_before, paused.lease_owner) == (1, T2, None)
    assert (paused.lease_until, paused.updated_at) == (None, T1)
    assert not table.claim(paused, "b", T1, T9)
    assert table.claim(paused, "b", T2, T9)
    assert part_of(table, export).not_before is None


def test_failed_attempts_leave_their_strikes_and_the_last_error(table, export):
    part = part_of(table, export)
    error = LastError("X", "x", "2026-11-22T13:00:00.000Z")
    for strikes in ({"X": 1}, None, {"X": 1, "Y": 2}):
        assert table.claim(part_of(table, export), "a", T2, T9)
        assert table.release(part, "a", T2, not_before=T2, strikes=strikes, last_error=error)
    part = part_of(table, export)
    assert (part.attempts, part.strikes, part.last_error) == (3, {"X": 1, "Y": 2}, error)


def test_death_of_a_worker_that_comes_back_is_cancelled(table, export):
    for owner, until in (("a", T0), ("b", T1), ("c", T9)):
        assert table.claim(part_of(table, export), owner, T1 if owner == "b" else until, until)
    assert part_of(table, export).dead_owners == {"a", "b"}
    table.cancel_death(part_of(table, export), "a")
    table.cancel_death(part_of(table, export), "x")  # is not dead
    assert part_of(table, export).dead_owners == {"b"}
    table.cancel_death(part_of(table, export), "b")
    assert part_of(table, export).dead_owners == frozenset()
    assert part_of(table, export).lease_owner == "c"


def test_transition_resets_counters_pause_and_lease(table, export):
    assert table.claim(part_of(table, export), "a", T0, T0)
    assert table.claim(part_of(table, export), "b", T1, T2)
    table.release(part_of(table, export), "b", T1, not_before=T2, strikes={"X": 1})
    assert part_of(table, export).dead_owners == {"a"}
    part = submitted(table, export)
    assert (part.attempts, part.strikes, part.dead_owners) == (0, {}, frozenset())
    assert (part.not_before, part.updated_at) == (None, T1)
    assert table.claim(part, "c", T1, T9)
    assert table.mark_ready(export, part, Job("1", "COMPLETED", count=1), T2)
    assert (part_of(table, export).lease_owner, part_of(table, export).lease_until) == (None, None)


# --- transitions of a part ---


def test_submitting_again_keeps_the_first_job(table, export):
    part = part_of(table, export)
    assert table.mark_submitted(part, "1", T1)
    assert table.mark_submitted(part, "1", T1)
    assert not table.mark_submitted(part, "2", T2)
    assert table.mark_submitted(part, "1", T9)
    assert (part_of(table, export).job_id, part_of(table, export).submitted_at) == ("1", T1)


def test_ready_part_creates_the_next_part_once(table, export):
    part = submitted(table, export)
    job = Job("1", "COMPLETED", "Contacts", 1, 200, more_records=True, next_page_token="t")
    assert not table.mark_ready(export, part, replace(job, job_id="2"), T2)
    assert table.mark_ready(export, part, job, T2)
    assert not table.mark_ready(export, part, job, T2)
    first, second = table.get_parts(export)
    assert (first.state, first.expected_records, first.more_records) == (PartState.READY, 200, True)
    assert (first.next_page_token, second.page_token) == ("t", "t")
    assert (first.submitted_at, first.ready_at) == (T1, T2)
    assert (second.state, second.part) == (PartState.PENDING, 2)


def test_part_of_an_earlier_generation_does_not_overwrite_the_first_part_of_this_one(table, export):
    part = submitted(table, export)
    assert table.restart(export, Part(export.export_id, 2, T2))
    late = Job("1", "COMPLETED", count=1, more_records=True, next_page_token="of the earlier snapshot")
    assert not table.mark_ready(export, part, late, T2)
    assert part_of(table, export, 2) == Part(export.export_id, 2, T2)
    assert part_of(table, export).state is PartState.SUBMITTED


def test_part_read_for_an_earlier_generation_does_not_overwrite_the_first_part_of_this_one(table, export):
    part = part_of(table, export)
    assert table.claim(part, "a", T0, T1)
    assert table.restart(export, Part(export.export_id, 2, T2))
    assert not table.mark_read(export, part, "a", STORED, T2, following=CURSOR)
    assert part_of(table, export, 2) == Part(export.export_id, 2, T2)


@pytest.mark.parametrize("one_response", [True, False])
def test_part_that_was_read_remembers_whether_one_response_had_all_of_it(table, export, one_response):
    part = part_of(table, export)
    assert table.claim(part, "a", T0, T9)
    assert table.mark_read(export, part, "a", STORED, T2, following=None, one_response=one_response)
    assert part_of(table, export).one_response is one_response


def test_part_of_a_failed_export_cannot_be_stored(table, export):
    part = part_of(table, export)
    assert table.claim(part, "a", T0, T9)
    assert table.fail(export, 1, FAILURE, T1)
    assert not table.mark_read(export, part, "a", STORED, T2, following=CURSOR)
    assert part_of(table, export).state is PartState.FAILED
    assert table.get_part(export.export_id, 2) is None


def test_only_the_job_that_failed_is_replaced(table, export):
    part = submitted(table, export)
    assert not table.mark_pending_again(replace(part, job_id="2"), T2, T9)
    assert part_of(table, export) == part
    assert table.mark_pending_again(part, T2, T9)
    assert part_of(table, export) == Part(
        export.export_id, 1, T2, not_before=T9, failed_job_ids=frozenset({"1"})
    )
    assert not table.mark_pending_again(part, T2, T9)


def test_ready_or_stored_part_never_goes_back(table, export):
    job = Job("1", "COMPLETED", count=1)
    part = submitted(table, export)
    assert table.mark_ready(export, part, job, T2)
    assert not table.mark_ready(export, part, job, T9)
    assert not table.mark_pending_again(part, T2, T9)
    assert not table.mark_submitted(part, "1", T9)
    ready = part_of(table, export)
    assert ready.state is PartState.READY
    assert table.mark_stored(ready, STORED, T2)
    assert not table.mark_ready(export, part, job, T9)
    assert not table.mark_pending_again(part, T2, T9)
    assert not table.mark_submitted(part, "1", T9)
    assert not table.mark_stored(ready, replace(STORED, records=2), T9)
    assert (part_of(table, export).state, part_of(table, export).records) == (PartState.STORED, 1)


def test_stored_part_stays_stored_when_its_export_fails(table, export):
    table.mark_ready(export, submitted(table, export), Job("1", "COMPLETED", count=1), T2)
    assert table.mark_stored(part_of(table, export), STORED, T2)
    assert table.fail(export, 1, FAILURE, T2)
    assert part_of(table, export).state is PartState.STORED


def test_only_the_ready_part_of_that_job_can_be_stored(table, export):
    assert not table.mark_stored(submitted(table, export), STORED, T2)
    table.mark_ready(export, part_of(table, export), Job("1", "COMPLETED", count=1), T2)
    ready = part_of(table, export)
    assert not table.mark_stored(replace(ready, job_id="2"), STORED, T2)
    assert table.mark_stored(ready, STORED, T2)
    assert not table.mark_stored(ready, STORED, T2)
    stored = part_of(table, export)
    assert (stored.state, stored.stored_at) == (PartState.STORED, T2)
    assert Stored(stored.key, stored.records, stored.bytes, stored.crc32, stored.header) == STORED


def test_only_the_holder_of_the_lease_stores_a_part_that_was_read(table, export):
    part = part_of(table, export)
    assert table.claim(part, "a", T0, T1)
    assert not table.mark_read(export, part, "b", STORED, T2, following=None)
    assert table.mark_read(export, part, "a", STORED, T2, following=CURSOR)
    assert not table.mark_read(export, part, "a", STORED, T2, following=CURSOR)
    first, second = table.get_parts(export)
    assert (first.state, first.records, first.expected_records) == (PartState.STORED, 1, 1)
    assert (first.more_records, first.lease_owner) == (True, None)
    assert (second.state, second.cursor) == (PartState.PENDING, CURSOR)


# --- the job that a callback named ---


def test_hint_is_kept_only_while_no_job_is_known_and_never_for_a_failed_job(table, export):
    table.note_hint(export.export_id, 1, "7")
    assert part_of(table, export).hinted_job_id == "7"
    part = submitted(table, export)
    table.note_hint(export.export_id, 1, "8")
    assert part_of(table, export).hinted_job_id is None
    assert table.mark_pending_again(part, T2, T9)
    table.note_hint(export.export_id, 1, "1")
    part = part_of(table, export)
    assert (part.hinted_job_id, part.failed_job_ids, part.not_before) == (None, frozenset({"1"}), T9)
    table.note_hint(export.export_id, 1, "2")
    part = part_of(table, export)
    assert (part.hinted_job_id, part.not_before) == ("2", None)
    table.forget_hint(part, T9)
    assert (part_of(table, export).hinted_job_id, part_of(table, export).updated_at) == (None, T9)


def test_hint_is_not_replaced_before_it_was_looked_at(table, export):
    table.note_hint(export.export_id, 1, "7")
    seen = part_of(table, export)
    table.note_hint(export.export_id, 1, "8")
    assert part_of(table, export).hinted_job_id == "7"
    table.forget_hint(seen, T9)
    table.note_hint(export.export_id, 1, "8")
    table.forget_hint(seen, T9)
    assert part_of(table, export).hinted_job_id == "8"


def test_callbacks_of_a_part_are_counted_up_to_the_most(table, export):
    part = submitted(table, export)
    assert [table.count_callback(export.export_id, 1, 2) for _ in range(3)] == [part, part, None]
    assert table.count_callback(export.export_id, 9, 2) is None
    assert table.get_part(export.export_id, 9) is None


def test_export_is_read_together_with_a_part(table, export):
    part = submitted(table, export)
    assert table.get_with_part(export.export_id, 1) == (export, part)
    assert table.get_with_part(export.export_id, 2) is None
    assert table.get_with_part("20250101T000000Z-0123456789abcdef", 1) is None


def test_change_returns_the_item_as_it_can_be_read(table, export):
    claimed = table.claim(part_of(table, export), "a", T1, T9)
    assert claimed == part_of(table, export)
    marked = table.mark_submitted(claimed, "1", T1)
    assert marked == part_of(table, export)
    ready = table.mark_ready(export, marked, Job("1", "COMPLETED", count=1), T2)
    assert ready == part_of(table, export)
    assert table.mark_stored(ready, STORED, T9) == part_of(table, export)
    assert table.seal(export, T9, 1) == table.get(export.export_id)
    assert table.complete(export.export_id) == table.get(export.export_id)


def test_part_that_becomes_ready_and_the_next_one_are_returned_as_they_can_be_read(table, export):
    table.claim(part_of(table, export), "a", T0, T1)
    part = table.mark_submitted(part_of(table, export), "1", T1)
    dead = table.claim(part, "b", T1, T1)
    taken = table.claim(dead, "c", T2, T9)
    job = Job("1", "COMPLETED", count=1, more_records=True, next_page_token="t")
    ready = table.mark_ready(export, taken, job, T2)
    assert ready == part_of(table, export)
    assert ready.following(T2) == part_of(table, export, 2)


def test_claim_returns_what_was_written_since_the_part_was_read(table, export):
    seen = part_of(table, export)
    table.note_hint(export.export_id, 1, "7")
    assert table.claim(seen, "a", T1, T9).hinted_job_id == "7"


def test_failed_export_is_returned_as_it_can_be_read(table, export):
    assert table.fail(export, 1, FAILURE, T1) == table.get(export.export_id)


def test_sealed_export_that_fails_is_returned_as_it_can_be_read(table, export):
    sealed = table.seal(export, T1, 5)
    assert table.fail_sealed(sealed, FAILURE, T2) == table.get(export.export_id)


def test_only_running_exports_of_the_account_and_the_time_are_counted(table, export):
    ended = replace(export, export_id="20261122T130001Z-0123456789abcdef")
    others = replace(export, export_id="20261122T130002Z-0123456789abcdef", account_id="acct-10")
    for further in (ended, others):
        table.create(further, Part(further.export_id, 1, export.requested_at))
    assert table.fail(ended, None, Failure("X", "x", ""), T2)
    before = export.requested_at - timedelta(hours=1)
    assert list(table.running_of_account(export.account_id, before)) == [export.export_id]
    assert list(table.running_of_account(export.account_id, export.requested_at)) == []


def test_part_is_noted_as_queued_unless_it_changed_or_was_queued_meanwhile(table, export):
    seen = part_of(table, export)
    assert table.note_queued(seen, T2)
    assert table.note_queued(seen, T2)  # the same write, repeated
    assert not table.note_queued(seen, T9)  # another tick
    queued = part_of(table, export)
    assert (queued.queued_at, queued.updated_at) == (T2, seen.updated_at)
    assert table.note_queued(queued, T9)
    assert table.mark_submitted(queued, "1", T9)
    assert not table.note_queued(replace(queued, queued_at=T9), T9)  # it has changed since


def test_position_of_the_reconciler_is_kept(table):
    for position in ("a", "b", ""):
        table.note_reconciled(position)
        assert table.reconciled_up_to() == position


def test_hint_for_a_part_that_does_not_exist_creates_nothing(table, export):
    table.note_hint(export.export_id, 9, "1")
    assert table.get_part(export.export_id, 9) is None
