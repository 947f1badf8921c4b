"""The steps of result_downloader: adopt or check a job, store its result, and what stops a step."""

from dataclasses import replace
from datetime import timedelta

import pytest

from crm_export import deadline
from crm_export.errors import (
    DownloadsSpent,
    JobOverdue,
    ObjectConflict,
    PagingBroken,
    PartBusy,
    ResultError,
    ResultTooSlow,
    StateUnavailable,
    StepPostponed,
    WorkerDied,
    ZohoError,
    ZohoModuleNotSupported,
    ZohoNotFound,
    ZohoPageTokenExpired,
    ZohoPermissionDenied,
    ZohoQueryRefused,
    ZohoResponseInvalid,
    ZohoThrottled,
    ZohoTimeout,
    ZohoTooSlow,
    ZohoUnavailable,
)
from crm_export.exports.attempt import LEASE_SECONDS
from crm_export.exports.download import advance_part
from crm_export.exports.model import RECORDS, ExportState, PartState
from crm_export.zoho.bulk_read import DELETED, FAILURE
from crm_export.zoho.records import RecordPage
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
    one_export.zoho.jobs["7"] = job("7", created_time=one_export.at(seconds), query={"page": 1})
    one_export.advance()
    assert (one_export.export().state is ExportState.COMPLETED) is is_adopted
    assert one_export.part().job_id == ("7" if is_adopted else None)


def test_adopt_forgets_job_whose_details_are_invalid_at_the_fifth_attempt(one_export):
    one_export.table.note_hint(one_export.export_id, 1, "7")
    one_export.zoho.jobs["7"] = ZohoResponseInvalid("no state")
    for _ in range(4):
        with pytest.raises(ZohoResponseInvalid):
            one_export.advance()
        one_export.let_pass(1000)
        assert one_export.part().hinted_job_id == "7"
    one_export.advance()
    assert (one_export.part().hinted_job_id, one_export.part().state) == (None, PartState.PENDING)
    assert one_export.export().state is ExportState.RUNNING


# --- a job that fails, disappears or takes too long ---


@pytest.mark.parametrize("state", [FAILURE, DELETED])
def test_failed_job_is_replaced_after_a_pause_and_the_third_fails_the_export(one_export, state):
    for number in ("1", "2"):
        one_export.submitted(job_id=number)
        one_export.zoho.jobs[number] = job(number, state=state)
        one_export.advance()
        part = one_export.part()
        assert (part.state, part.job_id, part.submitted_at) == (PartState.PENDING, None, None)
        assert part.not_before == one_export.at(29)
        assert number in part.failed_job_ids
        one_export.let_pass(30)
    assert one_export.submit_queue.sent == [(1, 30), (1, 30)]
    one_export.submitted(job_id="3")
    one_export.zoho.jobs["3"] = job("3", state=state)
    with pytest.raises(ZohoError, match=state):
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
    one_export.let_pass(3600)
    fail_repeatedly(one_export, ZohoNotFound)
    assert one_export.zoho.asked == ["1"] * 3 + ["2"] * 3 + ["3"] * 3


def test_third_missing_job_does_not_fail_the_export_within_an_hour(one_export):
    for number in ("1", "2"):
        one_export.submitted(job_id=number)
        assert one_export.table.mark_pending_again(one_export.part(), one_export.now, one_export.now)
    one_export.submitted(job_id="3")
    for _ in range(4):
        with pytest.raises(ZohoUnavailable, match=r"no such job It may still appear until 2026-11-22T14:00"):
            one_export.advance()
        one_export.let_pass(899)
    assert one_export.part().strikes == {}
    one_export.zoho.jobs["3"] = job("3")
    one_export.advance()
    assert one_export.export().state is ExportState.COMPLETED


