"""Parts read through the records API: what is settled first, where a part ends, and no record twice."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from crm_export import deadline
from crm_export.errors import (
    CountMismatch,
    PagingBroken,
    PartBusy,
    QueryRefused,
    StateUnavailable,
    ZohoPageTokenExpired,
    ZohoQueryRefused,
)
from crm_export.exports.attempt import LEASE_SECONDS
from crm_export.exports.model import RECORDS, DroppedField, ExportState, PartState
from crm_export.exports.records import check_readable
from crm_export.zoho.records import BY_ID, BY_MODIFIED_TIME, Cursor, RecordPage

EARLY = "2026-11-22T10:00:00+00:00"
LATE = "2026-11-22T12:55:00+00:00"  # so near to the export's beginning that clocks may disagree about it


def page(*ids, then=None, time=EARLY):
    return RecordPage([{"id": str(one), "Modified_Time": time} for one in ids], then)


def since(second, *edge):
    return Cursor(by_time=True, since=datetime(2026, 11, 22, 10, 0, second, tzinfo=UTC), edge=edge)


def token(value, read, **more):
    return Cursor(by_time=False, page_token=value, read=read, **more)


@pytest.fixture
def by_time(one_export):
    one_export.create(module="Notes", source=RECORDS, fields=["Note_Title"], read_order="Modified_Time")
    return one_export


@pytest.fixture
def by_id(one_export):
    one_export.create(module="Notes", source=RECORDS, fields=["Note_Title"], read_order="id")
    return one_export


# --- which queries can be read, and how ---


@pytest.mark.parametrize(
    ("query", "page", "reason"),
    [
        ({"criteria": {}}, 1, "criteria"),
        ({}, 2, "page"),
        ({"fields": ["Note_Title", "Owner.email"]}, 1, r"fields\[1\]"),
    ],
)
def test_query_that_the_records_api_cannot_answer_is_refused(query, page, reason):
    with pytest.raises(QueryRefused, match=reason):
        check_readable("Notes", query, page)


@pytest.mark.parametrize("query", [{}, {"fields": "all"}, {"fields": ["Note_Title"], "cvid": "1"}], ids=str)
def test_query_that_the_records_api_can_answer_is_accepted(query):
    check_readable("Notes", query, 1)


@pytest.mark.parametrize(
    ("query", "pages", "order", "cursors"),
    [
        ({}, [page(1)], "Modified_Time", [BY_MODIFIED_TIME]),
        ({}, [ZohoQueryRefused("no such field"), page(1)], "id", [BY_MODIFIED_TIME, BY_ID]),
        ({}, [PagingBroken("no times"), page(1)], "id", [BY_MODIFIED_TIME, BY_ID]),
        ({"cvid": "1"}, [page(1)], "id", [BY_ID]),
    ],
    ids=["times", "refused", "no times", "custom view"],
)
def test_settle_chooses_the_order_by_time_wherever_zoho_has_it(one_export, query, pages, order, cursors):
    one_export.create(module="Notes", source=RECORDS, query=query)
    one_export.zoho.pages = pages
    one_export.submit()
    export = one_export.export()
    assert (export.read_order, export.is_readable, export.api_version) == (order, True, "v6")
    assert one_export.zoho.cursors == cursors
    assert one_export.zoho.metadata_read == [("v6", "Notes")]
    cvid, reads = query.get("cvid"), len(cursors)
    assert one_export.zoho.pages_read == [("v6", "Notes", cvid, ["Note_Title"])] * reads
    assert one_export.download_queue.parts == [1]
    assert one_export.part().lease_owner is None


@pytest.mark.parametrize(("version", "settled"), [("v2", "v3"), ("v4", "v4"), ("v8", "v6")])
def test_settle_uses_an_api_version_with_page_tokens_and_whole_texts(one_export, version, settled):
    one_export.create(module="Notes", source=RECORDS, api_version=version)
    one_export.zoho.pages = [page(1)]
    one_export.submit()
    assert one_export.export().api_version == settled


@pytest.mark.parametrize(
    ("query", "fields", "dropped"),
    [
        ({}, ["Note_Title"], ["Attachment"]),
        ({"fields": ["Id", "Note_Title", "id", "$approved"]}, ["Note_Title", "$approved"], []),
    ],
    ids=["all", "named"],
)
def test_settle_keeps_the_fields_that_lists_contain_and_reports_the_others(
    one_export, query, fields, dropped
):
    one_export.create(module="Notes", source=RECORDS, query=query)
    one_export.zoho.names = (["Note_Title"], ["Attachment"])
    one_export.zoho.pages = [page(1)]
    one_export.submit()
    export = one_export.export()
    assert (export.fields, [field.field for field in export.fields_dropped]) == (fields, dropped)
    assert all(isinstance(field, DroppedField) and field.reason for field in export.fields_dropped)


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ({}, ["Note_Title", "Parent_Id", "Parent_Id.module", "Owner"]),
        ({"fields": "all"}, ["Note_Title", "Parent_Id", "Parent_Id.module", "Owner"]),
        ({"fields": ["Parent_Id", "Owner"]}, ["Parent_Id", "Parent_Id.module", "Owner"]),
        ({"fields": ["Owner"]}, ["Owner"]),
    ],
    ids=["none", "all", "named", "others named"],
)
def test_module_of_a_polymorphic_lookup_is_the_column_after_it_even_if_no_record_has_one(
    one_export, query, columns
):
    one_export.create(module="Notes", source=RECORDS, query=query)
    one_export.zoho.names = (["Note_Title", "Parent_Id", "Owner"], [], frozenset({"Parent_Id", "What_Id"}))
    one_export.zoho.pages = [page(), page()]
    one_export.submit()
    assert one_export.export().fields == columns
    one_export.advance()
    assert one_export.results.columns == [columns]
    assert [fields for _, _, _, fields in one_export.zoho.pages_read] == [columns] * 2


def test_settle_keeps_named_fields_if_metadata_lists_no_field(one_export):
    one_export.create(module="Notes", source=RECORDS, query={"fields": ["Note_Title"]})
    one_export.zoho.names = ([], [])
    one_export.zoho.pages = [page(1)]
    one_export.submit()
    assert one_export.export().fields == ["Note_Title"]


@pytest.mark.parametrize(
    ("name", "reason"), [("Attachment", "for single records only"), ("Nonsense", "has no such field")]
)
def test_settle_refuses_a_named_field_that_lists_do_not_contain(one_export, name, reason):
    one_export.create(module="Notes", source=RECORDS, query={"fields": ["Note_Title", name]})
    one_export.zoho.names = (["Note_Title"], ["Attachment"])
    with pytest.raises(QueryRefused, match=rf'query\.fields\[1\] is "{name}".*{reason}'):
        one_export.submit()
    assert one_export.export().state is ExportState.FAILED


# --- where a part ends ---


def test_part_ends_after_its_number_of_records_and_the_next_continues(by_time):
    by_time.limit(records_per_part=4)
    by_time.zoho.pages = [page(1, 2, then=since(1)), page(3, 4, then=since(2)), page(5)]
    by_time.advance()
    first, second = by_time.table.get_parts(by_time.export())
    assert (first.state, first.more_records) == (PartState.STORED, True)
    assert (first.records, first.expected_records) == (4, 4)
    assert (second.state, second.cursor) == (PartState.PENDING, since(2))
    assert by_time.download_queue.parts == [2]
    assert by_time.export().state is ExportState.RUNNING
    by_time.advance(2)
    assert by_time.zoho.cursors == [BY_MODIFIED_TIME, since(1), since(2)]
    assert list(by_time.results.objects.values()) == [["1", "2", "3", "4"], ["5"]]
    assert (by_time.export().state, by_time.export().records) == (ExportState.COMPLETED, 5)
    assert by_time.download_queue.parts == [2]


def test_part_ends_after_five_minutes(by_time):
    def slow_page():
        by_time.let_pass(301)
        return page(1, then=since(1))

    by_time.zoho.pages = [slow_page, page(2)]
    by_time.advance()
    assert by_time.part(2).state is PartState.PENDING


def test_part_continues_until_five_minutes_are_over(by_time):
    def slow_page():
        by_time.let_pass(300)
        return page(1, then=since(1))

    by_time.zoho.pages = [slow_page, page(2)]
    by_time.advance()
    assert by_time.part().records == 2


@pytest.mark.parametrize(("seconds", "records"), [(59.5, 1), (60, 2)])
def test_part_ends_if_less_than_a_minute_is_left(by_time, seconds, records):
    by_time.zoho.pages = [page(1, then=since(1)), page(2)]
    with deadline.clocked_by(lambda: 0.0), deadline.ends_in(seconds):
        by_time.advance()
    assert by_time.part().records == records


def test_part_continues_while_its_cursor_is_too_large_to_store(by_time):
    by_time.limit(records_per_part=2)
    large = [str(number) for number in range(5001)]
    by_time.zoho.pages = [page(1, 2, 3, then=since(1, *large)), page(4, then=since(2, "4")), page(5)]
    by_time.advance()
    assert by_time.part().records == 4
    assert by_time.part(2).cursor == since(2, "4")


def test_part_ends_at_the_largest_cursor_that_can_be_stored(by_time):
    by_time.limit(records_per_part=1)
    by_time.zoho.pages = [page(1, then=since(1, *[str(number) for number in range(5000)])), page(2)]
    by_time.advance()
    assert by_time.part().records == 1


def test_stored_part_is_read_as_settled_and_counted(by_id, metric_names):
    by_id.create(
        module="Notes",
        source=RECORDS,
        fields=["Note_Title"],
        read_order="id",
        api_version="v5",
        query={"cvid": "7"},
    )
    by_id.zoho.pages = [page(1)]
    by_id.advance()
    assert by_id.zoho.pages_read == [("v5", "Notes", "7", ["Note_Title"])]
    assert by_id.results.columns == [["Note_Title"]]
    assert metric_names() >= {"RecordsStored", "BytesStored"}


def lose_the_lease(export):
    """Let the lease run out, as of a worker that was frozen, and another worker take the part over."""
    export.repeated, frozen = [], export.repeated
    export.let_pass(LEASE_SECONDS + 1)
    export.claim("another", 0)
    export.repeated = [work for work in frozen if work()]


def test_lease_is_renewed_while_a_page_is_awaited_and_reading_stops_when_it_is_taken_over(by_time):
    leases = []

    def slow_page():
        by_time.let_pass(100)
        leases.append(by_time.part().lease_until - by_time.now)
        return page(len(leases), then=since(len(leases)))

    def page_after_takeover():
        lose_the_lease(by_time)
        return page(9)

    by_time.zoho.pages = [slow_page, slow_page, slow_page, page_after_takeover]
    with pytest.raises(PartBusy):
        by_time.advance()
    assert leases == [timedelta(seconds=80)] * 3
    assert by_time.results.objects == {}
    assert by_time.part().state is PartState.PENDING


def test_worker_whose_lease_is_taken_over_while_it_stores_changes_nothing(by_time):
    store_records = by_time.results.store_records

    def store_slowly(*arguments, **named):
        stored = store_records(*arguments, **named)
        lose_the_lease(by_time)
        return stored

    by_time.results.store_records = store_slowly
    by_time.limit(records_per_part=1)
    by_time.zoho.pages = [page(1, then=since(1))]
    by_time.advance()
    assert (by_time.part().state, by_time.download_queue.parts) == (PartState.PENDING, [])


# --- no record twice ---


def test_object_of_a_lost_attempt_with_the_same_records_is_taken(by_time):
    by_time.results.objects[by_time.export().part_key(1)] = ["1", "2"]
    by_time.zoho.pages = [page(1, 2)]
    by_time.advance()
    assert by_time.export().state is ExportState.COMPLETED


def test_object_of_a_lost_attempt_with_other_records_restarts_the_export(by_time):
    by_time.results.objects[by_time.export().part_key(1)] = ["1", "2"]
    by_time.zoho.pages = [page(1, 3)]
    by_time.advance()
    assert (by_time.export().generation, by_time.download_queue.parts) == (2, [2])


def test_stored_records_are_marked_also_if_the_table_is_unavailable_for_half_a_minute(by_time):
    mark_read, since_when = by_time.table.mark_read, []

    def refuse_for_half_a_minute(*arguments, **named):
        since_when.append(by_time.now)
        if (by_time.now - since_when[0]).total_seconds() < 30:
            raise StateUnavailable("down")
        return mark_read(*arguments, **named)

    by_time.table.mark_read = refuse_for_half_a_minute
    by_time.zoho.pages = [page(1)]
    by_time.advance()
    assert by_time.export().state is ExportState.COMPLETED


def test_record_that_changes_while_its_part_is_read_is_stored_once(by_time):
    by_time.zoho.pages = [page(1, 2, then=since(1)), page(3, then=since(2)), page(1, 4, time=LATE)]
    by_time.advance()
    assert list(by_time.results.objects.values()) == [["1", "2", "3", "4"]]
    assert by_time.export().records == 4


def test_record_of_an_earlier_part_that_changes_is_stored_once(by_time):
    by_time.limit(records_per_part=2)
    by_time.zoho.pages = [
        page(1, 2, then=since(1)),
        page(3, 4, then=since(2)),
        page(1, 3, 5, time=LATE),
    ]
    for number in (1, 2, 3):
        by_time.advance(number)
    assert list(by_time.results.objects.values()) == [["1", "2"], ["3", "4"], ["5"]]
    assert (by_time.export().state, by_time.export().records) == (ExportState.COMPLETED, 5)


def test_ids_of_earlier_parts_are_read_only_if_a_record_changed(by_time):
    by_time.limit(records_per_part=1)
    by_time.zoho.pages = [page(1, then=since(1)), page(2)]
    by_time.advance()
    del by_time.results.objects[by_time.part().key]  # reading it would raise KeyError
    by_time.advance(2)
    assert by_time.part(2).state is PartState.STORED


@pytest.mark.parametrize(
    ("time", "reads"),
    [("2026-11-22T12:49:59+00:00", 0), ("2026-11-22T12:50:00+00:00", 1), (LATE, 1)],
    ids=["before", "ten minutes", "after"],
)
def test_ids_of_earlier_parts_are_read_once_from_ten_minutes_before_the_export(by_time, time, reads):
    read = []
    by_time.limit(records_per_part=2)
    by_time.zoho.pages = [page(1, 2, then=since(1)), page(3, then=since(2), time=time), page(4, time=time)]
    by_time.advance()
    read_ids = by_time.results.read_ids
    by_time.results.read_ids = lambda key: read.append(key) or read_ids(key)
    by_time.advance(2)
    assert read == [by_time.part().key] * reads


def test_lease_is_renewed_while_the_ids_of_earlier_parts_are_read(by_time):
    leases = []
    by_time.limit(records_per_part=1)
    by_time.zoho.pages = [page(1, then=since(1)), page(2, then=since(2)), page(3, time=LATE)]
    by_time.advance(1)
    by_time.advance(2)

    def read_slowly(key):
        by_time.let_pass(100)
        leases.append(by_time.part(3).lease_until - by_time.now)
        return []

    by_time.results.read_ids = read_slowly
    by_time.advance(3)
    assert leases == [timedelta(seconds=80)] * 2


@pytest.mark.parametrize("order", ["by_time", "by_id"])
def test_record_that_is_listed_twice_is_stored_once(order, request):
    export = request.getfixturevalue(order)
    export.zoho.pages = [page(1, 2, 1, 2, then=token("t", 4)), page(2, 3, 3)]
    export.advance()
    assert list(export.results.objects.values()) == [["1", "2", "3"]]
    assert export.export().records == 3


@pytest.mark.parametrize("ids", [(1, 2, 3), ("a-1", "b", "007"), ("9" * 19, "9" * 20, "9" * 64)], ids=str)
def test_record_of_an_earlier_part_that_page_tokens_list_again_is_stored_once(by_id, ids):
    first, second, third = ids
    by_id.limit(records_per_part=2)
    by_id.zoho.pages = [
        page(first, second, then=token("t", 2)),
        page(second, third, then=token("u", 4)),
        page(first, "7"),
    ]
    for number in (1, 2, 3):
        by_id.advance(number)
    assert [record for part in by_id.results.objects.values() for record in part] == [*map(str, ids), "7"]
    assert by_id.export().state is ExportState.COMPLETED


def test_ids_are_only_equal_if_they_are_the_same_string(by_id):
    by_id.zoho.pages = [page("7", "07", "7 ", "007")]
    by_id.advance()
    assert list(by_id.results.objects.values()) == [["7", "07", "7 ", "007"]]


def test_page_that_was_read_again_does_not_repeat_records_of_earlier_parts(by_time):
    by_time.limit(records_per_part=2)
    by_time.zoho.pages = [page(1, 2, then=since(1)), replace(page(1, 3), again=True)]
    by_time.advance()
    by_time.advance(2)
    assert list(by_time.results.objects.values()) == [["1", "2"], ["3"]]
    assert by_time.export().state is ExportState.COMPLETED


# --- pages that lead nowhere ---


def test_second_page_in_a_row_without_a_new_record_fails_the_export(by_id):
    by_id.zoho.pages = [
        page(1, 2, then=token("a", 2)),
        page(1, 2, then=token("b", 4)),
        page(2, then=token("c", 6)),
    ]
    with pytest.raises(PagingBroken, match="two pages in a row contained only records that were read"):
        by_id.advance()
    assert by_id.export().failure.code == "PAGING_BROKEN"
    assert by_id.results.objects == {}


def test_single_pages_without_a_new_record_are_read_over(by_id):
    pages = [(1, 2), (1,), (3,), (), (4,)]
    by_id.zoho.pages = [page(*ids, then=token(f"t{n}", n)) for n, ids in enumerate(pages)] + [page(1)]
    by_id.advance()
    assert list(by_id.results.objects.values()) == [["1", "2", "3", "4"]]


def test_last_page_may_be_the_second_in_a_row_without_a_new_record(by_id):
    by_id.zoho.pages = [page(1, then=token("a", 1)), page(1, then=token("b", 2)), page(1)]
    by_id.advance()
    assert by_id.export().records == 1


def test_page_without_a_new_record_at_the_end_of_a_part_counts_in_the_next(by_id):
    def slow_page():
        by_id.let_pass(301)
        return page(1, then=token("b", 2))

    by_id.zoho.pages = [page(1, then=token("a", 1)), slow_page, page(1, then=token("c", 3))]
    by_id.advance()
    assert by_id.part(2).cursor == token("b", 2, barren=True)
    with pytest.raises(PagingBroken):
        by_id.advance(2)


def test_pages_in_a_ring_are_read_by_id_after_the_order_of_time_failed(by_time):
    by_time.zoho.pages = [page(1, 2, then=since(1)), page(1, then=since(1)), page(2, 1, then=since(1))]
    by_time.advance()
    assert (by_time.export().generation, by_time.export().read_order) == (2, "id")
    assert by_time.results.objects == {}


def test_changed_records_that_fill_several_pages_are_no_ring(by_time):
    later = "2026-11-22T12:56:00+00:00"
    by_time.zoho.pages = [
        page(1, 2, 3, then=since(1)),
        page(1, then=since(2), time=LATE),
        page(2, then=since(2), time=LATE),
        page(3, then=since(2), time=LATE),
        page(1, then=since(3), time=later),
        page(4),
    ]
    by_time.advance()
    assert list(by_time.results.objects.values()) == [["1", "2", "3", "4"]]


# --- snapshots ---


@pytest.mark.parametrize(
    ("pages", "snapshot"),
    [
        ([page(1, 2)], True),
        ([page()], True),
        ([replace(page(1, 2), one_response=False)], False),
        ([page(1, then=since(1)), page(2)], False),
        ([page(1, then=since(1)), page()], False),
    ],
    ids=["one page", "empty", "several responses", "two pages", "empty second page"],
)
def test_export_is_a_snapshot_only_if_one_response_had_all_records(by_time, pages, snapshot):
    by_time.zoho.pages = list(pages)
    by_time.advance()
    (manifest,) = by_time.results.manifests.values()
    assert manifest["snapshot"] is snapshot


def test_export_of_several_parts_is_no_snapshot(by_time):
    by_time.limit(records_per_part=1)
    by_time.zoho.pages = [page(1, then=since(1)), page(2)]
    by_time.advance()
    by_time.advance(2)
    (manifest,) = by_time.results.manifests.values()
    assert manifest["snapshot"] is False


def test_records_found_by_page_token_are_stored_as_listed(by_id):
    by_id.zoho.pages = [page(1, 2, then=token("t", 2)), page(3, time=None)]
    by_id.advance()
    assert by_id.zoho.cursors == [BY_ID, token("t", 2)]
    assert list(by_id.results.objects.values()) == [["1", "2", "3"]]


def test_part_with_another_number_of_records_than_listed_is_not_stored(by_time):
    store_records = by_time.results.store_records
    by_time.results.store_records = lambda *arguments, **named: replace(
        store_records(*arguments, **named), records=1
    )
    by_time.zoho.pages = [page(1, 2)]
    with pytest.raises(CountMismatch, match="contains 1 records; Zoho listed 2"):
        by_time.advance()
    assert by_time.part().state is PartState.PENDING


# --- restarts ---


def test_expired_page_token_restarts_the_export(by_id):
    by_id.zoho.pages = [page(1, then=token("t", 1)), ZohoPageTokenExpired("expired")]
    by_id.advance()
    export = by_id.export()
    assert (export.generation, export.first_part, by_id.download_queue.parts) == (2, 2, [2])
    by_id.zoho.pages = [page(1, 2)]
    by_id.advance(2)
    assert by_id.export().records == 2
    assert len(by_id.results.objects) == 1


def test_records_that_cannot_be_read_by_time_are_read_again_by_id(by_time):
    by_time.zoho.pages = [page(1, then=since(1)), PagingBroken("not in order")]
    by_time.advance()
    export = by_time.export()
    assert (export.generation, export.read_order, by_time.download_queue.parts) == (2, "id", [2])
    by_time.zoho.pages = [page(1, 2)]
    by_time.advance(2)
    assert by_time.zoho.cursors[-1] == BY_ID
    assert by_time.export().records == 2


def test_records_that_cannot_be_read_by_id_fail_the_export(by_id):
    by_id.zoho.pages = [PagingBroken("no next page")]
    with pytest.raises(PagingBroken):
        by_id.advance()
    assert by_id.export().failure.code == "PAGING_BROKEN"


def test_reader_of_an_earlier_generation_changes_nothing(by_time):
    def page_after_restart():
        by_time.restart(2)
        raise PagingBroken("not in order")

    by_time.zoho.pages = [page_after_restart]
    by_time.advance()
    assert (by_time.export().generation, by_time.export().read_order) == (2, "Modified_Time")
    assert by_time.download_queue.parts == []


def test_first_part_of_a_generation_has_no_earlier_parts(by_time):
    by_time.restart(2)
    by_time.zoho.pages = [page(1, time=LATE)]
    by_time.advance(2)
    assert by_time.export().records == 1
