"""The reconciler: which parts it queues, for which function, and when it fails an export."""

from dataclasses import replace

import pytest

from crm_export import deadline
from crm_export.errors import ZohoUnavailable
from crm_export.exports.model import RECORDS, ExportState, PartState


def test_quiet_part_is_queued_for_the_function_of_its_next_step(one_export):
    one_export.let_pass(300)
    assert one_export.reconcile() == 1
    assert (one_export.submit_queue.parts, one_export.download_queue.parts) == ([1], [])
    one_export.table.note_hint(one_export.export_id, 1, "7")
    one_export.let_pass(300)
    assert one_export.reconcile() == 1
    assert (one_export.submit_queue.parts, one_export.download_queue.parts) == ([1], [1])


def test_quiet_part_of_readable_export_is_queued_for_the_downloader(one_export):
    one_export.create(module="Notes", source=RECORDS, fields=["Note_Title"], read_order="id")
    one_export.let_pass(300)
    one_export.reconcile()
    assert (one_export.submit_queue.parts, one_export.download_queue.parts) == ([], [1])


def test_every_part_is_queued_once_it_is_quiet_and_not_before(one_export):
    one_export.ready(token="t")
    one_export.let_pass(299)
    assert one_export.reconcile() == 0
    one_export.let_pass(1)
    assert one_export.reconcile() == 2
    assert (one_export.download_queue.parts, one_export.submit_queue.parts) == ([1], [2])


def test_stored_part_is_not_queued_while_another_is_missing(one_export):
    one_export.stored(token="t")
    one_export.let_pass(300)
    assert one_export.reconcile() == 1
    assert (one_export.download_queue.parts, one_export.submit_queue.parts) == ([], [2])


def test_leased_or_paused_part_is_not_quiet(one_export):
    one_export.submitted()
    began, until = one_export.now, one_export.at(1200)
    one_export.claim("a", 1200)
    one_export.let_pass(600)
    assert one_export.reconcile() == 0
    one_export.table.release(one_export.part(), "a", began, not_before=until)
    assert one_export.reconcile() == 0
    one_export.let_pass(601)
    assert one_export.reconcile() == 1


def test_export_with_all_parts_stored_is_completed_even_past_its_deadline(one_export):
    one_export.stored(1, "1", token="t")
    one_export.stored(2, "2")
    one_export.let_pass(25 * 3600)
    assert one_export.reconcile() == 1
    assert one_export.download_queue.parts == [2]
    one_export.advance(2)
    assert one_export.export().state is ExportState.COMPLETED


def test_part_is_quiet_at_the_end_of_its_lease(one_export):
    one_export.claim("a", 300)
    one_export.let_pass(299)
    assert one_export.reconcile() == 0
    one_export.let_pass(1)
    assert one_export.reconcile() == 1


def test_export_past_its_deadline_fails_and_names_the_first_missing_part(one_export):
    one_export.stored(token="t")
    one_export.ready(2, "2", token="u")
    one_export.let_pass(24 * 3600)
    assert one_export.reconcile() == 2
    assert one_export.export().state is ExportState.RUNNING
    one_export.let_pass(1)
    assert one_export.reconcile() == 0
    failure = one_export.export().failure
    assert failure.code == "DEADLINE_EXCEEDED"
    assert "not complete by 2026-11-23T13:00:00.000Z; part 2 was not stored" in failure.message
    assert (one_export.part(2).state, one_export.part(3).state) == (PartState.FAILED, PartState.PENDING)
    assert list(one_export.table.open_export_ids()) == []


def test_export_past_its_deadline_names_the_last_error_of_that_part(one_export):
    one_export.zoho.refusals = [ZohoUnavailable("Zoho is down.")]
    with pytest.raises(ZohoUnavailable):
        one_export.submit()
    one_export.let_pass(24 * 3600 + 1)
    one_export.reconcile()
    assert one_export.export().failure.message.endswith(
        "part 1 was not stored (PENDING). "
        "Its last error, 2026-11-22T13:00:00.000Z: ZOHO_UNAVAILABLE: Zoho is down."
    )


