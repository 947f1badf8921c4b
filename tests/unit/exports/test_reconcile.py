"""The reconciler: which parts it queues, for which function, and when it fails an export."""

from dataclasses import replace

import pytest

from crm_export.exports.model import RECORDS, ExportState, PartState


def test_quiet_part_is_queued_for_the_function_of_its_next_step(one_export):
    one_export.let_pass(300)
    assert one_export.reconcile() == 1
    assert (one_export.submit_queue.parts, one_export.download_queue.parts) == ([1], [])
    one_export.table.note_hint(one_export.export_id, 1, "7")
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
    assert list(one_export.table.running_export_ids()) == []


def test_ended_export_that_the_index_still_lists_is_skipped(one_export):
    one_export.let_pass(300)
    one_export.fail()
    one_export.table.running_export_ids = lambda: iter([one_export.export_id, "20250101T000000Z-0"])
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