def test_job_with_invalid_details_is_replaced_at_the_fifth_attempt_and_the_third_fails_the_export(one_export):
    for number in ("1", "2"):
        one_export.submitted(job_id=number)
        one_export.zoho.jobs[number] = ZohoResponseInvalid("no count")
        for _ in range(4):
            with pytest.raises(ZohoResponseInvalid):
                one_export.advance()
            one_export.let_pass(1000)
        assert one_export.part().state is PartState.SUBMITTED
        one_export.advance()
        assert (one_export.part().state, number in one_export.part().failed_job_ids) == (
            PartState.PENDING,
            True,
        )
        one_export.let_pass(30)
    one_export.submitted(job_id="3")
    one_export.zoho.jobs["3"] = ZohoResponseInvalid("no count")
    fail_repeatedly(one_export, ZohoResponseInvalid)
    assert one_export.zoho.asked == ["1"] * 5 + ["2"] * 5 + ["3"] * 5
    assert one_export.export().failure.code == "ZOHO_RESPONSE_INVALID"
    assert one_export.export().failure.message == "no count"


@pytest.mark.parametrize("query", [{"page": 2}, {}], ids=["page", "module"])
def test_details_of_another_job_are_asked_for_again_without_a_strike(one_export, query):
    one_export.submitted()
    other = job("1", query=query)
    one_export.zoho.jobs["1"] = other if query else replace(other, module="Leads")
    for _ in range(9):
        with pytest.raises(ZohoUnavailable):
            one_export.advance()
        one_export.let_pass(1000)
    assert (one_export.part().state, one_export.part().strikes) == (PartState.SUBMITTED, {})
    one_export.zoho.jobs["1"] = job("1")
    one_export.advance()
    assert one_export.export().state is ExportState.COMPLETED


def test_job_that_failed_because_its_page_token_expired_restarts_the_export(one_export):
    one_export.stored(token="t")
    one_export.submitted(2, "2")
    one_export.zoho.jobs["2"] = job("2", state=FAILURE, failure_code="EXPIRED_VALUE")
    one_export.advance(2)
    assert (one_export.export().generation, one_export.export().first_part) == (2, 3)
    assert one_export.submit_queue.sent == [(3, 0)]
    assert one_export.zoho.asked == ["2"]


def test_job_that_failed_because_its_page_token_expired_fails_the_third_generation(one_export):
    one_export.create(generation=3)
    one_export.submitted()
    one_export.zoho.jobs["1"] = job("1", state=FAILURE, failure_code="EXPIRED_VALUE")
    with pytest.raises(ZohoPageTokenExpired):
        one_export.advance()
    assert one_export.export().failure.code == "ZOHO_PAGE_TOKEN_EXPIRED"


# --- a job that fails because Bulk Read does not support its module ---

NOT_SUPPORTED = job("1", state=FAILURE, failure_code="MODULE_NOT_SUPPORTED")
RECORD = {"id": "7", "Note_Title": "x", "Modified_Time": "2026-11-22T12:00:00+00:00"}


def test_failed_job_of_a_module_without_bulk_read_is_replaced_by_the_records_api(one_export):
    one_export.submitted()
    one_export.zoho.jobs["1"] = NOT_SUPPORTED
    one_export.zoho.pages = [RecordPage([], None), RecordPage([RECORD], None)]
    one_export.advance()
    export = one_export.export()
    assert (export.source, export.state, export.records) == (RECORDS, ExportState.COMPLETED, 1)
    assert (export.generation, one_export.zoho.created) == (1, [])


def test_failed_job_of_a_module_without_bulk_read_is_asked_for_again_if_settling_is_interrupted(one_export):
    one_export.submitted()
    one_export.zoho.jobs["1"] = NOT_SUPPORTED
    one_export.zoho.pages = [ZohoUnavailable("down")]
    with pytest.raises(ZohoUnavailable):
        one_export.advance()
    assert one_export.part().state is PartState.SUBMITTED
    one_export.let_pass(15)
    one_export.zoho.pages = [RecordPage([], None), RecordPage([RECORD], None)]
    one_export.advance()
    assert one_export.export().state is ExportState.COMPLETED


