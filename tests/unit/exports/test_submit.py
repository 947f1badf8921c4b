"""Which job is made of a part, when none is, and who goes on with the part then."""

from datetime import datetime

import pytest

from crm_export import deadline
from crm_export.errors import (
    PartBusy,
    QueryRefused,
    ZohoModuleNotSupported,
    ZohoPageTokenExpired,
    ZohoPermissionDenied,
    ZohoQueryRefused,
    ZohoUnavailable,
)
from crm_export.exports.attempt import restart_export
from crm_export.exports.model import RECORDS, ExportState, PartState
from crm_export.exports.request import ExportRequest
from crm_export.exports.start import StartServices, start_export
from crm_export.zoho.records import RecordPage


@pytest.fixture
def export(pipeline):
    return pipeline.create()


def refused_field(name):
    error = ZohoQueryRefused(f"{name} is not supported")
    error.api_name = name
    return error


# --- which job ---


@pytest.mark.usefixtures("export")
def test_a_job_is_made_once(pipeline):
    pipeline.submit()
    pipeline.submit()
    assert len(pipeline.zoho.created) == 1
    part = pipeline.part()
    assert (part.state, part.job_id, part.lease_owner) == (PartState.SUBMITTED, "new-1", None)


def test_a_part_is_asked_for_by_its_page_or_by_its_token(pipeline):
    pipeline.create(page=4)
    pipeline.stored(token="t")
    pipeline.submit(2)
    (request,) = pipeline.zoho.created
    assert (request.page, request.page_token, request.callback_url) == (5, "t", "https://x/2")


def test_an_export_that_began_anew_begins_with_the_page_it_began_with(pipeline):
    pipeline.create(page=4)
    pipeline.stored(token="t")
    pipeline.restart(3)
    pipeline.submit(3)
    (request,) = pipeline.zoho.created
    assert (request.page, request.page_token) == (4, None)


@pytest.mark.usefixtures("export")
@pytest.mark.parametrize("end", ["failed", "begun anew"])
def test_no_job_is_made_for_what_has_ended(pipeline, end):
    if end == "failed":
        pipeline.fail()
    else:
        pipeline.restart(2)
    pipeline.submit()
    assert pipeline.zoho.created == []


@pytest.mark.usefixtures("export")
def test_no_second_job_is_made_where_a_callback_named_one(pipeline):
    pipeline.table.note_hint(pipeline.export_id, 1, "7")
    pipeline.submit()
    assert (pipeline.zoho.created, pipeline.download_queue.parts) == ([], [1])


def test_no_job_is_made_where_records_are_read(pipeline):
    pipeline.create(module="Notes", source=RECORDS, fields=["Note_Title"], read_order="id")
    pipeline.submit()
    assert (pipeline.zoho.created, pipeline.zoho.cursors, pipeline.download_queue.parts) == ([], [], [1])


@pytest.mark.usefixtures("export")
def test_no_job_is_made_while_another_makes_it(pipeline):
    pipeline.table.claim(
        pipeline.part(), "another", pipeline.now, datetime.fromisoformat("2026-11-22T13:01:00.000Z")
    )
    pipeline.submit()
    assert pipeline.zoho.created == []


@pytest.mark.usefixtures("export")
def test_the_job_of_a_faster_callback_stays_the_parts(pipeline):
    pipeline.zoho.meanwhile = lambda: pipeline.submitted(job_id="7")
    pipeline.submit()
    assert pipeline.part().job_id == "7"


@pytest.mark.usefixtures("export")
def test_zoho_that_is_down_leaves_the_part_for_later(pipeline):
    pipeline.zoho.refusals = [ZohoUnavailable("down")]
    with pytest.raises(ZohoUnavailable):
        pipeline.submit()
    part = pipeline.part()
    assert (part.state, part.attempts, part.strikes) == (PartState.PENDING, 1, 0)
    assert part.not_before == pipeline.now.replace(second=14)
    pipeline.submit()
    assert len(pipeline.zoho.created) == 1
    pipeline.let_pass(15)
    pipeline.submit()
    assert pipeline.part().state is PartState.SUBMITTED


# --- what begins anew ---


@pytest.mark.usefixtures("export")
def test_an_expired_token_begins_the_export_anew_with_its_new_first_part(pipeline):
    pipeline.stored(token="t")
    pipeline.zoho.refusals = [ZohoPageTokenExpired("expired")]
    pipeline.submit(2)
    export = pipeline.export()
    assert (export.generation, export.first_part) == (2, 3)
    assert pipeline.submit_queue.parts == [3]
    pipeline.submit(3)
    assert pipeline.zoho.created[-1].page_token is None


@pytest.mark.usefixtures("export")
def test_an_export_begins_anew_twice_and_no_more(pipeline):
    error = ZohoPageTokenExpired("expired")
    first = [restart_export(pipeline.pipeline, pipeline.export(), error) for _ in range(2)]
    assert first == [2, 3]
    with pytest.raises(ZohoPageTokenExpired):
        restart_export(pipeline.pipeline, pipeline.export(), error)
    assert pipeline.export().generation == 3


@pytest.mark.usefixtures("export")
def test_the_new_first_part_follows_the_last_there_was(pipeline):
    pipeline.stored(1, "1", token="t")
    pipeline.stored(2, "2", token="u")
    error = ZohoPageTokenExpired("expired")
    assert restart_export(pipeline.pipeline, pipeline.export(), error) == 4
    assert pipeline.part(3).page_token == "u"
    assert pipeline.part(4).page_token is None


