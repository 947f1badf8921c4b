"""Parts read through the records API: what is settled first, where each ends, and what comes once."""

from dataclasses import replace
from datetime import datetime

import pytest

from crm_export import deadline
from crm_export.errors import (
    CountMismatch,
    PagingBroken,
    PartBusy,
    QueryRefused,
    ZohoPageTokenExpired,
    ZohoQueryRefused,
    ZohoUnavailable,
)
from crm_export.exports import records as read_records
from crm_export.exports.attempt import LEASE_SECONDS
from crm_export.exports.model import RECORDS, ExportState, PartState
from crm_export.exports.records import check_readable
from crm_export.zoho.records import BY_ID, BY_MODIFIED_TIME, RecordPage


def page(*ids, then=None, time="2026-11-22T10:00:00+00:00"):
    return RecordPage([{"id": str(one), "Modified_Time": time} for one in ids], then)


def since(second, *edge):
    return {"since": f"2026-11-22T10:00:{second:02d}+00:00", "edge": list(edge)}


LATE = "2026-11-22T12:55:00+00:00"  # within what clocks differ of the export's beginning


@pytest.fixture
def by_time(pipeline):
    pipeline.create(module="Notes", source=RECORDS, fields=["Note_Title"], read_order="Modified_Time")
    return pipeline


@pytest.fixture
def by_id(pipeline):
    pipeline.create(module="Notes", source=RECORDS, fields=["Note_Title"], read_order="id")
    return pipeline


# --- what can be read, and how ---


@pytest.mark.parametrize(
    ("query", "page", "names"),
    [
        ({"criteria": {}}, 1, "criteria"),
        ({}, 2, "page"),
        ({"fields": ["Note_Title", "Owner.email"]}, 1, r"fields\[1\]"),
    ],
)
def test_what_the_records_api_cannot_do_is_refused(query, page, names):
    with pytest.raises(QueryRefused, match=names):
        check_readable("Notes", query, page)


@pytest.mark.parametrize(
    ("query", "answers", "order", "cursors"),
    [
        ({}, [page(1)], "Modified_Time", [BY_MODIFIED_TIME]),
        ({}, [ZohoQueryRefused("no such field"), page(1)], "id", [BY_MODIFIED_TIME, BY_ID]),
        ({}, [PagingBroken("no times"), page(1)], "id", [BY_MODIFIED_TIME, BY_ID]),
        ({"cvid": "1"}, [page(1)], "id", [BY_ID]),
    ],
    ids=["times", "refused", "no times", "custom view"],
)
def test_records_are_read_by_their_time_wherever_zoho_can(pipeline, query, answers, order, cursors):
    pipeline.create(module="Notes", source=RECORDS, query=query)
    pipeline.zoho.pages = answers
    pipeline.submit()
    export = pipeline.export()
    assert (export.read_order, export.is_readable, export.api_version) == (order, True, "v6")
    assert pipeline.zoho.cursors == cursors
    assert pipeline.download_queue.parts == [1]
    assert pipeline.part().lease_owner is None


# --- where a part ends ---


def test_a_part_ends_after_its_records_and_the_next_goes_on_from_there(by_time, monkeypatch):
    monkeypatch.setattr(read_records, "_PART_RECORDS", 4)
    by_time.zoho.pages = [page(1, 2, then=since(1)), page(3, 4, then=since(2)), page(5)]
    by_time.advance()
    first, second = by_time.table.get_parts(by_time.export())
    assert (first.state, first.records, first.expected_records, first.more_records) == (
        PartState.STORED,
        4,
        4,
        True,
    )
    assert (second.state, second.cursor) == (PartState.PENDING, since(2))
    assert by_time.download_queue.parts == [2]
    assert by_time.export().state is ExportState.RUNNING
    by_time.advance(2)
    assert by_time.zoho.cursors == [BY_MODIFIED_TIME, since(1), since(2)]
    assert list(by_time.results.objects.values()) == [["1", "2", "3", "4"], ["5"]]
    assert (by_time.export().state, by_time.export().records) == (ExportState.COMPLETED, 5)
    assert by_time.download_queue.parts == [2]


def test_a_part_ends_in_time(by_time):
    def slow():
        by_time.let_pass(301)
        return page(1, then=since(1))

    by_time.zoho.pages = [slow, page(2)]
    by_time.advance()
    assert by_time.part(2).state is PartState.PENDING


def test_a_part_ends_before_the_function_does(by_time):
    by_time.zoho.pages = [page(1, then=since(1)), page(2)]
    with deadline.ends_in(59):
        by_time.advance()
    assert by_time.part(2).state is PartState.PENDING


def test_a_part_does_not_end_where_the_checkpoint_would_be_too_large_to_keep(by_time, monkeypatch):
    monkeypatch.setattr(read_records, "_PART_RECORDS", 2)
    monkeypatch.setattr(read_records, "_LARGEST_EDGE", 2)
    by_time.zoho.pages = [page(1, 2, 3, then=since(1, "1", "2", "3")), page(4, then=since(2, "4")), page(5)]
    by_time.advance()
    assert by_time.part().records == 4
    assert by_time.part(2).cursor == since(2, "4")


