"""Paging through the records API, by a Zoho that does not keep its word."""

import json

import pytest

from crm_export.errors import PagingBroken, ResultError, ZohoPaginationLimit, ZohoUnavailable
from crm_export.zoho import records as record_pages
from crm_export.zoho.records import BY_ID, BY_MODIFIED_TIME, RecordPages
from crm_export.zoho.transport import Answer


class FakeZoho:
    """Answers each request with the next of `pages`: (records, info), or a status without a body."""

    def __init__(self, *pages):
        self.pages = list(pages)
        self.asked = []
        self.metadata = {}

    def request(self, method, path, *, params, headers, scopes):
        self.asked.append((params, headers))
        page = self.pages.pop(0)
        if isinstance(page, int):
            return Answer(page, {}, b"")
        return Answer(200, {}, json.dumps({"data": page[0], "info": page[1]}).encode())


def record(number, second=None):
    time = {"Modified_Time": f"2026-01-01T00:00:{second:02d}+05:30"} if second is not None else {}
    return {"id": str(number), **time}


def more(token="t"):
    return {"more_records": True, "next_page_token": token}


LAST = {"more_records": False}


def page(zoho, cursor):
    return RecordPages(zoho).page("v6", "Notes", {}, ["Note_Title"], cursor)


def test_the_next_page_begins_a_second_before_the_last_time_and_leaves_out_what_was_read():
    zoho = FakeZoho(
        ([record(1, 1), record(2, 5)], more()), ([record(2, 5), record(3, 5), record(4, 9)], LAST)
    )
    first = page(zoho, BY_MODIFIED_TIME)
    assert first.next == {"since": "2026-01-01T00:00:04+05:30", "edge": ["2"]}
    second = page(zoho, first.next)
    assert [item["id"] for item in second.records] == ["3", "4"]
    assert second.next is None
    assert zoho.asked[1][1] == {"If-Modified-Since": "2026-01-01T00:00:04+05:30"}
    assert "page_token" not in zoho.asked[1][0]


def test_records_of_one_second_are_paged_by_token():
    flood = [record(number, 5) for number in range(3)]
    zoho = FakeZoho((flood, more("a")), (flood, more("b")), ([record(9, 5)], LAST))
    first = page(zoho, BY_MODIFIED_TIME)
    again = page(zoho, first.next)
    assert again.records == []
    assert again.next["page_token"] == "b"
    assert [item["id"] for item in page(zoho, again.next).records] == ["9"]


def test_what_was_read_within_the_second_before_the_last_time_is_left_out_too():
    found = [record(1, 3), record(2, 4), record(3, 5)]
    assert page(FakeZoho((found, more())), BY_MODIFIED_TIME).next["edge"] == ["2", "3"]


def test_what_earlier_pages_of_a_second_held_is_left_out_when_the_time_goes_on():
    zoho = FakeZoho(
        ([record(1, 4)], more("x")),
        ([record(1, 4), record(2, 4)], more("a")),
        ([record(3, 4)], more("b")),
        ([record(4, 4), record(5, 5)], more("c")),
        ([record(number, 4 if number < 5 else 5) for number in (1, 2, 3, 4, 5, 6)], LAST),
    )
    cursor, ids = BY_MODIFIED_TIME, []
    for _ in range(5):
        found = page(zoho, cursor)
        cursor = found.next
        ids.append([item["id"] for item in found.records])
    assert ids == [["1"], ["2"], ["3"], ["4", "5"], ["6"]]
    since = [headers.get("If-Modified-Since", "")[17:19] for _, headers in zoho.asked]
    assert since == ["", "03", "03", "03", "04"]
    assert [params.get("page_token") for params, _ in zoho.asked] == [None, None, "a", "b", None]


def test_the_edge_is_not_kept_longer_than_its_second():
    cursor = {"since": "2026-01-01T00:00:01+05:30", "edge": ["1", "2"]}
    assert page(FakeZoho(([record(3, 2), record(4, 9)], more())), cursor).next["edge"] == ["4"]


@pytest.mark.parametrize(
    ("cursor", "query", "order"),
    [
        (BY_MODIFIED_TIME, {}, {"sort_by": "Modified_Time", "sort_order": "asc"}),
        (BY_ID, {}, {"sort_by": "id", "sort_order": "asc"}),
        (BY_ID, {"cvid": "7"}, {"cvid": "7"}),
    ],
)
def test_the_order_is_asked_for_and_pages_are_followed_by_their_token(cursor, query, order):
    zoho = FakeZoho(([record(1, 1)], LAST), ([record(1, 1)], LAST))
    read = RecordPages(zoho).page
    read("v6", "Notes", query, ["Note_Title"], cursor)
    read("v6", "Notes", query, ["Note_Title"], {**cursor, "page_token": "t"})
    (first, _), (second, _) = zoho.asked
    given = {name: first[name] for name in first if name in {"sort_by", "sort_order", "cvid"}}
    assert given == order
    assert (first["page"], "page_token" in first) == ("1", False)
    assert (second["page_token"], "page" in second) == ("t", False)


@pytest.mark.parametrize("status", [200, 201, 202])
def test_an_answer_without_records_is_no_empty_page(status):
    with pytest.raises(ZohoUnavailable):
        page(FakeZoho(status), BY_ID)


@pytest.mark.parametrize("records", [[{}], [{"id": "1,2"}], ["x"], None])
def test_what_is_no_record_is_no_page(records):
    with pytest.raises(ZohoUnavailable):
        page(FakeZoho((records, LAST)), BY_ID)