@pytest.mark.parametrize("why", ["criteria", "later part", "records API"])
def test_failed_job_of_a_module_that_cannot_be_read_fails_the_export(one_export, why):
    number = 2 if why == "later part" else 1
    if why == "criteria":
        one_export.create(query={"criteria": {"api_name": "A", "comparator": "equal", "value": "x"}})
    if why == "later part":
        one_export.stored(token="t", job_id="0")
    if why == "records API":
        one_export.zoho.names = ZohoQueryRefused("no such module")
    one_export.submitted(number)
    one_export.zoho.jobs["1"] = NOT_SUPPORTED
    with pytest.raises(ZohoModuleNotSupported):
        one_export.advance(number)
    assert one_export.export().failure.code == "ZOHO_MODULE_NOT_SUPPORTED"


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


@pytest.mark.parametrize(("token", "first"), [("a", 1), ("b", 2)])
def test_page_tokens_in_a_ring_fail_the_export(one_export, token, first):
    one_export.stored(1, "1", token="a")
    one_export.stored(2, "2", token="b")
    one_export.submitted(3, "3")
    one_export.zoho.jobs["3"] = job("3", 5, token)
    with pytest.raises(PagingBroken, match=f"with which part {first + 1} began"):
        one_export.advance(3)
    assert one_export.export().failure.code == "PAGING_BROKEN"
    assert one_export.part(4) is None


def test_page_token_of_an_earlier_generation_is_not_a_ring(one_export):
    one_export.stored(1, "1", token="a")
    one_export.restart(3)
    one_export.submitted(3, "3")
    one_export.zoho.jobs["3"] = job("3", 5, "a")
    one_export.advance(3)
    assert one_export.part(4).page_token == "a"


def test_page_token_that_another_worker_gave_to_the_next_part_is_not_a_ring(one_export):
    one_export.submitted()
    one_export.zoho.jobs["1"] = ready = job("1", 5, "a")
    part = one_export.part()
    one_export.zoho.meanwhile = lambda: one_export.table.mark_ready(
        one_export.export(), part, ready, one_export.now
    )
    one_export.advance()
    assert one_export.part().state is PartState.STORED
    assert one_export.export().state is ExportState.RUNNING


def test_more_records_before_v7_need_no_page_token(one_export):
    one_export.create(api_version="v6")
    one_export.submitted()
    one_export.zoho.jobs["1"] = job("1", 5, "")
    one_export.advance()
    assert (one_export.part(1).state, one_export.part(2).state) == (PartState.STORED, PartState.SUBMITTED)
    assert [request.page for request in one_export.zoho.created] == [2]


# --- the next part's job, which the downloader creates before it downloads ---


def read_results_when_asked(one_export, seen):
    """Note, when a result is read, which jobs exist by then."""
    store = one_export.results.store_result

    def store_result(*given, **named):
        seen.append(len(one_export.zoho.created))
        return store(*given, **named)

    one_export.results.store_result = store_result


def test_job_of_the_next_part_is_created_before_the_download(one_export):
    one_export.submitted()
    one_export.zoho.jobs["1"] = job("1", 5, "t")
    read_results_when_asked(one_export, seen := [])
    one_export.advance()
    (request,) = one_export.zoho.created
    assert (request.page_token, request.callback_url.split("/")[-2], seen) == ("t", "2", [1])
    assert (one_export.part(2).state, one_export.part(2).job_id) == (PartState.SUBMITTED, "new-1")
    assert one_export.part().state is PartState.STORED
    assert one_export.submit_queue.sent == []


def test_no_job_is_created_after_the_last_part(one_export):
    one_export.ready()
    one_export.advance()
    assert (one_export.zoho.created, one_export.submit_queue.sent) == ([], [])
    assert one_export.part().state is PartState.STORED


