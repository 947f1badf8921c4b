"""The steps of bulk_read_submitter: create a part's job, or settle how to read without one."""

import pytest

from crm_export import deadline
from crm_export.errors import (
    PartBusy,
    QueryRefused,
    StepPostponed,
    ZohoFieldRefused,
    ZohoModuleNotSupported,
    ZohoNotFound,
    ZohoPageTokenExpired,
    ZohoPermissionDenied,
    ZohoQueryRefused,
    ZohoRequestMalformed,
    ZohoUnavailable,
)
from crm_export.exports.attempt import restart_export
from crm_export.exports.model import BULK_READ, RECORDS, ExportState, PartState
from crm_export.exports.request import ExportRequest
from crm_export.exports.submit import submit_part
from crm_export.zoho.records import RecordPage
from tests.unit.exports.conftest import CALLER


def refused_field(name, **more):
    error = ZohoQueryRefused(f"{name} is not supported", **more)
    error.api_name = name
    return error


# --- which job ---


def test_submit_repeated_creates_one_job(one_export):
    one_export.submit()
    one_export.submit()
    assert len(one_export.zoho.created) == 1
    part = one_export.part()
    assert (part.state, part.job_id, part.lease_owner) == (PartState.SUBMITTED, "new-1", None)


def test_submit_leases_the_part_and_counts_the_job(one_export, metric_names):
    leases = []
    one_export.zoho.meanwhile = lambda: leases.append(one_export.part().lease_until)
    one_export.submit()
    assert (leases, metric_names()) == ([one_export.at(90)], {"JobsSubmitted"})


def test_refusal_of_a_queued_part_is_counted_as_a_failed_export(one_export, metric_names):
    one_export.zoho.refusals = [ZohoQueryRefused("no")]
    with pytest.raises(ZohoQueryRefused):
        one_export.submit()
    assert metric_names() == {"ExportsFailed"}


def test_submit_of_later_part_names_its_page_token_and_signed_callback_url(one_export):
    one_export.create(page=4)
    one_export.stored(token="t")
    one_export.submit(2)
    (request,) = one_export.zoho.created
    assert (request.page, request.page_token) == (5, "t")
    base, number, signature = request.callback_url.rsplit("/", 2)
    assert (base, number) == (f"https://x/v1/e/zoho/bulk-read/callback/{one_export.export_id}", "2")
    assert one_export.pipeline.callback_keys.verify(one_export.export_id, number, signature) == 2


def test_submit_of_an_export_without_a_base_url_asks_for_no_callback(one_export):
    one_export.create(callback_base_url="")
    one_export.submit()
    (request,) = one_export.zoho.created
    assert request.callback_url == ""


def test_submit_after_restart_begins_with_the_requested_page(one_export):
    one_export.create(page=4)
    one_export.stored(token="t")
    one_export.restart(3)
    one_export.submit(3)
    (request,) = one_export.zoho.created
    assert (request.page, request.page_token) == (4, None)


@pytest.mark.parametrize("end", ["failed", "restarted"])
def test_submit_of_ended_or_restarted_export_creates_no_job(one_export, end):
    if end == "failed":
        one_export.fail()
    else:
        one_export.restart(2)
    one_export.submit()
    assert one_export.zoho.created == []


@pytest.mark.parametrize(("export_id", "number"), [("20261122T130000Z-0000000000000000", 1), (None, 2)])
def test_submit_of_unknown_part_does_nothing(one_export, export_id, number):
    submit_part(one_export.pipeline, export_id or one_export.export_id, number)
    assert one_export.zoho.created == []


def test_submit_leaves_part_with_hinted_job_to_the_downloader(one_export):
    one_export.table.note_hint(one_export.export_id, 1, "7")
    one_export.submit()
    assert (one_export.zoho.created, one_export.download_queue.parts) == ([], [1])


def test_submit_leaves_part_of_readable_export_to_the_downloader(one_export):
    one_export.create(module="Notes", source=RECORDS, fields=["Note_Title"], read_order="id")
    one_export.submit()
    assert (one_export.zoho.created, one_export.zoho.cursors) == ([], [])
    assert one_export.download_queue.parts == [1]


def test_submit_while_another_worker_holds_the_lease_creates_no_job(one_export):
    one_export.claim("another", 60)
    one_export.submit()
    assert one_export.zoho.created == []


