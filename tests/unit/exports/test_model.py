"""The state machine of a part, row by row as docs/design.md has it, and the names an export derives."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from crm_export.errors import ResultError, ZohoNotFound
from crm_export.exports.model import (
    BULK_READ,
    RECORDS,
    ExportState,
    Failure,
    PartState,
    Step,
    is_export_id,
    is_snapshot,
    new_export_id,
    next_step,
    timestamp,
)

READABLE = {"source": RECORDS, "read_order": "id"}
UNSETTLED = {"source": RECORDS, "read_order": None}
HINTED = {"hinted_job_id": "7"}


@pytest.fixture
def step_of(one_export):
    """A function that returns the next step of a part with this state and these changes."""

    def step_of(state, export_changes, part_changes):
        export, part = one_export.export(), one_export.part()
        return next_step(replace(export, **export_changes), replace(part, state=state, **part_changes))

    return step_of


# --- the table "The next step" of docs/design.md; an example of a row also fits the rows after it ---


@pytest.mark.parametrize("ended", [ExportState.COMPLETED, ExportState.FAILED])
@pytest.mark.parametrize("state", PartState)
@pytest.mark.parametrize("changes", [{}, UNSETTLED, READABLE], ids=str)
def test_row_1_part_of_an_ended_export_has_no_next_step(step_of, ended, state, changes):
    assert step_of(state, {"state": ended, **changes}, HINTED) is Step.NOTHING


@pytest.mark.parametrize("state", PartState)
@pytest.mark.parametrize("changes", [{}, UNSETTLED, READABLE], ids=str)
def test_row_2_part_of_an_earlier_generation_has_no_next_step(step_of, state, changes):
    assert step_of(state, {"first_part": 2, **changes}, HINTED) is Step.NOTHING
    assert step_of(state, {"first_part": 3, **changes}, {"part": 2}) is Step.NOTHING


@pytest.mark.parametrize("hint", [{}, HINTED], ids=str)
def test_row_3_pending_part_of_a_readable_export_is_read_even_with_a_hint(step_of, hint):
    assert step_of(PartState.PENDING, READABLE, hint) is Step.READ


@pytest.mark.parametrize("changes", [{}, UNSETTLED, {"read_order": "id"}], ids=str)
def test_row_4_pending_part_with_a_hint_adopts_the_job_before_it_settles_or_submits(step_of, changes):
    assert step_of(PartState.PENDING, changes, HINTED) is Step.ADOPT


def test_row_5_pending_part_of_an_unsettled_records_export_is_settled(step_of):
    assert step_of(PartState.PENDING, UNSETTLED, {}) is Step.SETTLE


@pytest.mark.parametrize("changes", [{}, {"source": BULK_READ, "read_order": "id"}], ids=str)
def test_row_6_any_other_pending_part_is_submitted(step_of, changes):
    assert step_of(PartState.PENDING, changes, {}) is Step.SUBMIT


@pytest.mark.parametrize(
    ("state", "step"),
    [
        (PartState.SUBMITTED, Step.CHECK),
        (PartState.READY, Step.STORE),
        (PartState.STORED, Step.COMPLETE),
        (PartState.FAILED, Step.NOTHING),
    ],
)
@pytest.mark.parametrize("changes", [{}, UNSETTLED, READABLE], ids=str)
@pytest.mark.parametrize("hint", [{}, HINTED], ids=str)
def test_rows_7_to_10_other_states_decide_whatever_the_source_and_the_hint(
    step_of, state, step, changes, hint
):
    assert step_of(state, changes, hint) is step


@pytest.mark.parametrize("part", [2, 3])
def test_part_from_the_first_of_this_generation_on_has_a_next_step(step_of, part):
    assert step_of(PartState.PENDING, {"first_part": 2}, {"part": part}) is Step.SUBMIT


# --- the queue of a step ---


@pytest.mark.parametrize(
    ("state", "changes", "hint", "queues"),
    [
        (PartState.PENDING, READABLE, {}, ([], [1])),
        (PartState.PENDING, {}, HINTED, ([], [1])),
        (PartState.PENDING, UNSETTLED, {}, ([1], [])),
        (PartState.PENDING, {}, {}, ([1], [])),
        (PartState.SUBMITTED, {}, {}, ([], [1])),
        (PartState.READY, {}, {}, ([], [1])),
        (PartState.STORED, {}, {}, ([], [1])),
        (PartState.FAILED, {}, {}, ([], [])),
        (PartState.PENDING, {"first_part": 2}, {}, ([], [])),
    ],
)
def test_part_is_sent_to_the_queue_of_its_next_step(one_export, state, changes, hint, queues):
    part = replace(one_export.part(), state=state, **hint)
    one_export.pipeline.enqueue(replace(one_export.export(), **changes), part)
    assert (one_export.submit_queue.parts, one_export.download_queue.parts) == queues


def test_part_is_sent_with_its_delay(one_export):
    one_export.pipeline.enqueue_new(one_export.export(), 2, delay=30)
    assert one_export.submit_queue.sent == [(2, 30)]


# --- names and values ---


@pytest.mark.parametrize(
    ("changes", "file_format"),
    [
        ({}, "csv"),
        ({"result_format": "csv.gz"}, "csv.gz"),
        ({"file_type": "ics"}, "ics"),
        ({"file_type": "ics", "result_format": "csv.gz"}, "ics"),
    ],
    ids=str,
)
def test_keys_of_an_export_name_its_account_module_id_and_format(one_export, changes, file_format):
    export = replace(one_export.export(), **changes)
    folder = f"exports/account_id=acct-1/module=Contacts/export_id={export.export_id}"
    assert export.part_key(7) == f"{folder}/part-00007.{file_format}"
    assert export.manifest_key == f"{folder}/manifest.json"


def test_pages_count_from_the_requested_page_and_the_first_part(one_export):
    export = replace(one_export.export(), page=4, first_part=3)
    assert [export.page_of(part) for part in (3, 4)] == [4, 5]


@pytest.mark.parametrize(
    ("query", "fields", "job_query"),
    [
        ({}, None, {}),
        ({"fields": ["A"], "cvid": "1"}, None, {"fields": ["A"], "cvid": "1"}),
        ({"fields": "all", "cvid": "1"}, ["A", "B"], {"fields": ["A", "B"], "cvid": "1"}),
        ({"fields": "all"}, [], {}),
    ],
)
def test_query_of_a_job_has_the_settled_fields_in_place_of_all(one_export, query, fields, job_query):
    assert replace(one_export.export(), query=query, fields=fields).job_query == job_query


@pytest.mark.parametrize(
    ("version", "count", "snapshot"),
    [("v8", 2, True), ("v7", 1, True), ("v6", 1, True), ("v6", 2, False), ("v2", 2, False)],
)
def test_jobs_are_a_snapshot_if_there_is_one_or_if_page_tokens_continue_it(
    one_export, version, count, snapshot
):
    export = replace(one_export.export(), api_version=version)
    assert is_snapshot(export, [one_export.part()] * count) is snapshot


@pytest.mark.parametrize(("one_response", "snapshot"), [(True, True), (False, False), (None, False)])
def test_records_are_a_snapshot_only_if_one_response_had_all_of_them(one_export, one_response, snapshot):
    export = replace(one_export.export(), source=RECORDS, api_version="v8")
    part = replace(one_export.part(), one_response=one_response)
    assert is_snapshot(export, [part]) is snapshot
    assert not is_snapshot(export, [part, part])


def test_failure_describes_an_error_and_cuts_a_long_message():
    assert Failure.of(ZohoNotFound("x", remedy="r")) == Failure("ZOHO_NOT_FOUND", "x", "r")
    assert Failure.of(ResultError("x" * 3000)).message == "x" * 2500


def test_new_export_id_is_an_export_id_that_sorts_by_time():
    export_id = new_export_id(datetime(2026, 11, 22, 13, 5, 1, tzinfo=UTC), "0123456789abcdef")
    assert export_id == "20261122T130501Z-0123456789abcdef"
    assert is_export_id(export_id)


@pytest.mark.parametrize(
    "value", [None, 1, "", "20261122T130501Z-0123456789ABCDEF", "20261122T130501Z-0123456789abcdef\n"]
)
def test_other_values_are_not_export_ids(value):
    assert not is_export_id(value)


def test_timestamp_has_milliseconds_and_z():
    moment = datetime(2026, 11, 22, 13, 5, 1, 234_567, tzinfo=UTC)
    assert timestamp(moment) == "2026-11-22T13:05:01.234Z"
