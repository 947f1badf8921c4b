"""The transitions of the table, asked out of order, twice, or by two at once."""

import uuid
from dataclasses import replace

import pytest

from crm_export.aws.export_table import DynamoExportStore
from crm_export.exports.model import Export, ExportState, Part, PartState
from crm_export.zoho.bulk_read import Job
from crm_export.zoho.records import Cursor
from simulation.dynamodb import DynamoDb, TableData

T0, T1, T2, T9 = (f"2026-11-22T13:00:0{second}.000Z" for second in (0, 1, 2, 9))
FAILURE = {"code": "X", "message": "x", "remedy": ""}
NEXT = Cursor(by_time=False, page_token="t", read=1)
STORED = {"records": 1, "bytes": 9, "crc32": "00000001", "header": ["Id"], "key": "k"}


@pytest.fixture(params=["moto", "simulation"])
def store(request):
    """The store over moto's DynamoDB, and over the one of the simulation: both keep the same contract."""
    if request.param == "simulation":
        return DynamoExportStore(DynamoDb(TableData(lambda: 0.0)), "exports")
    world = request.getfixturevalue("world")
    return DynamoExportStore(world.aws.client("dynamodb"), world.deployment.outputs["ExportsTableName"])


@pytest.fixture
def export(store):
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
        expires_at=2_000_000_000,
    )
    store.create(export, Part(export.export_id, 1, T0))
    yield export
    store.fail(export, None, FAILURE, T9)


def part_of(store, export, number=1):
    part = store.get_part(export.export_id, number)
    assert part is not None
    return part


def submitted(store, export):
    assert store.mark_submitted(part_of(store, export), "1", T1)
    return part_of(store, export)


def test_what_was_written_is_read_back(store, export):
    assert store.get(export.export_id) == export
    assert part_of(store, export) == Part(export.export_id, 1, T0)
    assert export.export_id in set(store.open_export_ids())
    assert store.get("20261122T130000Z-0000000000000000") is None


def test_a_sealed_export_cannot_fail_any_more_and_a_failed_one_not_be_sealed(store, export):
    assert store.seal(export, T1, 5)
    assert store.seal(export, T2, 5)
    assert not store.fail(export, 1, FAILURE, T2)
    sealed = store.get(export.export_id)
    assert (sealed.state, sealed.completed_at, sealed.records) == (ExportState.RUNNING, T1, 5)
    assert store.complete(export.export_id)
    assert not store.complete(export.export_id)
    assert not store.fail(export, 1, FAILURE, T2)
    assert store.get(export.export_id).state is ExportState.COMPLETED
    assert export.export_id not in set(store.open_export_ids())


def test_a_failed_export_stays_failed(store, export):
    assert store.fail(export, 1, FAILURE, T1)
    assert not store.fail(export, 1, {**FAILURE, "code": "Y"}, T2)
    assert not store.seal(export, T2, 5)
    assert not store.complete(export.export_id)
    failed = store.get(export.export_id)
    assert (failed.state, failed.failure["code"]) == (ExportState.FAILED, "X")
    assert part_of(store, export).state is PartState.FAILED


def test_an_export_that_is_not_sealed_cannot_complete(store, export):
    assert not store.complete(export.export_id)


def test_one_of_two_gets_the_lease_and_the_other_when_it_is_over(store, export):
    part = part_of(store, export)
    assert store.claim(part, "a", T0, T2)
    assert store.claim(part, "a", T1, T2)  # asked again as the answer was lost
    assert not store.claim(part, "b", T1, T9)
    assert not store.renew(part, "b", T9)
    held = part_of(store, export)
    assert store.claim(held, "b", T9, T9)
    assert part_of(store, export).crashes == 1
    assert not store.renew(part, "a", T9)
    store.release(part, "a", T9, not_before=T9)  # too late: it is b's
    assert (part_of(store, export).lease_owner, part_of(store, export).attempts) == ("b", 0)


def test_who_read_a_part_before_it_moved_on_cannot_take_it(store, export):
    pending = part_of(store, export)
    submitted(store, export)
    assert not store.claim(pending, "a", T1, T9)
    assert part_of(store, export).lease_owner is None


def test_a_death_is_counted_once_however_often_the_lease_is_asked_for(store, export):
    part = part_of(store, export)
    assert store.claim(part, "a", T0, T1)
    held = part_of(store, export)
    assert store.claim(held, "b", T2, T2)
    assert store.claim(held, "b", T2, T9)  # asked again as the answer was lost
    assert part_of(store, export).crashes == 1
    store.release(part, "b", T9)
    assert not store.claim(held, "c", T9, T9)  # read before: nobody has died
    assert store.claim(part_of(store, export), "c", T9, T9)
    assert part_of(store, export).crashes == 1


