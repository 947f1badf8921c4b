"""When the worker looks at a part."""

from dataclasses import replace
from datetime import timedelta

from crm_export.exports.model import Part, PartState
from crm_export_cli.folder.worker import poll_at
from tests.unit.exports.conftest import BEGAN, EXPORT_ID

SUBMITTED = Part(EXPORT_ID, 1, BEGAN, PartState.SUBMITTED, job_id="1", submitted_at=BEGAN)


def test_job_is_polled_less_and_less_often():
    part, waits = SUBMITTED, []
    for _ in range(8):
        due = poll_at(part)
        waits.append((due - part.updated_at).total_seconds())
        part = replace(part, updated_at=due)  # as a look that finds the job unfinished leaves it
    assert waits == [1, 1, 2, 4, 8, 15, 15, 15]


def test_job_is_due_at_once_after_a_long_pause():
    assert poll_at(SUBMITTED) < BEGAN + timedelta(days=1)


def test_only_submitted_parts_are_polled():
    for state in set(PartState) - {PartState.SUBMITTED}:
        assert poll_at(replace(SUBMITTED, state=state)) is None