@pytest.mark.parametrize(
    ("answer", "cursor"),
    [
        (([{"id": "1", "Modified_Time": "2026-01-01T00:00:00"}], LAST), BY_MODIFIED_TIME),
        (([record(1, 1), record(2, 5)], more()), {"since": "2026-01-01T00:00:04+05:30", "edge": []}),
        (([record(1, 5), record(2, 1)], more()), BY_MODIFIED_TIME),
        (([record(1), record(2)], more()), BY_MODIFIED_TIME),
        (([record(1)], LAST), BY_MODIFIED_TIME),
        (([record(1)], {"more_records": True}), BY_ID),
        (([record(1)], more("")), BY_ID),
        (([record(1)], more("t")), {"page_token": "t", "read": 1}),
        (([record(1, 5)], more("t")), {"since": "2026-01-01T00:00:05+05:30", "edge": [], "page_token": "t"}),
    ],
    ids=[
        "no offset", "filter ignored", "order ignored", "no times",
        "no time on the last page", "no token", "empty token", "the same token",
        "the same token within a second",
    ],
)  # fmt: skip
def test_a_paging_that_leads_nowhere_is_told(answer, cursor):
    with pytest.raises(PagingBroken):
        page(FakeZoho(answer), cursor)


@pytest.mark.parametrize("info", [None, {}, {"more_records": None}, {"more_records": "true"}])
def test_a_full_page_that_does_not_tell_whether_there_is_more_is_asked_again(info):
    with pytest.raises(ZohoUnavailable):
        page(FakeZoho(([record(number) for number in range(200)], info)), BY_ID)


def test_beyond_the_limit_of_page_tokens_is_told(monkeypatch):
    monkeypatch.setattr(record_pages, "MAX_RECORDS", 3)
    assert page(FakeZoho(([record(1), record(2), record(3)], LAST)), BY_ID).next is None
    with pytest.raises(ZohoPaginationLimit):
        page(FakeZoho(([record(1), record(2), record(3)], more())), BY_ID)


def test_the_limit_is_of_all_pages_together(monkeypatch):
    monkeypatch.setattr(record_pages, "MAX_RECORDS", 3)
    zoho = FakeZoho(([record(1), record(2)], more("a")), ([record(3)], more("b")))
    with pytest.raises(ZohoPaginationLimit):
        page(zoho, page(zoho, BY_ID).next)


def test_of_a_full_page_none_is_left_out_where_fields_come_by_ids_a_hundred_at_a_time():
    names = [f"F{number}" for number in range(60)]
    found = [record(number) for number in range(200)]
    zoho = FakeZoho((found, LAST), (found[:100], LAST), (found[100:], LAST))
    records = RecordPages(zoho).page("v6", "Notes", {}, names, BY_ID).records
    assert [item["id"] for item in records] == [str(number) for number in range(200)]
    assert [len(params["ids"].split(",")) for params, _ in zoho.asked[1:]] == [100, 100]


def test_the_time_is_asked_for_with_the_list_however_many_fields_there_are():
    names = [*(f"F{number}" for number in range(60)), "Modified_Time"]
    zoho = FakeZoho(([record(1, 1)], LAST), ([record(1)], LAST))
    (found,) = RecordPages(zoho).page("v6", "Notes", {}, names, BY_MODIFIED_TIME).records
    assert found["Modified_Time"] == record(1, 1)["Modified_Time"]
    asked = [params["fields"].split(",") for params, _ in zoho.asked]
    assert (asked[0][0], asked[0].count("Modified_Time"), "Modified_Time" in asked[1]) == (
        "Modified_Time",
        1,
        False,
    )


def test_fields_beyond_fifty_come_by_the_ids_and_none_may_be_missing():
    names = [f"F{number}" for number in range(60)]
    listed = ([record(1), record(2)], LAST)
    zoho = FakeZoho(listed, ([{"id": "2", "F55": 1.10}, {"id": "1", "F55": None}], LAST))
    found = RecordPages(zoho).page("v6", "Notes", {}, names, BY_ID)
    assert found.records == [{"id": "1", "F55": None}, {"id": "2", "F55": "1.1"}]
    assert zoho.asked[1][0]["ids"] == "1,2"
    assert zoho.asked[1][0]["fields"] == ",".join(names[50:])
    for answer in (204, ([{"id": "2"}], LAST)):
        with pytest.raises(ResultError, match="without their fields from F50 on, 1 among"):
            RecordPages(FakeZoho(listed, answer)).page("v6", "Notes", {}, names, BY_ID)


@pytest.mark.parametrize("start", [BY_ID, BY_MODIFIED_TIME])
def test_a_module_is_empty_when_zoho_says_so_twice(start):
    assert page(FakeZoho(204, 204), start) == record_pages.RecordPage([], None)
    assert [item["id"] for item in page(FakeZoho(204, ([record(1, 1)], LAST)), start).records] == ["1"]


@pytest.mark.parametrize("nothing", [204, ([], LAST), ([], {}), ([], more())])
@pytest.mark.parametrize(
    "cursor", [{"page_token": "t", "read": 200}, {"since": "2026-01-01T00:00:04+05:30", "edge": ["1"]}]
)
def test_nothing_is_not_believed_where_zoho_had_more(nothing, cursor):
    with pytest.raises(ResultError, match="gave none"):
        page(FakeZoho(nothing), cursor)


def test_not_modified_is_no_answer_to_who_did_not_ask():
    with pytest.raises(ZohoUnavailable):
        page(FakeZoho(304), BY_ID)