def test_submit_keeps_the_job_of_a_faster_callback(one_export):
    one_export.zoho.meanwhile = lambda: one_export.submitted(job_id="7")
    one_export.submit()
    assert one_export.part().job_id == "7"


def test_submit_while_zoho_is_down_pauses_the_part_without_a_strike(one_export):
    one_export.zoho.refusals = [ZohoUnavailable("down")]
    with pytest.raises(StepPostponed, match="down") as postponed:
        submit_part(one_export.pipeline, one_export.export_id, 1)
    assert postponed.value.retry_after == 15
    part = one_export.part()
    assert (part.state, part.attempts, part.strikes) == (PartState.PENDING, 1, {})
    assert part.not_before == one_export.at(14)
    one_export.submit()
    assert len(one_export.zoho.created) == 1
    one_export.let_pass(15)
    one_export.submit()
    assert one_export.part().state is PartState.SUBMITTED


# --- restarts ---


def test_expired_page_token_restarts_the_export_and_queues_its_new_first_part(one_export):
    one_export.stored(token="t")
    one_export.zoho.refusals = [ZohoPageTokenExpired("expired")]
    one_export.submit(2)
    export = one_export.export()
    assert (export.generation, export.first_part) == (2, 3)
    assert one_export.submit_queue.parts == [3]
    one_export.submit(3)
    assert one_export.zoho.created[-1].page_token is None


def test_restart_is_refused_in_the_third_generation(one_export):
    error = ZohoPageTokenExpired("expired")
    for _ in range(2):
        restart_export(one_export.pipeline, one_export.export(), error)
    assert one_export.submit_queue.parts == [2, 3]
    with pytest.raises(ZohoPageTokenExpired):
        restart_export(one_export.pipeline, one_export.export(), error)
    assert (one_export.export().generation, one_export.submit_queue.parts) == (3, [2, 3])


def test_restart_numbers_its_first_part_after_the_last_part(one_export):
    one_export.stored(1, "1", token="t")
    one_export.stored(2, "2", token="u")
    restart_export(one_export.pipeline, one_export.export(), ZohoPageTokenExpired("expired"))
    assert one_export.submit_queue.parts == [4]
    assert one_export.part(3).page_token == "u"
    assert one_export.part(4).page_token is None


def test_restart_of_export_that_another_worker_restarted_queues_nothing(one_export):
    seen = one_export.export()
    one_export.restart(2)
    restart_export(one_export.pipeline, seen, ZohoPageTokenExpired("expired"))
    assert (one_export.export().generation, one_export.submit_queue.parts) == (2, [])


# --- fields ---


def test_all_fields_are_named_including_those_outside_lists(one_export):
    one_export.create(query={"fields": "all"})
    one_export.zoho.names = (["A", "B"], ["C"])
    one_export.submit()
    assert one_export.zoho.created[0].query == {"fields": ["A", "B", "C"]}
    assert one_export.zoho.metadata_read == [("v8", "Contacts")]


@pytest.mark.parametrize(
    ("names", "count"),
    [
        (([f"F{number}" for number in range(200)], []), 200),
        (([f"F{number}" for number in range(200)], ["G"]), 0),
        (ZohoPermissionDenied("no settings"), 0),
    ],
    ids=["200 fields", "201 fields", "no metadata"],
)
def test_all_fields_are_left_to_zoho_without_metadata_or_above_200_names(one_export, names, count):
    one_export.create(query={"fields": "all"})
    one_export.zoho.names = names
    one_export.submit()
    assert len(one_export.zoho.created[0].query.get("fields", [])) == count


def test_submit_waits_while_metadata_is_unavailable(one_export):
    one_export.create(query={"fields": "all"})
    one_export.zoho.names = ZohoUnavailable("down")
    with pytest.raises(ZohoUnavailable):
        one_export.submit()
    assert (one_export.zoho.created, one_export.export().fields) == ([], None)


def test_refused_fields_are_dropped_and_reported(one_export):
    one_export.create(query={"fields": "all"})
    one_export.zoho.names = (["A", "B", "C"], [])
    one_export.zoho.refusals = [refused_field("A"), refused_field("C")]
    one_export.submit()
    export = one_export.export()
    assert export.fields == ["B"]
    assert [(dropped.field, dropped.reason) for dropped in export.fields_dropped] == [
        ("A", "A is not supported"),
        ("C", "C is not supported"),
    ]
    assert one_export.zoho.created[-1].query == {"fields": ["B"]}


