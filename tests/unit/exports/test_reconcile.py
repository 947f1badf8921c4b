"""Which parts are pushed on, by whom they are gone on with, and when an export is given up."""

from dataclasses import replace
from datetime import datetime

import pytest

from crm_export.exports.model import RECORDS, ExportState, PartState


@pytest.fixture
def export(pipeline):
    return pipeline.create()


@pytest.mark.usefixtures("export")
def test_a_quiet_part_is_queued_for_whoever_can_go_on_with_it(pipeline):
    pipeline.let_pass(300)
    assert pipeline.reconcile() == 1
    assert (pipeline.submit_queue.parts, pipeline.download_queue.parts) == ([1], [])
    pipeline.table.note_hint(pipeline.export_id, 1, "7")
    assert pipeline.reconcile() == 1
    assert (pipeline.submit_queue.parts, pipeline.download_queue.parts) == ([1], [1])


def test_a_quiet_part_that_is_read_needs_no_job(pipeline):
    pipeline.create(module="Notes", source=RECORDS, fields=["Note_Title"], read_order="id")
    pipeline.let_pass(300)
    pipeline.reconcile()
    assert (pipeline.submit_queue.parts, pipeline.download_queue.parts) == ([], [1])


@pytest.mark.usefixtures("export")
def test_every_part_that_is_quiet_is_queued_and_no_other(pipeline):
    pipeline.ready(token="t")
    pipeline.let_pass(299)
    assert pipeline.reconcile() == 0
    pipeline.let_pass(1)
    assert pipeline.reconcile() == 2
    assert (pipeline.download_queue.parts, pipeline.submit_queue.parts) == ([1], [2])


@pytest.mark.usefixtures("export")
def test_a_part_that_is_held_or_rests_is_not_quiet(pipeline):
    pipeline.submitted()
    until = datetime.fromisoformat("2026-11-22T13:20:00.000Z")
    pipeline.table.claim(pipeline.part(), "a", pipeline.now, until)
    pipeline.let_pass(600)
    assert pipeline.reconcile() == 0
    pipeline.table.release(
        pipeline.part(), "a", datetime.fromisoformat("2026-11-22T13:00:00.000Z"), not_before=until
    )
    assert pipeline.reconcile() == 0
    pipeline.let_pass(601)
    assert pipeline.reconcile() == 1


@pytest.mark.usefixtures("export")
def test_an_export_whose_parts_are_all_stored_is_completed_even_past_its_deadline(pipeline):
    pipeline.stored(1, "1", token="t")
    pipeline.stored(2, "2")
    pipeline.let_pass(25 * 3600)
    assert pipeline.reconcile() == 1
    assert pipeline.download_queue.parts == [2]
    pipeline.advance(2)
    assert pipeline.export().state is ExportState.COMPLETED


@pytest.mark.usefixtures("export")
def test_an_export_past_its_deadline_fails_with_the_part_that_was_missing(pipeline):
    pipeline.stored(token="t")
    pipeline.let_pass(24 * 3600)
    pipeline.reconcile()
    assert pipeline.export().state is ExportState.RUNNING
    pipeline.let_pass(1)
    pipeline.reconcile()
    assert pipeline.export().failure.code == "DEADLINE_EXCEEDED"
    assert pipeline.part(2).state is PartState.FAILED
    assert list(pipeline.table.running_export_ids()) == []


def test_one_export_that_cannot_be_looked_at_does_not_keep_the_others_waiting(pipeline):
    pipeline.create()
    other = "20261122T130001Z-0123456789abcdef"
    later = replace(
        pipeline.export(), export_id=other, requested_at=datetime.fromisoformat("2026-11-22T13:00:01.000Z")
    )
    pipeline.table.create(later, replace(pipeline.part(), export_id=other))
    right = pipeline.table.get_parts

    def get_parts(export):
        if export.export_id == pipeline.export_id:
            raise OSError
        return right(export)

    pipeline.table.get_parts = get_parts
    pipeline.let_pass(300)
    with pytest.raises(ExceptionGroup):
        pipeline.reconcile()
    assert pipeline.submit_queue.parts == [1]
