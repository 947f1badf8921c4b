"""The reader of records: pages of the page API, and whole modules from a Zoho that breaks its promises."""

import json
from dataclasses import replace

import pytest

from crm_export import strict_json
from crm_export.errors import (
    PagingBroken,
    ResultError,
    ZohoPaginationLimit,
    ZohoQueryRefused,
    ZohoUnavailable,
)
from crm_export.zoho.records import (
    BY_ID,
    BY_MODIFIED_TIME,
    Cursor,
    PageRequest,
    PageResponse,
    RecordPage,
    RecordsReader,
    with_module_columns,
)
from crm_export.zoho.transport import ZohoResponse


class FakeZoho:
    """Responds to each request with the next of `pages`: (records, info), a status, or a body."""

    def __init__(self, *pages):
        self.pages = list(pages)
        self.requests = []
        self.metadata = {}

    def request(self, method, path, *, params, headers, scopes):
        self.requests.append((params, headers))
        page = self.pages.pop(0)
        if isinstance(page, int):
            return ZohoResponse(page, {}, b"")
        if isinstance(page, bytes):
            return ZohoResponse(200, {}, page)
        return ZohoResponse(200, {}, json.dumps({"data": page[0], "info": page[1]}).encode())


def record(number, second=None):
    time = {"Modified_Time": f"2026-01-01T00:00:{second:02d}+05:30"} if second is not None else {}
    return {"id": str(number), **time}


def more(token="t"):
    return {"more_records": True, "next_page_token": token}


LAST = {"more_records": False}


def page(zoho, cursor, fields=("Note_Title",), cvid=None, **limits):
    """Read one page of Notes; a dict is a cursor as it is stored."""
    if isinstance(cursor, dict):
        cursor = Cursor.from_json(cursor)
    return RecordsReader(zoho, **limits).read_page("v6", "Notes", cvid, list(fields), cursor)


def read_all(zoho, cursor=BY_MODIFIED_TIME, **limits):
    """Return the ids of all pages from a cursor on, which is stored between pages."""
    ids = []
    while cursor is not None:
        found = page(zoho, Cursor.from_json(json.loads(json.dumps(cursor.to_json()))), **limits)
        ids += [item["id"] for item in found.records]
        cursor = found.next
    return ids


def test_page_by_time_starts_a_second_before_the_last_time_without_known_records():
    zoho = FakeZoho(
        ([record(1, 1), record(2, 5)], more()), ([record(2, 5), record(3, 5), record(4, 9)], LAST)
    )
    first = page(zoho, BY_MODIFIED_TIME)
    assert (first.next.since.isoformat(), first.next.edge) == ("2026-01-01T00:00:04+05:30", ("2",))
    second = page(zoho, first.next)
    assert [item["id"] for item in second.records] == ["3", "4"]
    assert second.next is None
    assert zoho.requests[1][1] == {"If-Modified-Since": "2026-01-01T00:00:04+05:30"}
    assert "page_token" not in zoho.requests[1][0]


@pytest.mark.parametrize("cursor", [BY_MODIFIED_TIME, BY_ID, replace(BY_ID, page_token="t")])
def test_export_of_leads_asks_for_converted_ones_too(cursor):
    """Also for the fields beyond the 50 of one request, which are read by id."""
    fields = [f"Field_{number}" for number in range(60)]
    zoho = FakeZoho(([record(1, 1)], LAST), ([record(1, 1)], LAST))
    RecordsReader(zoho).read_page("v6", "Leads", None, fields, cursor)
    assert [params["converted"] for params, _ in zoho.requests] == ["both", "both"]


def test_export_of_other_modules_does_not_name_converted():
    zoho = FakeZoho(([record(1, 1)], LAST))
    page(zoho, BY_MODIFIED_TIME)
    assert "converted" not in zoho.requests[0][0]


def test_page_by_time_within_one_second_follows_page_tokens():
    flood = [record(number, 5) for number in range(3)]
    zoho = FakeZoho((flood, more("a")), (flood, more("b")), ([record(9, 5)], LAST))
    first = page(zoho, BY_MODIFIED_TIME)
    again = page(zoho, first.next)
    assert again.records == []
    assert again.next.page_token == "b"
    assert [item["id"] for item in page(zoho, again.next).records] == ["9"]