def by_path(path, name=None):
    error = ZohoQueryRefused("not supported")
    error.json_path, error.api_name = path, name
    return error


def by_field(name):
    error = ZohoFieldRefused("not supported")
    error.field = name
    return error


@pytest.mark.parametrize(
    ("error", "is_dropped"),
    [
        (by_path("$.query.fields[1]"), True),
        (by_path("query.fields[1]"), True),
        (by_path("$.query.fields[9]"), False),
        (by_path("$.query.fields[1].x"), False),
        (by_path("$.query.criteria"), False),
        (by_path("$.query.criteria", "B"), False),
        (by_field("B"), True),
        (by_field("X"), False),
        (refused_field("B"), True),
        (refused_field("X"), False),
        (refused_field("B", zoho_code="INVALID_CRITERIA"), False),
    ],
)
def test_refused_field_is_found_by_path_or_name_but_not_in_criteria(one_export, error, is_dropped):
    one_export.create(query={"fields": "all"}, fields=["A", "B"])
    one_export.zoho.refusals = [error]
    if is_dropped:
        one_export.submit()
    else:
        with pytest.raises(ZohoQueryRefused):
            one_export.submit()
    assert [dropped.field for dropped in one_export.export().fields_dropped] == ["B"] * is_dropped


def test_refusal_of_fields_that_the_caller_named_fails_the_export(one_export):
    one_export.create(query={"fields": ["A", "B"]})
    one_export.zoho.refusals = [refused_field("A")]
    with pytest.raises(ZohoQueryRefused):
        one_export.submit()
    assert one_export.export().state is ExportState.FAILED


def test_refusal_of_the_only_field_fails_the_export(one_export):
    one_export.create(query={"fields": "all"})
    one_export.zoho.names = (["A"], [])
    one_export.zoho.refusals = [refused_field("A")]
    with pytest.raises(ZohoQueryRefused):
        one_export.submit()
    assert one_export.export().state is ExportState.FAILED


def test_field_refused_at_a_later_part_restarts_the_export_without_it(one_export):
    one_export.create(query={"fields": "all"}, fields=["A", "B"], api_version="v6")
    one_export.stored(token="")
    one_export.zoho.refusals = [refused_field("A")]
    one_export.submit(2)
    export = one_export.export()
    assert (export.fields, export.generation, export.first_part) == (["B"], 2, 3)
    assert one_export.submit_queue.parts == [3]


def test_fields_refused_one_after_another_are_continued_by_the_next_attempt(one_export):
    one_export.create(query={"fields": "all"}, fields=["A", "B"])
    one_export.zoho.refusals = [refused_field("A")]
    with deadline.clocked_by(lambda: 0.0), deadline.ends_in(12.5), pytest.raises(PartBusy) as busy:
        one_export.submit()
    assert busy.value.retry_after == 1
    one_export.let_pass(5)
    one_export.submit()
    assert one_export.part().state is PartState.SUBMITTED


def test_refused_field_is_dropped_at_once_while_thirteen_seconds_are_left(one_export):
    one_export.create(query={"fields": "all"}, fields=["A", "B"])
    one_export.zoho.refusals = [refused_field("A")]
    with deadline.clocked_by(lambda: 0.0), deadline.ends_in(13):
        one_export.submit()
    assert one_export.part().state is PartState.SUBMITTED


@pytest.mark.parametrize("left", [29, 900])
def test_submit_leaves_five_seconds_to_record_what_zoho_responds(one_export, left):
    remaining = []
    one_export.create()
    one_export.zoho.meanwhile = lambda: remaining.append(deadline.remaining())
    with deadline.clocked_by(lambda: 0.0), deadline.ends_in(left):
        one_export.submit()
        assert deadline.remaining() == left
    assert remaining == [left - 5]


def test_submit_for_export_that_another_worker_restarted_is_postponed(one_export):
    one_export.create(query={"fields": "all"}, fields=["A", "B"])
    one_export.zoho.refusals = [refused_field("A")]
    one_export.zoho.meanwhile = lambda: one_export.restart(2)
    with pytest.raises(PartBusy, match="was changed by another worker") as busy:
        one_export.submit()
    assert busy.value.retry_after == 5
    assert one_export.export().fields_dropped == ()