def test_a_dead_workers_lease_is_taken_over_by_who_saw_it_and_not_one_that_came_after(store, export):
    assert store.claim(part_of(store, export), "a", T0, T1)
    held = part_of(store, export)
    assert store.claim(held, "b", T2, T2)
    assert not store.claim(held, "c", T9, T9)  # b is dead, too, by now: that is to be seen first
    assert store.claim(part_of(store, export), "c", T9, T9)
    assert part_of(store, export).crashes == 2


def test_a_failed_attempt_is_a_pause_for_all(store, export):
    part = part_of(store, export)
    assert store.claim(part, "a", T0, T2)
    store.release(part, "a", T1, not_before=T2)
    rested = part_of(store, export)
    assert (rested.attempts, rested.not_before, rested.lease_owner) == (1, T2, None)
    assert not store.claim(rested, "b", T1, T9)
    assert store.claim(rested, "b", T2, T9)


def test_a_transition_begins_anew(store, export):
    part = part_of(store, export)
    store.claim(part, "a", T0, T2)
    store.release(part, "a", T1, not_before=T2, strike=True)
    part = submitted(store, export)
    assert (part.attempts, part.strikes, part.not_before, part.lease_owner) == (0, 0, None, None)


def test_only_strikes_count_as_such(store, export):
    part = part_of(store, export)
    for strike in (True, False, True):
        assert store.claim(part_of(store, export), "a", T2, T9)
        store.release(part, "a", T2, not_before=T2, strike=strike)
    assert (part_of(store, export).attempts, part_of(store, export).strikes) == (3, 2)


def test_submitting_twice_keeps_the_first_job(store, export):
    part = part_of(store, export)
    assert store.mark_submitted(part, "1", T1)
    assert store.mark_submitted(part, "1", T1)
    assert not store.mark_submitted(part, "2", T2)
    assert store.mark_submitted(part, "1", T9)
    assert (part_of(store, export).job_id, part_of(store, export).submitted_at) == ("1", T1)


def test_ready_makes_the_next_part_once(store, export):
    part = submitted(store, export)
    job = Job("1", "COMPLETED", "Contacts", 1, 200, more_records=True, next_page_token="t")
    assert not store.mark_ready(part, replace(job, job_id="2"), T2)
    assert store.mark_ready(part, job, T2)
    assert not store.mark_ready(part, job, T2)
    first, second = store.get_parts(export)
    assert (first.state, first.expected_records, first.more_records) == (PartState.READY, 200, True)
    assert (second.state, second.part, second.page_token) == (PartState.PENDING, 2, "t")


def test_a_part_of_an_earlier_generation_does_not_overwrite_the_first_of_this_one(store, export):
    part = submitted(store, export)
    assert store.restart(export, Part(export.export_id, 2, T2))
    late = Job("1", "COMPLETED", count=1, more_records=True, next_page_token="of the earlier snapshot")
    assert not store.mark_ready(part, late, T2)
    assert part_of(store, export, 2) == Part(export.export_id, 2, T2)
    assert part_of(store, export).state is PartState.SUBMITTED


def test_a_part_that_was_read_does_not_overwrite_the_first_of_a_new_generation(store, export):
    part = part_of(store, export)
    assert store.claim(part, "a", T0, T1)
    assert store.restart(export, Part(export.export_id, 2, T2))
    facts = {**STORED, "expected_records": 1, "stored_at": T2}
    assert not store.mark_read(part, "a", facts, NEXT)
    assert part_of(store, export, 2) == Part(export.export_id, 2, T2)


def test_a_part_is_not_stored_any_more_once_its_export_failed(store, export):
    part = part_of(store, export)
    assert store.claim(part, "a", T0, T9)
    assert store.fail(export, 1, FAILURE, T1)
    facts = {**STORED, "expected_records": 1, "stored_at": T2}
    assert not store.mark_read(part, "a", facts, NEXT)
    assert part_of(store, export).state is PartState.FAILED
    assert store.get_part(export.export_id, 2) is None


def test_only_the_job_that_failed_is_given_up(store, export):
    part = submitted(store, export)
    assert not store.mark_pending_again(replace(part, job_id="2"), T2, T9)
    assert part_of(store, export) == part
    assert store.mark_pending_again(part, T2, T9)
    assert not store.mark_pending_again(part, T2, T9)


def test_a_part_never_goes_back_from_ready_or_stored(store, export):
    job = Job("1", "COMPLETED", count=1)
    part = submitted(store, export)
    assert store.mark_ready(part, job, T2)
    assert not store.mark_ready(part, job, T9)
    assert not store.mark_pending_again(part, T2, T9)
    ready = part_of(store, export)
    assert ready.state is PartState.READY
    assert store.mark_stored(ready, STORED, T2)
    assert not store.mark_ready(part, job, T9)
    assert not store.mark_pending_again(part, T2, T9)
    assert not store.mark_submitted(part, "1", T9)
    assert not store.mark_stored(ready, {**STORED, "records": 2}, T9)
    assert (part_of(store, export).state, part_of(store, export).records) == (PartState.STORED, 1)


