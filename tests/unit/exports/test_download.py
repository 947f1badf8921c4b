"""The steps of result_downloader: adopt or check a job, store its result, and what stops a step."""

from datetime import timedelta

import pytest

from crm_export.errors import (
    DownloadsSpent,
    JobOverdue,
    PagingBroken,
    PartBusy,
    ResultError,
    StepPostponed,
    WorkerDied,
    ZohoError,
    ZohoNotFound,
    ZohoPermissionDenied,
    ZohoQueryRefused,
)
from crm_export.exports.attempt import LEASE_SECONDS
from crm_export.exports.download import advance_part
from crm_export.exports.model import ExportState, PartState
from crm_export.zoho.bulk_read import FAILURE
from tests.unit.exports.conftest import job

IN_PROGRESS = "IN PROGRESS"


def fail_repeatedly(one_export, error, number=1):
    """Advance a part until its export has failed; each attempt must raise `error`."""
    while one_export.export().state is ExportState.RUNNING:
        with pytest.raises(error):
            one_export.advance(number)
        one_export.let_pass(1000)


# --- parts that are left alone ---


@pytest.mark.parametrize("end", ["failed", "restarted"])
def test_download_of_ended_or_restarted_export_asks_nothing(one_export, end):
    one_export.ready()
    if end == "failed":
        one_export.fail()
    else:
        one_export.restart(2)
    one_export.advance()
    assert (one_export.zoho.asked, one_export.results.objects) == ([], {})


@pytest.mark.parametrize(("export_id", "number"), [("20261122T130000Z-0000000000000000", 1), (None, 2)])
def test_download_of_unknown_part_does_nothing(one_export, export_id, number):
    advance_part(one_export.pipeline, export_id or one_export.export_id, number)
    assert one_export.zoho.asked == []


def test_download_of_part_without_job_leaves_it_to_the_submitter(one_export):
    before = one_export.part()
    one_export.advance()
    assert (one_export.zoho.asked, one_export.part()) == ([], before)
    assert one_export.part().lease_owner is None


def test_check_while_another_worker_holds_the_lease_is_repeated_when_it_ends(one_export):
    one_export.submitted()
    one_export.claim("another", 30)
    with pytest.raises(PartBusy) as busy:
        one_export.advance()
    assert busy.value.retry_after == 35
    assert one_export.zoho.asked == []


def test_store_while_another_worker_holds_the_lease_is_left_to_that_worker(one_export):
    one_export.ready()
    one_export.claim("another", 30)
    one_export.advance()
    assert (one_export.zoho.asked, one_export.part().lease_owner) == ([], "another")


def test_check_during_pause_after_failed_attempt_asks_nothing(one_export):
    one_export.submitted()
    one_export.claim("another", 90)
    one_export.table.release(one_export.part(), "another", one_export.now, not_before=one_export.at(60))
    one_export.advance()
    assert one_export.zoho.asked == []


def test_check_of_unfinished_job_releases_the_lease(one_export):
    one_export.submitted()
    one_export.zoho.jobs["1"] = job("1", state=IN_PROGRESS)
    one_export.advance()
    assert (one_export.part().state, one_export.part().lease_owner) == (PartState.SUBMITTED, None)


# --- a job that a callback named ---


@pytest.mark.parametrize("response", [job("7"), ZohoNotFound("unknown")], ids=["another's", "unknown"])
def test_adopt_forgets_job_that_is_not_this_parts(one_export, response):
    one_export.table.note_hint(one_export.export_id, 1, "7")
    one_export.zoho.jobs["7"] = response
    one_export.advance()
    part = one_export.part()
    assert (part.state, part.hinted_job_id, part.lease_owner) == (PartState.PENDING, None, None)


@pytest.mark.parametrize(
    ("seconds", "is_adopted"), [(1, True), (-3600, False)], ids=["created after", "created before"]
)
def test_adopt_takes_only_a_job_created_after_the_export_was_requested(one_export, seconds, is_adopted):
    one_export.table.note_hint(one_export.export_id, 1, "7")
    one_export.zoho.jobs["7"] = job("7", created_time=one_export.at(seconds))
    one_export.advance()
    assert (one_export.export().state is ExportState.COMPLETED) is is_adopted
    assert one_export.part().job_id == ("7" if is_adopted else None)


# --- a job that fails, disappears or takes too long ---