def test_job_of_the_next_part_is_created_even_if_the_download_has_to_wait(one_export):
    one_export.ready(token="t")
    one_export.wait = 7
    with pytest.raises(DownloadsSpent):
        one_export.advance()
    assert one_export.part(2).state is PartState.SUBMITTED


def test_second_attempt_at_a_download_creates_no_second_job(one_export):
    one_export.ready(token="t")
    one_export.wait = 7
    with pytest.raises(DownloadsSpent):
        one_export.advance()
    one_export.wait = 0
    one_export.let_pass(60)
    one_export.advance()
    one_export.submit(2)
    assert len(one_export.zoho.created) == 1
    assert one_export.part().state is PartState.STORED


@pytest.mark.parametrize(
    ("refusal", "delay"),
    [
        (ZohoUnavailable("HTTP 500"), 15),
        (ZohoThrottled("HTTP 429", retry_after=40), 40),
        (ZohoTimeout("no response"), 15),
    ],
    ids=lambda value: getattr(value, "code", value),
)
def test_job_that_zoho_does_not_create_now_is_left_to_the_submit_queue(one_export, refusal, delay):
    one_export.ready(token="t")
    one_export.zoho.refusals = [refusal]
    one_export.advance()
    assert one_export.part().state is PartState.STORED
    assert one_export.submit_queue.sent == [(2, delay)]
    one_export.let_pass(delay)
    one_export.submit(2)
    assert one_export.part(2).state is PartState.SUBMITTED


def test_job_that_zoho_refuses_for_good_ends_the_export_without_a_download(one_export):
    one_export.ready(token="t")
    one_export.zoho.refusals = [ZohoPermissionDenied("no")]
    one_export.advance()
    assert one_export.export().failure.code == "ZOHO_PERMISSION_DENIED"
    assert (one_export.zoho.asked, one_export.submit_queue.sent) == ([], [])


def test_next_part_that_another_worker_submits_is_left_to_that_worker(one_export):
    one_export.ready(token="t")
    one_export.claim("another", 30, number=2)
    one_export.advance()
    assert (one_export.zoho.created, one_export.submit_queue.parts) == ([], [2])
    assert one_export.part(2).lease_owner == "another"
    assert one_export.part().state is PartState.STORED


def test_next_part_with_the_job_of_a_callback_is_adopted_instead(one_export):
    one_export.ready(token="t")
    one_export.table.note_hint(one_export.export_id, 2, "7")
    one_export.advance()
    assert (one_export.zoho.created, one_export.download_queue.parts) == ([], [2])
    assert one_export.part(2).lease_owner is None


def test_job_of_the_next_part_leaves_the_download_its_time(one_export):
    one_export.ready(token="t")
    left = []
    one_export.zoho.meanwhile = lambda: left.append(deadline.remaining())
    with deadline.ends_in(900):
        one_export.advance()
    assert left[0] == pytest.approx(24, abs=1)


def test_table_that_fails_while_the_next_part_is_claimed_does_not_stop_the_download(one_export):
    one_export.ready(token="t")
    claim = one_export.table.claim

    def refuse_the_next(part, *given):
        if part.part == 2:
            raise StateUnavailable("DynamoDB throttles.")
        return claim(part, *given)

    one_export.table.claim = refuse_the_next
    one_export.advance()
    assert one_export.part().state is PartState.STORED
    assert one_export.submit_queue.parts == [2]


# --- the result ---


def test_store_expects_as_many_records_as_zoho_counted_for_the_job(one_export):
    one_export.ready(count=5)
    one_export.advance()
    assert one_export.results.expected == [(5, "1")]
    assert one_export.export().state is ExportState.COMPLETED


@pytest.mark.parametrize("result_format", ["csv", "csv.gz"])
def test_every_attempt_writes_the_same_key(one_export, result_format):
    one_export.create(result_format=result_format)
    one_export.ready()
    one_export.results.fails = ResultError("wrong")
    with pytest.raises(ResultError):
        one_export.advance()
    one_export.results.fails = None
    one_export.let_pass(15)
    one_export.advance()
    assert one_export.part().key == f"{one_export.export().folder}/part-00001.{result_format}"