def test_edge_includes_the_second_before_the_last_time():
    found = [record(1, 3), record(2, 4), record(3, 5)]
    assert page(FakeZoho((found, more())), BY_MODIFIED_TIME).next.edge == ("2", "3")


def test_edge_keeps_earlier_pages_of_the_same_second():
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
    since = [headers.get("If-Modified-Since", "")[17:19] for _, headers in zoho.requests]
    assert since == ["", "03", "03", "03", "04"]
    assert [params.get("page_token") for params, _ in zoho.requests] == [None, None, "a", "b", None]


def test_edge_is_dropped_when_the_time_moves_on():
    cursor = {"since": "2026-01-01T00:00:01+05:30", "edge": ["1", "2"]}
    assert page(FakeZoho(([record(3, 2), record(4, 9)], more())), cursor).next.edge == ("4",)


@pytest.mark.parametrize(
    ("cursor", "cvid", "order"),
    [
        (BY_MODIFIED_TIME, None, {"sort_by": "Modified_Time", "sort_order": "asc"}),
        (BY_ID, None, {"sort_by": "id", "sort_order": "asc"}),
        (BY_ID, "7", {"cvid": "7"}),
    ],
)
def test_request_has_the_order_and_then_the_page_token(cursor, cvid, order):
    zoho = FakeZoho(([record(1, 1)], LAST), ([record(1, 1)], LAST))
    page(zoho, cursor, cvid=cvid)
    page(zoho, replace(cursor, page_token="t"), cvid=cvid)
    (first, _), (second, _) = zoho.requests
    given = {name: first[name] for name in first if name in {"sort_by", "sort_order", "cvid"}}
    assert given == order
    assert (first["page"], "page_token" in first) == ("1", False)
    assert (second["page_token"], "page" in second) == ("t", False)


@pytest.mark.parametrize("status", [200, 201, 202])
def test_response_without_records_raises(status):
    with pytest.raises(ZohoUnavailable):
        page(FakeZoho(status), BY_ID)


@pytest.mark.parametrize("records", [[{}], [{"id": "1,2"}], ["x"], None])
def test_malformed_record_raises(records):
    with pytest.raises(ZohoUnavailable):
        page(FakeZoho((records, LAST)), BY_ID)