def test_failed_job_is_replaced_after_a_pause_and_the_third_fails_the_export(one_export):
    for number in ("1", "2"):
        one_export.submitted(job_id=number)
        one_export.zoho.jobs[number] = job(number, state=FAILURE)
        one_export.advance()
        part = one_export.part()
        assert (part.state, part.job_id, part.submitted_at) == (PartState.PENDING, None, None)
        assert part.not_before == one_export.at(29)
        assert number in part.failed_job_ids
        one_export.let_pass(30)
    assert one_export.submit_queue.sent == [(1, 30), (1, 30)]
    one_export.submitted(job_id="3")
    one_export.zoho.jobs["3"] = job("3", state=FAILURE)
    with pytest.raises(ZohoError):
        one_export.advance()
    assert one_export.export().failure.code == "ZOHO_JOB_FAILED"


@pytest.mark.parametrize(
    ("code", "error"), [("INVALID_QUERY", ZohoQueryRefused), ("NO_PERMISSION", ZohoPermissionDenied)]
)
def test_job_that_fails_for_good_fails_the_export_at_once(one_export, code, error):
    one_export.submitted()
    one_export.zoho.jobs["1"] = job("1", state=FAILURE, failure_code=code)
    with pytest.raises(error):
        one_export.advance()
    assert one_export.submit_queue.sent == []
    assert one_export.export().state is ExportState.FAILED


def test_missing_job_is_replaced_at_third_attempt_and_third_missing_job_fails_the_export(one_export):
    for number in ("1", "2"):
        one_export.submitted(job_id=number)
        for _ in range(2):
            with pytest.raises(ZohoNotFound):
                one_export.advance()
            one_export.let_pass(1000)
        assert one_export.part().state is PartState.SUBMITTED
        one_export.advance()
        assert one_export.part().state is PartState.PENDING
        one_export.let_pass(30)
    one_export.submitted(job_id="3")
    fail_repeatedly(one_export, ZohoNotFound)
    assert one_export.zoho.asked == ["1"] * 3 + ["2"] * 3 + ["3"] * 3


def test_job_is_replaced_at_its_deadline_and_not_before(one_export):
    one_export.submitted()
    one_export.zoho.jobs["1"] = job("1", state=IN_PROGRESS)
    one_export.let_pass(3 * 3600 - 1)
    one_export.advance()
    assert one_export.part().state is PartState.SUBMITTED
    one_export.let_pass(1)
    one_export.advance()
    assert (one_export.part().state, one_export.submit_queue.parts) == (PartState.PENDING, [1])


def test_third_overdue_job_fails_the_export(one_export):
    for number in ("1", "2", "3"):
        one_export.submitted(job_id=number)
        one_export.zoho.jobs[number] = job(number, state=IN_PROGRESS)
        one_export.let_pass(3 * 3600)
        if number == "3":
            with pytest.raises(JobOverdue, match="within 3:00:00; the job replaced 2 earlier ones"):
                one_export.advance()
        else:
            one_export.advance()
    assert one_export.export().failure.code == "JOB_OVERDUE"


# --- more records ---


@pytest.mark.parametrize(
    ("version", "count", "token"), [("v8", 5, ""), ("v8", 0, "t"), ("v6", 0, "")], ids=str
)
def test_more_records_without_a_way_to_them_fail_the_export(one_export, version, count, token):
    one_export.create(api_version=version)
    one_export.submitted()
    one_export.zoho.jobs["1"] = job("1", count, token)
    with pytest.raises(PagingBroken):
        one_export.advance()
    assert one_export.export().state is ExportState.FAILED


def test_page_token_that_repeats_fails_the_export(one_export):
    one_export.stored(token="t")
    one_export.submitted(2, "2")
    one_export.zoho.jobs["2"] = job("2", 5, "t")
    with pytest.raises(PagingBroken):
        one_export.advance(2)
    assert one_export.export().state is ExportState.FAILED


def test_more_records_before_v7_need_no_page_token(one_export):
    one_export.create(api_version="v6")
    one_export.submitted()
    one_export.zoho.jobs["1"] = job("1", 5, "")
    one_export.advance()
    assert (one_export.part(1).state, one_export.part(2).state) == (PartState.STORED, PartState.PENDING)


@pytest.mark.parametrize(("token", "next_parts"), [("t", [2]), (None, [])], ids=["more", "no more"])
def test_store_submits_the_next_part_if_there_are_more_records(one_export, token, next_parts):
    one_export.ready(token=token)
    one_export.advance()
    assert one_export.submit_queue.parts == next_parts
    assert one_export.part().state is PartState.STORED


def test_store_submits_the_next_part_even_if_its_own_download_has_to_wait(one_export):
    one_export.ready(token="t")
    one_export.wait = 7
    with pytest.raises(DownloadsSpent):
        one_export.advance()
    assert one_export.submit_queue.parts == [2]