def test_object_that_another_attempt_wrote_is_taken(one_export):
    one_export.ready()
    one_export.results.objects[one_export.export().part_key(1)] = b"result of 1"
    one_export.advance()
    assert one_export.export().state is ExportState.COMPLETED


def test_object_with_other_content_is_left_alone_and_the_export_restarts(one_export):
    one_export.ready()
    key = one_export.export().part_key(1)
    one_export.results.objects[key] = b"another result"
    one_export.advance()
    assert (one_export.export().generation, one_export.submit_queue.parts) == (2, [2])
    assert one_export.results.objects == {key: b"another result"}


def test_object_with_other_content_fails_the_third_generation(one_export):
    one_export.create(generation=3)
    one_export.ready()
    one_export.results.objects[one_export.export().part_key(1)] = b"another result"
    with pytest.raises(ObjectConflict):
        one_export.advance()
    assert one_export.export().failure.code == "OBJECT_CONFLICT"


@pytest.mark.parametrize("change", ["sealed", "restarted", "failed", "lease"])
def test_object_of_a_worker_that_is_too_late_does_not_appear(one_export, change):
    def become_too_late():
        if change == "sealed":
            assert one_export.table.seal(one_export.export(), one_export.now, 5)
        elif change == "restarted":
            one_export.restart(2)
        elif change == "failed":
            one_export.fail()
        else:
            lose_the_lease(one_export)

    one_export.ready()
    one_export.results.before_it_appears = become_too_late
    with pytest.raises(PartBusy):
        one_export.advance()
    assert one_export.results.objects == {}


def test_lease_is_renewed_just_before_the_object_appears(one_export):
    leases = []
    one_export.ready()
    one_export.results.before_it_appears = lambda: one_export.let_pass(14)
    appear = one_export.results._appear
    one_export.results._appear = lambda *arguments: (
        appear(*arguments),
        leases.append(one_export.part().lease_until - one_export.now),
    )
    one_export.advance()
    assert leases == [timedelta(seconds=90)]


def test_store_without_budget_waits_and_does_not_download(one_export):
    one_export.ready()
    one_export.wait = 7
    with pytest.raises(DownloadsSpent) as spent:
        one_export.advance()
    assert spent.value.retry_after == 7
    assert one_export.zoho.asked == []


def test_lease_is_renewed_while_no_bytes_arrive(one_export):
    one_export.ready()
    leases = []

    def slow_chunks():
        for _ in range(4):
            one_export.let_pass(85)
            leases.append(one_export.part().lease_until - one_export.now)
            yield b"x"

    one_export.zoho.results["1"] = slow_chunks()
    one_export.advance()
    assert leases == [timedelta(seconds=80)] * 4  # the last renewal was ten seconds ago
    assert LEASE_SECONDS == 90


def lose_the_lease(one_export):
    """Let the lease run out, as of a worker that was frozen, and another worker take the part over."""
    one_export.repeated, frozen = [], one_export.repeated
    one_export.let_pass(LEASE_SECONDS + 1)
    one_export.claim("another", 0)
    one_export.repeated = [work for work in frozen if work()]


def test_download_stops_when_lease_is_taken_over(one_export):
    one_export.ready()

    def chunks():
        yield b"x"
        lose_the_lease(one_export)
        yield b"y"

    one_export.zoho.results["1"] = chunks()
    with pytest.raises(PartBusy, match="was taken over by another worker"):
        one_export.advance()
    assert one_export.results.objects == {}
    assert (one_export.part().lease_owner, one_export.part().attempts) == ("another", 0)