def test_the_lease_is_held_from_page_to_page_and_who_lost_it_stores_nothing(by_time):
    seen = []

    def slow():
        by_time.let_pass(40)
        seen.append(by_time.part().lease_until)
        return page(len(seen), then=since(len(seen)))

    def lost():
        by_time.let_pass(LEASE_SECONDS + 1)
        until = by_time.now
        assert by_time.table.claim(by_time.part(), "another", by_time.now, until)
        return page(9)

    by_time.zoho.pages = [slow, slow, slow, lost]
    with pytest.raises(PartBusy):
        by_time.advance()
    assert seen == [
        datetime.fromisoformat(f"2026-11-22T13:0{minute}:{second}.000Z")
        for minute, second in ((1, "30"), (2, "10"), (2, "50"))
    ]
    assert by_time.results.objects == {}
    assert by_time.part().state is PartState.PENDING


def test_who_is_overtaken_at_the_very_end_hands_nothing_on(by_time):
    right = by_time.results.store_records

    def overtaken(*given, **named):
        stored = right(*given, **named)
        by_time.let_pass(LEASE_SECONDS + 1)
        assert by_time.table.claim(by_time.part(), "another", by_time.now, by_time.now)
        return stored

    by_time.results.store_records = overtaken
    by_time.zoho.pages = [page(1)]
    by_time.advance()
    assert (by_time.part().state, by_time.download_queue.parts) == (PartState.PENDING, [])


# --- once each ---


def test_each_attempt_has_an_object_of_its_own(by_time):
    by_time.zoho.pages = [ZohoUnavailable("down"), page(1)]
    with pytest.raises(ZohoUnavailable):
        by_time.advance()
    by_time.let_pass(1000)
    part = by_time.part()
    assert by_time.table.claim(part, "who dies", by_time.now, by_time.now)
    by_time.let_pass(1)
    assert by_time.table.claim(by_time.part(), "who dies too", by_time.now, by_time.now)
    by_time.let_pass(1)
    by_time.advance()
    assert by_time.part().key == f"{by_time.export().folder}/part-00001-4.csv"


def test_a_record_that_changes_while_its_part_is_read_comes_once(by_time):
    by_time.zoho.pages = [page(1, 2, then=since(1)), page(3, then=since(2)), page(1, 4, time=LATE)]
    by_time.advance()
    assert list(by_time.results.objects.values()) == [["1", "2", "3", "4"]]
    assert by_time.export().records == 4


def test_a_record_of_any_earlier_part_that_changes_comes_once(by_time, monkeypatch):
    monkeypatch.setattr(read_records, "_PART_RECORDS", 2)
    by_time.zoho.pages = [
        page(1, 2, then=since(1)),
        page(3, 4, then=since(2)),
        page(1, 3, 5, time=LATE),
    ]
    for number in (1, 2, 3):
        by_time.advance(number)
    assert list(by_time.results.objects.values()) == [["1", "2"], ["3", "4"], ["5"]]
    assert (by_time.export().state, by_time.export().records) == (ExportState.COMPLETED, 5)


def test_what_a_page_token_lists_is_taken_as_it_is(by_id):
    by_id.zoho.pages = [page(1, 2, then={"page_token": "t", "read": 2}), page(3, time=None)]
    by_id.advance()
    assert by_id.zoho.cursors == [BY_ID, {"page_token": "t", "read": 2}]
    assert list(by_id.results.objects.values()) == [["1", "2", "3"]]


def test_a_part_that_holds_other_than_was_listed_is_not_stored(by_time):
    right = by_time.results.store_records
    by_time.results.store_records = lambda *given, **named: replace(right(*given, **named), records=1)
    by_time.zoho.pages = [page(1, 2)]
    with pytest.raises(CountMismatch):
        by_time.advance()
    assert by_time.part().state is PartState.PENDING


# --- what begins anew ---


def test_an_expired_page_token_begins_the_export_anew(by_id):
    by_id.zoho.pages = [page(1, then={"page_token": "t", "read": 1}), ZohoPageTokenExpired("expired")]
    by_id.advance()
    export = by_id.export()
    assert (export.generation, export.first_part, by_id.download_queue.parts) == (2, 2, [2])
    by_id.zoho.pages = [page(1, 2)]
    by_id.advance(2)
    assert by_id.export().records == 2
    assert len(by_id.results.objects) == 1


def test_records_that_cannot_be_found_by_time_are_read_anew_by_id(by_time):
    by_time.zoho.pages = [page(1, then=since(1)), PagingBroken("not in order")]
    by_time.advance()
    export = by_time.export()
    assert (export.generation, export.read_order, by_time.download_queue.parts) == (2, "id", [2])
    by_time.zoho.pages = [page(1, 2)]
    by_time.advance(2)
    assert by_time.zoho.cursors[-1] == BY_ID
    assert by_time.export().records == 2


def test_a_paging_by_id_that_leads_nowhere_fails_the_export(by_id):
    by_id.zoho.pages = [PagingBroken("nowhere")]
    with pytest.raises(PagingBroken):
        by_id.advance()
    assert by_id.export().failure.code == "PAGING_BROKEN"


def test_who_reads_for_an_export_that_began_anew_meanwhile_changes_nothing(by_time):
    def restarted():
        by_time.restart(2)
        raise PagingBroken("not in order")

    by_time.zoho.pages = [restarted]
    by_time.advance()
    assert (by_time.export().generation, by_time.export().read_order) == (2, "Modified_Time")
    assert by_time.download_queue.parts == []


def test_a_part_of_an_earlier_generation_has_none_of_this_ones_before_it(by_time):
    by_time.restart(2)
    by_time.zoho.pages = [page(1, time=LATE)]
    by_time.advance(2)
    assert by_time.export().records == 1
    assert replace(by_time.export(), state=ExportState.RUNNING).generation == 2