# --- fields ---


def test_all_fields_are_named_with_those_only_bulk_read_gives(pipeline):
    pipeline.create(query={"fields": "all"})
    pipeline.zoho.names = (["A", "B"], ["C"])
    pipeline.submit()
    assert pipeline.zoho.created[0].query == {"fields": ["A", "B", "C"]}


@pytest.mark.parametrize(
    "names",
    [([f"F{number}" for number in range(201)], []), ZohoPermissionDenied("no settings")],
    ids=["201", "none"],
)
def test_more_fields_than_a_job_takes_or_none_known_are_zohos_own_all(pipeline, names):
    pipeline.create(query={"fields": "all"})
    pipeline.zoho.names = names
    pipeline.submit()
    assert pipeline.zoho.created[0].query == {}


def test_metadata_that_is_down_is_waited_for(pipeline):
    pipeline.create(query={"fields": "all"})
    pipeline.zoho.names = ZohoUnavailable("down")
    with pytest.raises(ZohoUnavailable):
        pipeline.submit()
    assert (pipeline.zoho.created, pipeline.export().fields) == ([], None)


def test_every_field_that_is_refused_is_dropped_and_told(pipeline):
    pipeline.create(query={"fields": "all"})
    pipeline.zoho.names = (["A", "B", "C"], [])
    pipeline.zoho.refusals = [refused_field("A"), refused_field("C")]
    pipeline.submit()
    export = pipeline.export()
    assert export.fields == ["B"]
    assert [dropped.field for dropped in export.fields_dropped] == ["A", "C"]
    assert pipeline.zoho.created[-1].query == {"fields": ["B"]}


def test_the_last_field_is_not_dropped(pipeline):
    pipeline.create(query={"fields": "all"})
    pipeline.zoho.names = (["A"], [])
    pipeline.zoho.refusals = [refused_field("A")]
    with pytest.raises(ZohoQueryRefused):
        pipeline.submit()
    assert pipeline.export().state is ExportState.FAILED


def test_a_field_that_is_refused_late_is_missing_in_all_parts(pipeline):
    pipeline.create(query={"fields": "all"}, fields=["A", "B"], api_version="v6")
    pipeline.stored(token="")
    pipeline.zoho.refusals = [refused_field("A")]
    pipeline.submit(2)
    export = pipeline.export()
    assert (export.fields, export.generation, export.first_part) == (["B"], 2, 3)
    assert pipeline.submit_queue.parts == [3]


def test_fields_that_are_refused_one_after_the_other_are_gone_on_with_later(pipeline):
    pipeline.create(query={"fields": "all"}, fields=["A", "B"])
    pipeline.zoho.refusals = [refused_field("A")]
    with deadline.ends_in(5), pytest.raises(PartBusy):
        pipeline.submit()
    pipeline.let_pass(5)
    pipeline.submit()
    assert pipeline.part().state is PartState.SUBMITTED


# --- modules without Bulk Read ---


@pytest.mark.usefixtures("export")
def test_a_module_without_bulk_read_is_read_instead(pipeline):
    pipeline.zoho.refusals = [ZohoModuleNotSupported("no")]
    pipeline.zoho.pages = [RecordPage([], None)]
    pipeline.submit()
    assert pipeline.export().is_readable
    assert (pipeline.download_queue.parts, pipeline.submit_queue.parts) == ([1], [])


def test_no_calendar_is_read_instead(pipeline):
    pipeline.create(file_type="ics")
    pipeline.zoho.refusals = [ZohoModuleNotSupported("no")]
    with pytest.raises(ZohoModuleNotSupported):
        pipeline.submit()
    assert pipeline.export().state is ExportState.FAILED


@pytest.mark.usefixtures("export")
def test_an_export_is_not_half_from_bulk_read_and_half_from_records(pipeline):
    pipeline.stored(token="t")
    pipeline.zoho.refusals = [ZohoModuleNotSupported("no")]
    with pytest.raises(ZohoModuleNotSupported):
        pipeline.submit(2)
    assert pipeline.export().failure.code == "ZOHO_MODULE_NOT_SUPPORTED"


# --- starting ---


def start(pipeline, submit, request=None):
    services = StartServices(
        store=pipeline.table,
        submit_queue=pipeline.submit_queue,
        submit=submit,
        clock=pipeline.clock,
        api_version="v8",
        deadline_hours=24,
        retention_days=30,
    )
    return start_export(
        services, request or ExportRequest("Contacts", {}, "csv", 1), "acct-1", "user-1", "https://x"
    )


def raises(error):
    def submit(export_id, part):
        raise error

    return submit


def test_a_first_job_that_cannot_be_made_now_is_made_by_the_queue(pipeline):
    export = start(pipeline, raises(ZohoUnavailable("down")))
    assert export.state is ExportState.RUNNING
    assert pipeline.submit_queue.sent == [(1, 15)]


def test_a_first_job_that_is_refused_is_told_at_once(pipeline):
    with pytest.raises(QueryRefused):
        start(pipeline, raises(QueryRefused("no")))
    assert pipeline.submit_queue.sent == []


def test_what_is_asked_for_is_what_is_written(pipeline):
    request = ExportRequest("Contacts", {"fields": ["A"], "cvid": "1"}, "csv", 3)
    export = start(pipeline, lambda export_id, part: None, request)
    assert (export.query, export.page) == (request.query, 3)
    assert pipeline.table.get_part(export.export_id, 1).state is PartState.PENDING
