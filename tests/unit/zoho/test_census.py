"""Zoho's own counts, deletions and field types, from a Zoho that breaks its promises."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from crm_export.errors import ZohoUnavailable
from crm_export.zoho.census import Census, Count
from crm_export.zoho.transport import ZohoResponse

DATE = {"Date": "Sun, 22 Nov 2026 13:00:05 GMT"}
MOMENT = datetime(2026, 11, 22, 13, tzinfo=UTC)


class FakeZoho:
    """Responds to each request with the next of `bodies`; a number is a status."""

    def __init__(self, *bodies, headers=DATE):
        self.bodies = list(bodies)
        self.headers = headers
        self.requests = []

    def request(self, method, path, *, params, scopes, headers=None):
        self.requests.append((path, params, headers))
        body = self.bodies.pop(0)
        if isinstance(body, int):
            return ZohoResponse(body, self.headers, b"")
        return ZohoResponse(200, self.headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def deleted_page(*rows, more=False):
    return {
        "data": [{"id": str(n), "deleted_time": time} for n, time in rows],
        "info": {"more_records": more},
    }


def test_count_has_the_time_of_zohos_clock():
    zoho = FakeZoho({"count": 694})
    assert Census(zoho).count("v8", "Contacts") == Count(694, MOMENT + timedelta(seconds=5))
    assert zoho.requests == [("/crm/v8/Contacts/actions/count", {}, None)]


def test_v2_has_no_count_so_v3_is_asked():
    zoho = FakeZoho({"count": 1})
    Census(zoho).count("v2", "Contacts")
    assert zoho.requests[0][0] == "/crm/v3/Contacts/actions/count"


@pytest.mark.parametrize(
    "body", [{}, {"count": "7"}, {"count": True}, {"count": -1}, {"count": 1.5}, [], b"<html>", 204]
)
def test_count_without_a_number_is_refused(body):
    with pytest.raises(ZohoUnavailable, match="without a number"):
        Census(FakeZoho(body)).count("v8", "Contacts")


@pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}])
def test_count_without_a_time_is_refused(headers):
    with pytest.raises(ZohoUnavailable, match="header Date"):
        Census(FakeZoho({"count": 1}, headers=headers)).count("v8", "Contacts")


def test_created_since_asks_with_a_criterion_on_the_creation():
    zoho = FakeZoho({"count": 3})
    assert Census(zoho).created_since("v8", "Contacts", MOMENT) == 3
    assert zoho.requests[0][1] == {"criteria": "(Created_Time:greater_equal:2026-11-22T13:00:00+00:00)"}


def test_deleted_since_reads_all_pages_and_drops_earlier_and_repeated_rows():
    first, second = (1, "2026-11-22T18:30:00+05:30"), (2, "2026-11-22T18:29:59+05:30")
    zoho = FakeZoho(deleted_page(first, second, more=True), deleted_page(first))
    assert Census(zoho).deleted_since("v8", "Contacts", MOMENT) == [MOMENT]
    assert [request[1]["page"] for request in zoho.requests] == ["1", "2"]
    assert zoho.requests[0][2] == {"If-Modified-Since": "2026-11-22T12:59:59+00:00"}


@pytest.mark.parametrize("status", [204, 304])
def test_no_deletions_are_none(status):
    assert Census(FakeZoho(status)).deleted_since("v8", "Contacts", MOMENT) == []


def test_more_than_a_thousand_deletions_are_not_read():
    page = deleted_page((1, "2026-11-22T18:30:00+05:30"), more=True)
    zoho = FakeZoho(*[page] * 9)
    with pytest.raises(ZohoUnavailable, match="more than 1000 deletions"):
        Census(zoho).deleted_since("v8", "Contacts", MOMENT)
    assert len(zoho.requests) == 5


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": []},
        {"data": [], "info": {}},
        {"info": {"more_records": False}},
        b"{",
        deleted_page((1, "x")),
    ],
)
def test_unusable_list_of_deletions_is_refused(body):
    with pytest.raises(ZohoUnavailable):
        Census(FakeZoho(body)).deleted_since("v8", "Contacts", MOMENT)