@pytest.mark.parametrize(
    ("response", "cursor"),
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
def test_paging_that_leads_nowhere_raises(response, cursor):
    with pytest.raises(PagingBroken):
        page(FakeZoho(response), cursor)


@pytest.mark.parametrize("info", [None, {}, {"more_records": None}, {"more_records": "true"}])
@pytest.mark.parametrize("page_size", [2, 200], ids=["full", "not full"])
def test_page_by_id_that_does_not_say_whether_there_are_more_records_raises(info, page_size):
    with pytest.raises(ResultError, match="did not say whether there are more"):
        page(FakeZoho(([record(1), record(2)], info)), BY_ID, page_size=page_size)


@pytest.mark.parametrize("info", [None, {}, {"more_records": None}, {"more_records": "true"}])
def test_page_by_time_without_info_is_followed_until_nothing_is_new(info):
    zoho = FakeZoho(
        ([record(1, 1), record(2, 5)], info), ([record(2, 5), record(3, 9)], info), ([record(3, 9)], info)
    )
    assert read_all(zoho) == ["1", "2", "3"]


@pytest.mark.parametrize("info", [None, {}])
def test_page_by_time_without_info_raises_while_too_many_records_share_a_time(info):
    with pytest.raises(ResultError, match="did not say whether there are more"):
        page(FakeZoho(([record(1, 5), record(2, 5)], info)), BY_MODIFIED_TIME, page_size=2)


@pytest.mark.parametrize("ring", [["a", "b", "a"], ["a", "b", "c", "b"]], ids="".join)
def test_page_token_that_was_seen_before_raises(ring):
    zoho = FakeZoho(*(([record(number)], more(token)) for number, token in enumerate(ring)))
    with pytest.raises(PagingBroken, match="repeats an earlier page token"):
        read_all(zoho, BY_ID)
    assert zoho.pages == []


def test_page_token_within_one_second_that_was_seen_before_raises():
    pages = [([record(number, 5)], more(token)) for number, token in enumerate("abca")]
    with pytest.raises(PagingBroken, match="repeats an earlier page token"):
        read_all(FakeZoho(*pages), page_size=1)


def test_cursor_after_a_thousand_page_tokens_can_still_be_stored():
    cursor = BY_ID
    for number in range(1_200):
        cursor = cursor.after("Notes", more(str(number)))
    assert len(json.dumps(cursor.to_json())) < 30_000
    for recent in ("1199", "300", "200"):
        with pytest.raises(PagingBroken):
            cursor.after("Notes", more(recent))
    for forgotten in ("0", "199"):
        assert len(cursor.after("Notes", more(forgotten)).tokens) == 1_000


def test_more_records_of_one_second_than_a_page_has_are_followed_by_token_at_once():
    zoho = FakeZoho(
        ([record(1, 5), record(2, 5)], more("a")),
        ([record(3, 5), record(4, 5)], more("b")),
        ([record(5, 5), record(6, 20)], more("c")),
        ([record(6, 20), record(7, 21)], LAST),
    )
    assert read_all(zoho, page_size=2) == ["1", "2", "3", "4", "5", "6", "7"]
    assert [params.get("page_token") for params, _ in zoho.requests] == [None, "a", "b", None]
    since = [headers.get("If-Modified-Since", "")[17:19] for _, headers in zoho.requests]
    assert since == ["", "", "", "19"]


def test_more_records_than_page_tokens_reach_raise():
    three = [record(1), record(2), record(3)]
    assert page(FakeZoho((three, LAST)), BY_ID, max_records=3).next is None
    with pytest.raises(ZohoPaginationLimit):
        page(FakeZoho((three, more())), BY_ID, max_records=3)


def test_limit_of_page_tokens_counts_all_pages():
    zoho = FakeZoho(([record(1), record(2)], more("a")), ([record(3)], more("b")))
    with pytest.raises(ZohoPaginationLimit):
        page(zoho, page(zoho, BY_ID, max_records=3).next, max_records=3)


def test_further_fields_of_a_full_page_are_read_by_a_hundred_ids_at_a_time():
    names = [f"F{number}" for number in range(60)]
    found = [record(number) for number in range(200)]
    zoho = FakeZoho((found, LAST), (found[:100], LAST), (found[100:], LAST))
    records = page(zoho, BY_ID, names).records
    assert [item["id"] for item in records] == [str(number) for number in range(200)]
    assert [len(params["ids"].split(",")) for params, _ in zoho.requests[1:]] == [100, 100]


def test_modified_time_is_always_in_the_first_fifty_fields():
    names = [*(f"F{number}" for number in range(60)), "Modified_Time"]
    zoho = FakeZoho(([record(1, 1)], LAST), ([record(1)], LAST))
    (found,) = page(zoho, BY_MODIFIED_TIME, names).records
    assert found["Modified_Time"] == record(1, 1)["Modified_Time"]
    asked = [params["fields"].split(",") for params, _ in zoho.requests]
    assert (asked[0][0], asked[0].count("Modified_Time"), "Modified_Time" in asked[1]) == (
        "Modified_Time",
        1,
        False,
    )


def test_further_fields_are_read_by_id_and_a_missing_record_raises():
    names = [f"F{number}" for number in range(60)]
    listed = ([record(1), record(2)], LAST)
    zoho = FakeZoho(listed, b'{"data": [{"id": "2", "F55": 1.10}, {"id": "1", "F55": null}]}')
    found = page(zoho, BY_ID, names)
    assert strict_json.dumps(found.records) == '[{"id":"1","F55":null},{"id":"2","F55":1.10}]'
    assert not found.one_response
    assert zoho.requests[1][0]["ids"] == "1,2"
    assert zoho.requests[1][0]["fields"] == ",".join(names[50:])
    for response in (204, ([{"id": "2"}], LAST)):
        with pytest.raises(ResultError, match="did not return the fields from F50 on for .* for example 1"):
            page(FakeZoho(listed, response), BY_ID, names)


@pytest.mark.parametrize("start", [BY_ID, BY_MODIFIED_TIME])
def test_module_is_empty_only_if_zoho_says_so_twice(start):
    assert page(FakeZoho(204, 204), start) == RecordPage([], None)
    assert [item["id"] for item in page(FakeZoho(204, ([record(1, 1)], LAST)), start).records] == ["1"]


@pytest.mark.parametrize("nothing", [204, ([], LAST), ([], {}), ([], more())])
@pytest.mark.parametrize(
    "cursor", [{"page_token": "t", "read": 200}, {"since": "2026-01-01T00:00:04+05:30", "edge": ["1"]}]
)
def test_empty_page_raises_if_zoho_announced_more(nothing, cursor):
    with pytest.raises(ResultError, match="returned none"):
        page(FakeZoho(nothing), cursor)


@pytest.mark.parametrize("nothing", [204, ([], LAST), ([], more())])
@pytest.mark.parametrize("start", [BY_ID, BY_MODIFIED_TIME])
def test_empty_page_ends_the_module_if_the_page_before_now_says_that_no_records_follow(start, nothing):
    zoho = FakeZoho(([record(1, 1), record(2, 5)], more()), nothing, ([record(1, 1), record(3, 4)], LAST))
    first = page(zoho, start)
    end = page(zoho, Cursor.from_json(first.next.to_json()))
    assert ([item["id"] for item in end.records], end.next) == (["1", "3"], None)
    assert (first.again, end.again, end.one_response) == (False, True, False)
    (first_request, _, third_request) = zoho.requests
    assert first_request == third_request


@pytest.mark.parametrize("before", [([record(1, 1)], more()), ([record(1, 1)], {}), ([], {}), 204])
@pytest.mark.parametrize("start", [BY_ID, BY_MODIFIED_TIME])
def test_empty_page_raises_if_the_page_before_does_not_say_that_no_records_follow(start, before):
    zoho = FakeZoho(([record(1, 1), record(2, 5)], more()), 204, before)
    following = page(zoho, start).next
    with pytest.raises(ResultError, match="returned none"):
        page(zoho, following)
    assert zoho.pages == []


def test_page_before_an_empty_one_is_read_again_with_its_page_token():
    zoho = FakeZoho(([record(1)], more("a")), ([record(2)], more("b")), 204, ([record(2)], LAST))
    assert read_all(zoho, BY_ID) == ["1", "2", "2"]
    assert [params.get("page_token") for params, _ in zoho.requests] == [None, "a", "b", "a"]


def test_empty_first_page_that_announces_more_records_raises():
    for start in (BY_ID, BY_MODIFIED_TIME):
        with pytest.raises(ResultError, match="returned none"):
            page(FakeZoho(204, ([], more())), start)


@pytest.mark.parametrize(
    ("note", "module"),
    [
        ({"Parent_Id": {"id": "7", "module": {"api_name": "Leads", "id": "1"}}}, "Leads"),
        ({"Parent_Id": {"id": "7", "module": "Leads"}}, "Leads"),
        ({"Parent_Id": {"id": "7"}, "$se_module": "Leads"}, "Leads"),
        ({"Parent_Id": {"id": "7", "module": {"api_name": "Leads"}}, "$se_module": "Deals"}, "Leads"),
        ({"Parent_Id": {"id": "7", "module": {}}, "$se_module": "Leads"}, "Leads"),
        ({"Parent_Id": "7", "$se_module": "Leads"}, "Leads"),
        ({"Parent_Id": None, "$se_module": "Leads"}, None),
        ({"Parent_Id": {"id": "7"}}, None),
        ({"Parent_Id": {"id": "7"}, "$se_module": 7}, None),
    ],
)
def test_module_of_a_polymorphic_lookup_is_found_wherever_zoho_names_it(note, module):
    zoho = FakeZoho(([{"id": "1", **note}], LAST))
    (found,) = page(zoho, BY_ID, ["Parent_Id", "Parent_Id.module", "Note_Title"]).records
    assert found["Parent_Id.module"] == module
    assert zoho.requests[0][0]["fields"] == "Parent_Id,Note_Title,$se_module"


def test_module_of_a_lookup_is_found_if_a_further_request_has_it():
    names = [*(f"F{number}" for number in range(50)), "Parent_Id", "Parent_Id.module", "$se_module"]
    more_fields = [{"id": "1", "Parent_Id": {"id": "7"}, "$se_module": "Deals"}]
    zoho = FakeZoho(([record(1)], LAST), (more_fields, LAST))
    (found,) = page(zoho, BY_ID, names).records
    assert found["Parent_Id.module"] == "Deals"
    assert zoho.requests[1][0]["fields"] == "Parent_Id,$se_module"


def test_module_columns_follow_their_lookups():
    assert with_module_columns(["A", "Parent_Id", "B"], frozenset({"Parent_Id", "What_Id"})) == [
        "A",
        "Parent_Id",
        "Parent_Id.module",
        "B",
    ]


def test_not_modified_without_the_header_raises():
    with pytest.raises(ZohoUnavailable):
        page(FakeZoho(304), BY_ID)


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"since": None},
        {"page_token": "t", "read": 200},
        {"since": "2026-01-01T00:00:04+05:30", "edge": ["1", "2"]},
        {"since": "2026-01-01T00:00:04+00:00"},
        {"since": "2026-01-01T00:00:04+05:30", "edge": ["1"], "page_token": "t"},
        {"since": None, "edge": ["1"], "page_token": "t", "tokens": ["0a"], "before": {"since": None}},
        {"page_token": "t", "read": 9, "tokens": ["0a", "0b"], "barren": True, "before": {}},
    ],
)
def test_cursor_is_stored_and_read_back_unchanged(stored):
    assert Cursor.from_json(stored).to_json() == stored
    assert Cursor.from_json({}) == BY_ID
    assert Cursor.from_json({"since": None}) == BY_MODIFIED_TIME