# --- modules that Bulk Read does not support ---


def test_module_without_bulk_read_is_read_through_the_records_api(one_export):
    one_export.zoho.refusals = [ZohoModuleNotSupported("no")]
    one_export.zoho.pages = [RecordPage([], None)]
    one_export.submit()
    assert one_export.export().is_readable
    assert (one_export.download_queue.parts, one_export.submit_queue.parts) == ([1], [])
    assert one_export.part().lease_owner is None


def test_module_without_bulk_read_as_ics_fails_the_export(one_export):
    one_export.create(file_type="ics")
    one_export.zoho.refusals = [ZohoModuleNotSupported("no")]
    with pytest.raises(ZohoModuleNotSupported):
        one_export.submit()
    assert one_export.export().state is ExportState.FAILED


def test_module_without_bulk_read_and_query_the_records_api_cannot_do_fails_the_export(one_export):
    one_export.create(page=2)
    one_export.zoho.refusals = [ZohoModuleNotSupported("Bulk Read says no.", zoho_code="NOT_SUPPORTED")]
    with pytest.raises(
        ZohoModuleNotSupported, match=r"says no\. The records API cannot run this query either"
    ) as refused:
        one_export.submit()
    assert refused.value.zoho_code == "NOT_SUPPORTED"
    assert one_export.export().source == BULK_READ


@pytest.mark.parametrize("refusal", [ZohoNotFound, ZohoQueryRefused, ZohoRequestMalformed])
def test_module_that_neither_api_supports_fails_with_bulk_reads_refusal(one_export, refusal):
    one_export.zoho.refusals = [ZohoModuleNotSupported("Bulk Read says no.")]
    one_export.zoho.names = refusal("no such module")
    with pytest.raises(ZohoModuleNotSupported, match=r"Bulk Read says no\."):
        one_export.submit()
    assert one_export.export().state is ExportState.FAILED


def test_module_refused_at_a_later_part_fails_the_export_instead_of_mixing_sources(one_export):
    one_export.stored(token="t")
    one_export.zoho.refusals = [ZohoModuleNotSupported("no")]
    with pytest.raises(ZohoModuleNotSupported):
        one_export.submit(2)
    assert one_export.export().failure.code == "ZOHO_MODULE_NOT_SUPPORTED"


# --- creating an export ---


def test_first_job_that_zoho_cannot_take_now_is_left_to_the_queue(one_export):
    one_export.zoho.refusals = [ZohoUnavailable("down")]
    export = one_export.start()
    assert export.state is ExportState.RUNNING
    assert one_export.submit_queue.sent == [(1, 15)]


def test_refusal_of_the_first_job_is_raised_from_start(one_export, metric_names):
    one_export.zoho.refusals = [QueryRefused("no")]
    with pytest.raises(QueryRefused):
        one_export.start()
    assert one_export.submit_queue.sent == []
    assert metric_names() == {"ExportsStarted", "ExportsRefused"}


def test_module_read_through_the_records_api_is_refused_before_it_is_written(one_export):
    with pytest.raises(QueryRefused, match=r"query\.page is 2"):
        one_export.start(ExportRequest("Notes", {}, "csv", 2))
    assert len(one_export.items.items) == 2  # only the export of the fixture and its part


def test_created_export_is_as_requested(one_export):
    request = ExportRequest("Contacts", {"fields": ["A"], "cvid": "1"}, "csv", 3)
    export = one_export.start(request)
    assert (export.query, export.page, export.source) == (request.query, 3, BULK_READ)
    assert (export.account_id, export.owner) == (CALLER.account_id, CALLER.owner)
    assert (export.requested_at, export.deadline_at) == (one_export.now, one_export.at(24 * 3600))
    assert export.expires_at == one_export.at(30 * 24 * 3600)
    assert one_export.part().state is PartState.SUBMITTED


def test_created_export_has_the_configured_result_format(one_export):
    one_export.limit(result_format="csv.gz")
    assert one_export.start().file_format == "csv.gz"


def test_created_export_of_notes_is_settled_for_the_records_api(one_export):
    one_export.zoho.pages = [RecordPage([], None)]
    assert one_export.start(ExportRequest("Notes", {}, "csv")).is_readable
    assert one_export.zoho.created == []