def test_missing_result_is_waited_for_within_an_hour(one_export):
    one_export.submitted()
    one_export.let_pass(7200)  # the age of the job does not count
    one_export.zoho.jobs["1"] = job("1")
    one_export.zoho.results["1"] = ZohoNotFound("gone", zoho_code="RESOURCE_NOT_FOUND")
    for _ in range(4):
        with pytest.raises(
            ZohoUnavailable, match="gone It may still appear until 2026-11-22T16:00"
        ) as raised:
            one_export.advance()
        assert raised.value.zoho_code == "RESOURCE_NOT_FOUND"
        one_export.let_pass(899)
    assert (one_export.export().generation, one_export.part().strikes) == (1, {})
    del one_export.zoho.results["1"]
    one_export.advance()
    assert one_export.export().state is ExportState.COMPLETED


def test_missing_result_restarts_the_export_at_third_attempt_after_an_hour(one_export):
    one_export.ready()
    one_export.let_pass(3600)
    one_export.zoho.results["1"] = ZohoNotFound("gone")
    for _ in range(2):
        with pytest.raises(ZohoNotFound):
            one_export.advance()
        assert one_export.export().generation == 1
        one_export.let_pass(1000)
    one_export.advance()
    assert (one_export.export().generation, one_export.export().first_part) == (2, 2)
    assert one_export.submit_queue.parts == [2]


# --- results that are too slow ---


def slow_result(one_export, size):
    """Return a result of which `size` bytes arrive in 880 seconds; then the function's time is over."""
    yield b"x" * size
    one_export.let_pass(880)
    raise ZohoTooSlow("the function's time is used up")


def test_large_result_that_does_not_arrive_in_time_twice_fails_the_export(one_export):
    one_export.ready()
    for _ in range(2):
        one_export.zoho.results["1"] = slow_result(one_export, 50_000_000)
        with pytest.raises(ResultTooSlow):
            one_export.advance()
        one_export.let_pass(1000)
    failure = one_export.export().failure
    assert failure.code == "RESULT_TOO_SLOW"
    assert "job 1" in failure.message
    assert "50000000 bytes arrived in 880 seconds" in failure.message
    assert "split by criteria" in failure.remedy


def test_result_of_which_little_arrives_is_tried_again_without_limit(one_export):
    one_export.ready()
    for _ in range(9):
        one_export.zoho.results["1"] = slow_result(one_export, 49_999_999)
        with pytest.raises(ZohoTooSlow):
            one_export.advance()
        one_export.let_pass(1000)
    assert (one_export.export().state, one_export.part().strikes) == (ExportState.RUNNING, {})


# --- steps that fail ---


def test_failed_step_pauses_the_part_and_its_eighth_failure_fails_the_export(one_export):
    one_export.ready()
    one_export.results.fails = ResultError("wrong")
    with pytest.raises(StepPostponed, match="wrong") as postponed:
        advance_part(one_export.pipeline, one_export.export_id, 1)
    assert postponed.value.retry_after == 15
    part = one_export.part()
    assert (part.attempts, part.strikes, part.lease_owner) == (1, {"RESULT_INVALID": 1}, None)
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
    assert (part.attempts, part.strikes, part.lease_owner) == (1, {"INTERNAL_ERROR": 1}, None)
    for _ in range(7):
        one_export.let_pass(1000)
        with pytest.raises(ZeroDivisionError):
            one_export.advance()
    assert one_export.export().failure.code == "INTERNAL_ERROR"


def test_worker_that_dies_eight_times_fails_the_export(one_export):
    one_export.ready()

    class Killed(BaseException):
        """Stands for a Lambda that ends: it records nothing."""

    one_export.results.fails = Killed()
    for _ in range(8):
        with pytest.raises(Killed):
            one_export.advance()
        one_export.let_pass(LEASE_SECONDS + 1)
    assert len(one_export.part().dead_owners) == 7
    with pytest.raises(WorkerDied, match="8 workers were lost on part 1"):
        one_export.advance()
    assert one_export.export().failure.code == "WORKER_DIED"
