"""What a part's next step is, what it asks of Zoho and the queues, and what it leaves alone."""

from datetime import datetime

import pytest

from crm_export.errors import (
    DownloadsSpent,
    PagingBroken,
    PartBusy,
    ResultError,
    ZohoError,
    ZohoNotFound,
    ZohoPermissionDenied,
    ZohoQueryRefused,
)
from crm_export.exports.attempt import LEASE_SECONDS
from crm_export.exports.model import ExportState, PartState, timestamp
from crm_export.zoho.bulk_read import FAILURE
from tests.unit.exports.conftest import job


@pytest.fixture
def export(pipeline):
    return pipeline.create()


def until_it_raises(pipeline, error, number=1):
    """Let a part fail, as often as it is tried."""
    with pytest.raises(error):
        while pipeline.export().state is ExportState.RUNNING:
            with pytest.raises(error) as raised:
                pipeline.advance(number)
            pipeline.let_pass(1000)
        raise raised.value


# --- what is left alone ---


@pytest.mark.usefixtures("export")
@pytest.mark.parametrize("end", ["failed", "begun anew"])
def test_a_part_of_what_has_ended_is_not_asked_for(pipeline, end):
    pipeline.ready()
    if end == "failed":
        pipeline.fail()
    else:
        pipeline.begin_anew(2)
    pipeline.advance()
    assert (pipeline.zoho.asked, pipeline.results.objects) == ([], {})


@pytest.mark.usefixtures("export")
def test_a_part_without_a_job_waits_for_one(pipeline):
    pipeline.advance()
    assert (pipeline.zoho.asked, pipeline.part()) == ([], pipeline.part())
    assert pipeline.part().lease_owner is None


@pytest.mark.usefixtures("export")
def test_a_message_that_comes_while_another_looks_comes_again(pipeline):
    pipeline.submitted()
    pipeline.store.claim(pipeline.part(), "another", pipeline.moment, "2026-11-22T13:00:30.000Z")
    with pytest.raises(PartBusy) as busy:
        pipeline.advance()
    assert busy.value.retry_after == 35
    assert pipeline.zoho.asked == []


@pytest.mark.usefixtures("export")
def test_a_part_that_rests_after_a_failure_is_left_alone(pipeline):
    pipeline.submitted()
    assert pipeline.store.claim(pipeline.part(), "a", pipeline.moment, "2026-11-22T13:01:30.000Z")
    pipeline.store.release(pipeline.part(), "a", pipeline.moment, not_before="2026-11-22T13:01:00.000Z")
    pipeline.advance()
    assert pipeline.zoho.asked == []


@pytest.mark.usefixtures("export")
def test_a_job_that_is_not_done_leaves_the_part_free(pipeline):
    pipeline.submitted()
    pipeline.zoho.jobs["1"] = job("1", state="IN PROGRESS")
    pipeline.advance()
    assert (pipeline.part().state, pipeline.part().lease_owner) == (PartState.SUBMITTED, None)


# --- a job that a callback named ---


@pytest.mark.usefixtures("export")
@pytest.mark.parametrize("found", [job("7"), ZohoNotFound("unknown")], ids=["another's", "nobody's"])
def test_a_job_that_is_not_ours_is_forgotten(pipeline, found):
    pipeline.store.note_job(pipeline.export_id, 1, "7")
    pipeline.zoho.jobs["7"] = found
    pipeline.advance()
    part = pipeline.part()
    assert (part.state, part.hinted_job_id, part.lease_owner) == (PartState.PENDING, None, None)


@pytest.mark.parametrize(
    ("created", "ours"), [("2026-11-22T13:00:01+00:00", True), ("2026-11-22T12:00:00+00:00", False)]
)
def test_a_job_from_before_the_export_is_not_its_own(pipeline, export, created, ours):
    pipeline.store.note_job(pipeline.export_id, 1, "7")
    pipeline.zoho.jobs["7"] = job("7", 1, created_time=datetime.fromisoformat(created))
    pipeline.advance()
    assert (pipeline.export().state is ExportState.COMPLETED) is ours
    assert export.module == "Contacts"


# --- a job that does not end well ---