def test_times_with_fractions_move_on_by_whole_seconds():
    times = [{"id": "1", "Modified_Time": "2026-01-01T00:00:05.900+05:30"}]
    cursor = {"since": "2026-01-01T00:00:04+05:30", "edge": ["0"]}
    following = page(FakeZoho((times, more("u"))), cursor).next
    assert (following.since.second, following.edge, following.page_token) == (4, ("0", "1"), "u")


# --- the page API ---


def test_get_page_returns_numbers_and_info_as_zoho_sent_them():
    body = b'{"data":[{"id":"1","A":[1.10,-0.0,1E+2,1234567890123456.78,7]}],"info":{"page":2,"count":1}}'
    zoho = FakeZoho(body)
    found = RecordsReader(zoho).get_page("v2", "Deals", PageRequest(page=2, sort_by="Amount"))
    assert strict_json.dumps({"data": found.data, "info": found.info}).encode() == body
    assert zoho.requests == [({"page": "2", "per_page": "10", "sort_by": "Amount"}, {})]


@pytest.mark.parametrize(("count", "more"), [(4, False), (5, True)])
@pytest.mark.parametrize("info", [None, {}])
def test_get_page_without_info_describes_the_page_and_expects_more_after_a_full_one(count, more, info):
    zoho = FakeZoho(([record(number) for number in range(count)], info))
    page = RecordsReader(zoho).get_page("v2", "Deals", PageRequest(page=3, per_page=5))
    assert page.info == {"page": 3, "per_page": 5, "count": count, "more_records": more}