def test_ended_export_that_the_index_still_lists_is_skipped(one_export):
    one_export.let_pass(300)
    one_export.fail()
    one_export.table.open_export_ids = lambda: iter([one_export.export_id, "20250101T000000Z-0"])
    assert one_export.reconcile() == 0
    assert one_export.submit_queue.parts == []


def test_export_that_cannot_be_reconciled_does_not_stop_the_others(one_export):
    other = "20261122T130001Z-0123456789abcdef"
    later = replace(one_export.export(), export_id=other, requested_at=one_export.at(1))
    one_export.table.create(later, replace(one_export.part(), export_id=other))
    get_parts = one_export.table.get_parts

    def get_parts_of_the_other(export):
        if export.export_id == one_export.export_id:
            raise OSError
        return get_parts(export)

    one_export.table.get_parts = get_parts_of_the_other
    one_export.let_pass(300)
    with pytest.raises(ExceptionGroup) as raised:
        one_export.reconcile()
    assert [type(error) for error in raised.value.exceptions] == [OSError]
    assert one_export.submit_queue.parts == [1]


# --- messages in flight ---


def test_part_whose_message_is_in_flight_is_queued_ever_more_rarely(one_export):
    one_export.let_pass(300)
    queued_after = []
    for minutes in range(5, 24 * 60, 5):
        queued_after += [minutes] * one_export.reconcile()
        one_export.let_pass(300)
    assert queued_after[:6] == [5, 10, 20, 40, 80, 140]
    assert len(queued_after) < 30


def test_part_that_changed_after_it_was_queued_is_queued_again_once_it_is_quiet(one_export):
    one_export.let_pass(1000)
    assert one_export.reconcile() == 1
    one_export.submitted()
    one_export.let_pass(300)
    assert one_export.reconcile() == 1
    assert (one_export.submit_queue.parts, one_export.download_queue.parts) == ([1], [1])


def test_two_ticks_at_the_same_time_queue_a_part_once(one_export):
    one_export.let_pass(300)
    get_parts = one_export.table.get_parts

    def get_parts_before_the_other_tick(export):
        parts = get_parts(export)
        one_export.table.get_parts = get_parts
        one_export.let_pass(1)
        assert one_export.reconcile() == 1
        one_export.let_pass(1)
        return parts

    one_export.table.get_parts = get_parts_before_the_other_tick
    assert one_export.reconcile() == 0
    assert one_export.submit_queue.parts == [1]


def test_overdue_export_with_all_parts_stored_is_queued_at_every_tick(one_export):
    one_export.stored()
    one_export.let_pass(25 * 3600)
    assert [one_export.reconcile(), one_export.reconcile()] == [1, 1]


# --- many exports ---


def add_exports(one_export, count):
    ids = [f"20261122T{130001 + number}Z-0123456789abcdef" for number in range(count)]
    for export_id in ids:
        one_export.create(export_id)
    return [one_export.export_id, *ids]


def test_tick_without_time_for_all_exports_is_continued_by_the_next_one(one_export):
    ids = add_exports(one_export, 4)
    one_export.let_pass(300)
    looked_at = []
    get = one_export.table.get

    def get_slowly(export_id):
        looked_at.append(export_id)
        clock.now += 10
        return get(export_id)

    one_export.table.get = get_slowly
    clock = Clock()
    one_export.pipeline = replace(
        one_export.pipeline, system=replace(one_export.pipeline.system, monotonic=clock, start_thread=call)
    )
    for _ in range(3):
        with deadline.clocked_by(clock), deadline.ends_in(20):
            one_export.reconcile()
    assert looked_at == [*ids, ids[0]]
    with deadline.clocked_by(clock), deadline.ends_in(1000):
        one_export.reconcile()
        one_export.reconcile()
    assert looked_at[6:] == [*ids[1:], ids[0], *ids]


def test_every_export_is_looked_at_by_one_of_the_workers(one_export):
    ids = add_exports(one_export, 40)
    one_export.let_pass(300)
    assert one_export.reconcile() == len(ids) == len(one_export.submit_queue.parts)


class Clock:
    """A clock that only the test moves."""

    now = 0.0

    def __call__(self):
        return self.now


def call(work):
    work()