@pytest.mark.usefixtures("export")
def test_a_failed_job_is_made_anew_after_a_pause_and_the_third_is_the_last(pipeline):
    for number in ("1", "2"):
        pipeline.submitted(job_id=number)
        pipeline.zoho.jobs[number] = job(number, state=FAILURE)
        pipeline.advance()
        part = pipeline.part()
        assert (part.state, part.job_id, part.submitted_at) == (PartState.PENDING, None, None)
        assert number in part.failed_job_ids
        pipeline.let_pass(30)
    assert pipeline.submit_queue.sent == [(1, 30), (1, 30)]
    pipeline.submitted(job_id="3")
    pipeline.zoho.jobs["3"] = job("3", state=FAILURE)
    with pytest.raises(ZohoError):
        pipeline.advance()
    assert pipeline.export().failure["code"] == "ZOHO_JOB_FAILED"


@pytest.mark.usefixtures("export")
@pytest.mark.parametrize(
    ("code", "error"), [("INVALID_QUERY", ZohoQueryRefused), ("NO_PERMISSION", ZohoPermissionDenied)]
)
def test_a_job_that_would_fail_again_is_not_made_again(pipeline, code, error):
    pipeline.submitted()
    pipeline.zoho.jobs["1"] = job("1", state=FAILURE, failure_code=code)
    with pytest.raises(error):
        pipeline.advance()
    assert pipeline.submit_queue.sent == []
    assert pipeline.export().state is ExportState.FAILED


@pytest.mark.usefixtures("export")
def test_a_job_that_is_gone_is_looked_for_thrice_then_made_anew_and_not_for_ever(pipeline):
    for number in ("1", "2"):
        pipeline.submitted(job_id=number)
        for _ in range(2):
            with pytest.raises(ZohoNotFound):
                pipeline.advance()
            pipeline.let_pass(1000)
        assert pipeline.part().state is PartState.SUBMITTED
        pipeline.advance()
        assert pipeline.part().state is PartState.PENDING
        pipeline.let_pass(30)
    pipeline.submitted(job_id="3")
    until_it_raises(pipeline, ZohoNotFound)
    assert pipeline.zoho.asked == ["1"] * 3 + ["2"] * 3 + ["3"] * 3


@pytest.mark.usefixtures("export")
def test_only_a_job_that_takes_too_long_is_made_anew(pipeline):
    pipeline.submitted()
    pipeline.zoho.jobs["1"] = job("1", state="IN PROGRESS")
    pipeline.let_pass(3 * 3600 - 1)
    pipeline.advance()
    assert pipeline.part().state is PartState.SUBMITTED
    pipeline.let_pass(1)
    pipeline.advance()
    assert (pipeline.part().state, pipeline.submit_queue.parts) == (PartState.PENDING, [1])


# --- where there are more records ---


@pytest.mark.parametrize(
    ("version", "count", "token"), [("v8", 5, ""), ("v8", 0, "t"), ("v6", 0, "")], ids=str
)
def test_more_records_that_are_nowhere_fail_the_export(pipeline, version, count, token):
    pipeline.create(api_version=version)
    pipeline.submitted()
    pipeline.zoho.jobs["1"] = job("1", count, token)
    with pytest.raises(PagingBroken):
        pipeline.advance()
    assert pipeline.export().state is ExportState.FAILED


@pytest.mark.usefixtures("export")
def test_a_page_that_leads_to_itself_fails_the_export(pipeline):
    pipeline.stored(token="t")
    pipeline.submitted(2, "2")
    pipeline.zoho.jobs["2"] = job("2", 5, "t")
    with pytest.raises(PagingBroken):
        pipeline.advance(2)
    assert pipeline.export().state is ExportState.FAILED


def test_before_v7_more_records_need_no_token(pipeline):
    pipeline.create(api_version="v6")
    pipeline.submitted()
    pipeline.zoho.jobs["1"] = job("1", 5, "")
    pipeline.advance()
    assert (pipeline.part(1).state, pipeline.part(2).state) == (PartState.STORED, PartState.PENDING)


@pytest.mark.usefixtures("export")
@pytest.mark.parametrize(("token", "next_parts"), [("t", [2]), (None, [])])
def test_the_next_part_is_asked_for_where_there_is_one(pipeline, token, next_parts):
    pipeline.ready(token=token)
    pipeline.advance()
    assert pipeline.submit_queue.parts == next_parts
    assert pipeline.part().state is PartState.STORED


# --- the result ---


@pytest.mark.usefixtures("export")
def test_what_zoho_counted_is_what_the_result_is_held_to(pipeline):
    pipeline.ready(count=5)
    pipeline.advance()
    assert pipeline.results.expected == [5]
    assert pipeline.export().state is ExportState.COMPLETED