@pytest.mark.parametrize("status", [204, 304])
def test_get_page_without_records_is_an_empty_page(status):
    request = PageRequest(per_page=5, modified_since="2026-01-01T00:00:00+05:30")
    page = RecordsReader(FakeZoho(status)).get_page("v2", "Deals", request)
    assert page == PageResponse([], {"page": 1, "per_page": 5, "count": 0, "more_records": False})


def test_get_page_raises_an_error_with_the_status_of_a_success():
    zoho = FakeZoho(b'{"code": "INVALID_MODULE", "message": "m", "status": "error"}')
    with pytest.raises(ZohoQueryRefused):
        RecordsReader(zoho).get_page("v2", "Leads", PageRequest())


def test_first_page_of_a_window_is_empty_if_nothing_has_changed():
    """A run of changes begins with a time; that nothing was modified since is no fault of Zoho's."""
    zoho = FakeZoho(304, 304)
    window = replace(BY_MODIFIED_TIME, since=strict_json.moment("2026-11-22T13:00:00+00:00"))
    found = page(zoho, window)
    assert (found.records, found.next) == ([], None)


def test_module_whose_last_record_has_no_modified_time_is_not_read_in_that_order():
    """Zoho lists it after all others, and on no page that begins at a time."""
    zoho = FakeZoho(([{"id": "7", "Modified_Time": None}], {"more_records": True}))
    with pytest.raises(PagingBroken):
        RecordsReader(zoho).check_times("v6", "Notes")
    assert zoho.requests[0][0]["sort_order"] == "desc"