# --- the result ---


def test_store_expects_as_many_records_as_zoho_counted_for_the_job(one_export):
    one_export.ready(count=5)
    one_export.advance()
    assert one_export.results.expected == [(5, "1")]
    assert one_export.export().state is ExportState.COMPLETED


@pytest.mark.parametrize(("result_format", "suffix"), [("csv", ".csv"), ("csv.gz", "-2.csv.gz")])
def test_store_writes_a_new_object_at_each_attempt_only_if_the_bytes_may_differ(
    one_export, result_format, suffix
):
    one_export.create(result_format=result_format)
    one_export.ready()
    one_export.results.fails = ResultError("wrong")
    with pytest.raises(ResultError):
        one_export.advance()
    one_export.results.fails = None
    one_export.let_pass(15)
    one_export.advance()
    assert one_export.part().key == f"{one_export.export().folder}/part-00001{suffix}"


def test_store_without_budget_waits_and_does_not_download(one_export):
    one_export.ready()
    one_export.wait = 7
    with pytest.raises(DownloadsSpent) as spent:
        one_export.advance()
    assert spent.value.retry_after == 7
    assert one_export.zoho.asked == []


def test_lease_is_renewed_while_bytes_arrive(one_export):
    one_export.ready()
    leases = []

    def slow_chunks():
        for _ in range(4):
            one_export.let_pass(40)
            yield b"x"
            leases.append(one_export.part().lease_until - one_export.now)

    one_export.zoho.results["1"] = slow_chunks()
    one_export.advance()
    assert leases == [timedelta(seconds=90)] * 4
    assert LEASE_SECONDS == 90


def test_download_stops_when_lease_is_taken_over(one_export):
    one_export.ready()

    def chunks():
        yield b"x"
        one_export.let_pass(LEASE_SECONDS + 1)
        one_export.claim("another", 0)
        yield b"y"

    one_export.zoho.results["1"] = chunks()
    with pytest.raises(PartBusy, match="was taken over by another worker"):
        one_export.advance()
    assert one_export.results.objects == {}
    assert (one_export.part().lease_owner, one_export.part().attempts) == ("another", 0)


def test_missing_result_restarts_the_export_at_third_attempt(one_export):
    one_export.ready()
    one_export.zoho.results["1"] = ZohoNotFound("gone")
    for _ in range(2):
        with pytest.raises(ZohoNotFound):
            one_export.advance()
        assert one_export.export().generation == 1
        one_export.let_pass(1000)
    one_export.advance()
    assert (one_export.export().generation, one_export.export().first_part) == (2, 2)
    assert one_export.submit_queue.parts == [2]


# --- steps that fail ---


def test_failed_step_pauses_the_part_and_its_eighth_failure_fails_the_export(one_export):
    one_export.ready()
    one_export.results.fails = ResultError("wrong")
    with pytest.raises(StepPostponed, match="wrong") as postponed:
        advance_part(one_export.pipeline, one_export.export_id, 1)
    assert postponed.value.retry_after == 15
    part = one_export.part()
    assert (part.attempts, part.strikes, part.lease_owner) == (1, 1, None)
    assert part.not_before == one_export.at(14)
    one_export.let_pass(15)
    for _ in range(6):
        with pytest.raises(ResultError):
            one_export.advance()
        one_export.let_pass(1000)
    assert one_export.export().state is ExportState.RUNNING
    with pytest.raises(ResultError):
        one_export.advance()
    assert one_export.export().failure.code == "RESULT_INVALID"


def test_unknown_exception_is_raised_as_it_is_and_counted_as_failed_attempt(one_export):
    one_export.ready()
    one_export.results.fails = ZeroDivisionError("our bug")
    with pytest.raises(ZeroDivisionError):
        one_export.advance()
    part = one_export.part()
    assert (part.attempts, part.strikes, part.lease_owner) == (1, 1, None)
    for _ in range(7):
        one_export.let_pass(1000)
        with pytest.raises(ZeroDivisionError):
            one_export.advance()
    assert one_export.export().failure.code == "INTERNAL_ERROR"


def test_worker_that_dies_three_times_fails_the_export(one_export):
    one_export.ready()

    class Killed(BaseException):
        """Stands for a Lambda that ends: it records nothing."""

    one_export.results.fails = Killed()
    for _ in range(3):
        with pytest.raises(Killed):
            one_export.advance()
        one_export.let_pass(LEASE_SECONDS + 1)
    assert one_export.part().crashes == 2
    with pytest.raises(WorkerDied, match="died 3 times"):
        one_export.advance()
    assert one_export.export().failure.code == "WORKER_DIED"