@pytest.mark.usefixtures("export")
def test_a_download_beyond_the_budget_is_not_begun(pipeline):
    pipeline.ready()
    pipeline.wait = 7
    with pytest.raises(DownloadsSpent) as spent:
        pipeline.advance()
    assert spent.value.retry_after == 7
    assert pipeline.zoho.asked == []


def chunks_with_pauses(pipeline, seconds, seen):
    for _ in range(4):
        pipeline.let_pass(seconds)
        yield b"x"
        seen.append(pipeline.part().lease_until)


@pytest.mark.usefixtures("export")
def test_the_lease_is_held_for_as_long_as_bytes_come(pipeline):
    pipeline.ready()
    seen: list[str] = []
    pipeline.zoho.results["1"] = chunks_with_pauses(pipeline, 40, seen)
    began = pipeline.now
    pipeline.advance()
    assert began != pipeline.now
    assert seen == [
        f"2026-11-22T13:{minute:02d}:{second:02d}.000Z"
        for minute, second in ((2, 10), (2, 50), (3, 30), (4, 10))
    ]
    assert LEASE_SECONDS == 90


@pytest.mark.usefixtures("export")
def test_who_lost_the_lease_stops(pipeline):
    pipeline.ready()

    def chunks():
        yield b"x"
        pipeline.let_pass(LEASE_SECONDS + 1)
        until = timestamp(pipeline.now)
        assert pipeline.store.claim(pipeline.part(), "another", pipeline.moment, until)
        yield b"y"

    pipeline.zoho.results["1"] = chunks()
    with pytest.raises(PartBusy):
        pipeline.advance()
    assert pipeline.results.objects == {}
    assert pipeline.part().lease_owner == "another"


@pytest.mark.usefixtures("export")
def test_a_result_that_is_gone_is_looked_for_thrice_and_then_all_is_asked_for_again(pipeline):
    pipeline.ready()
    pipeline.zoho.results["1"] = ZohoNotFound("gone")
    for _ in range(2):
        with pytest.raises(ZohoNotFound):
            pipeline.advance()
        assert pipeline.export().generation == 1
        pipeline.let_pass(1000)
    pipeline.advance()
    assert (pipeline.export().generation, pipeline.export().first_part) == (2, 2)
    assert pipeline.submit_queue.parts == [2]


@pytest.mark.usefixtures("export")
def test_a_step_that_fails_frees_the_part_after_a_pause_and_never_for_ever(pipeline):
    pipeline.ready()
    pipeline.results.fails = ResultError("not right")
    with pytest.raises(ResultError) as error:
        pipeline.advance()
    part = pipeline.part()
    assert (part.attempts, part.strikes, part.lease_owner) == (1, 1, None)
    assert error.value.retry_after == 15
    assert part.not_before == "2026-11-22T13:00:14.000Z"
    pipeline.let_pass(15)
    for _ in range(6):
        with pytest.raises(ResultError):
            pipeline.advance()
        pipeline.let_pass(1000)
    assert pipeline.export().state is ExportState.RUNNING
    with pytest.raises(ResultError):
        pipeline.advance()
    assert pipeline.export().failure["code"] == "RESULT_INVALID"


@pytest.mark.usefixtures("export")
def test_a_step_that_breaks_is_noted_as_one_that_failed_and_goes_on_breaking(pipeline):
    pipeline.ready()
    pipeline.results.fails = ZeroDivisionError("a fault of ours")
    with pytest.raises(ZeroDivisionError):
        pipeline.advance()
    assert (pipeline.part().attempts, pipeline.part().strikes, pipeline.part().lease_owner) == (1, 1, None)
    for _ in range(7):
        pipeline.let_pass(1000)
        with pytest.raises(ZeroDivisionError):
            pipeline.advance()
    assert pipeline.export().failure["code"] == "INTERNAL_ERROR"


@pytest.mark.usefixtures("export")
def test_workers_that_die_are_counted_until_the_export_is_given_up(pipeline):
    pipeline.ready()

    class Killed(BaseException):
        """A Lambda that ends here records nothing."""

    pipeline.results.fails = Killed()
    for _ in range(3):
        with pytest.raises(Killed):
            pipeline.advance()
        pipeline.let_pass(LEASE_SECONDS + 1)
    assert pipeline.part().crashes == 2
    with pytest.raises(Exception, match="died 3 times"):
        pipeline.advance()
    assert pipeline.export().failure["code"] == "WORKER_DIED"