def test_a_part_that_was_stored_stays_so_when_its_export_fails(store, export):
    store.mark_ready(submitted(store, export), Job("1", "COMPLETED", count=1), T2)
    assert store.mark_stored(part_of(store, export), STORED, T2)
    assert store.fail(export, 1, FAILURE, T2)
    assert part_of(store, export).state is PartState.STORED


def test_only_a_ready_part_of_that_job_can_be_stored(store, export):
    assert not store.mark_stored(submitted(store, export), STORED, T2)
    store.mark_ready(part_of(store, export), Job("1", "COMPLETED", count=1), T2)
    ready = part_of(store, export)
    assert not store.mark_stored(replace(ready, job_id="2"), STORED, T2)
    assert store.mark_stored(ready, STORED, T2)
    assert not store.mark_stored(ready, STORED, T2)
    stored = part_of(store, export)
    assert (stored.state, stored.records, stored.header, stored.stored_at) == (
        PartState.STORED,
        1,
        ["Id"],
        T2,
    )


def test_a_hint_is_kept_only_while_no_job_is_known_and_never_of_a_failed_one(store, export):
    store.note_job(export.export_id, 1, "7")
    assert part_of(store, export).hinted_job_id == "7"
    part = submitted(store, export)
    store.note_job(export.export_id, 1, "8")
    assert part_of(store, export).hinted_job_id is None
    assert store.mark_pending_again(part, T2, T9)
    store.note_job(export.export_id, 1, "1")
    part = part_of(store, export)
    assert (part.hinted_job_id, part.failed_job_ids, part.not_before) == (None, frozenset({"1"}), T9)
    store.note_job(export.export_id, 1, "2")
    part = part_of(store, export)
    assert (part.hinted_job_id, part.not_before) == ("2", None)
    store.forget_hint(part, T9)
    assert part_of(store, export).hinted_job_id is None


def test_only_the_hint_that_was_looked_at_is_forgotten(store, export):
    store.note_job(export.export_id, 1, "7")
    seen = part_of(store, export)
    store.note_job(export.export_id, 1, "8")
    store.forget_hint(seen, T9)
    assert part_of(store, export).hinted_job_id == "8"


def test_a_note_for_a_part_that_does_not_exist_makes_none(store, export):
    store.note_job(export.export_id, 9, "1")
    assert store.get_part(export.export_id, 9) is None


def test_who_read_an_earlier_generation_neither_fails_nor_seals_nor_amends(store, export):
    assert store.restart(export, Part(export.export_id, 2, T1))
    assert not store.restart(export, Part(export.export_id, 3, T1))
    assert not store.fail(export, 1, FAILURE, T1)
    assert not store.seal(export, T1, 5)
    assert store.amend(export, fields=["A"]) is None
    anew = store.get(export.export_id)
    assert (anew.generation, anew.first_part, anew.state) == (2, 2, ExportState.RUNNING)
    assert [part.part for part in store.get_parts(anew)] == [2]
    assert store.fail(anew, 2, FAILURE, T2)
    assert not store.restart(anew, Part(export.export_id, 3, T2))


def test_an_export_does_not_begin_anew_once_sealed_or_over_a_part_that_came_meanwhile(store, export):
    submitted(store, export)
    store.mark_ready(part_of(store, export), Job("1", "COMPLETED", count=1, more_records=True), T2)
    assert not store.restart(export, Part(export.export_id, 2, T2))
    assert store.get(export.export_id).generation == 1
    assert store.seal(export, T2, 1)
    assert not store.restart(export, Part(export.export_id, 3, T2))
    assert store.get_part(export.export_id, 3) is None


def test_what_is_asked_of_zoho_is_amended_and_read_back(store, export):
    dropped = [{"field": "B", "reason": "x"}]
    amended = store.amend(export, fields=["A"], fields_dropped=dropped, source="records", api_version="v3")
    assert amended == store.get(export.export_id)
    assert (amended.fields, amended.fields_dropped, amended.source) == (["A"], dropped, "records")


def test_only_who_holds_the_lease_stores_a_part_that_was_read(store, export):
    part = part_of(store, export)
    facts = {**STORED, "expected_records": 1, "stored_at": T2}
    assert store.claim(part, "a", T0, T1)
    assert not store.mark_read(part, "b", facts, None)
    assert store.mark_read(part, "a", facts, NEXT)
    assert not store.mark_read(part, "a", facts, NEXT)
    first, second = store.get_parts(export)
    assert (first.state, first.records, first.more_records, first.lease_owner) == (
        PartState.STORED,
        1,
        True,
        None,
    )
    assert (second.state, second.cursor) == (PartState.PENDING, NEXT)
