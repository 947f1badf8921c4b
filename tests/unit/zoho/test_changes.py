"""Whether a module has changed, and what was deleted: a Zoho that breaks its promises, and the simulator."""

import json
from datetime import UTC, datetime, timedelta
from random import Random
from urllib.parse import urlencode

import pytest
import requests
import responses

from crm_export.errors import ZohoPermissionDenied, ZohoUnavailable
from crm_export.zoho.catalog import has_deleted
from crm_export.zoho.changes import Changes, Deleted, Probe
from crm_export.zoho.client import ZohoClient
from crm_export.zoho.transport import ZohoResponse
from zoho_simulator.config import Environment, SimulatorConfig
from zoho_simulator.http.control import respond
from zoho_simulator.http.organisation import Organisation
from zoho_simulator.wire import Request

DATE = {"Date": "Sun, 22 Nov 2026 13:00:05 GMT"}
MOMENT = datetime(2026, 11, 22, 13, tzinfo=UTC)
T = "2026-11-22T18:30:00+05:30"  # MOMENT, in India


class FakeZoho:
    """Responds to each request with the next of `bodies`, the last one for good; a number is a status."""

    def __init__(self, *bodies, headers=DATE):
        self.bodies = list(bodies)
        self.headers = headers
        self.requests = []

    def request(self, method, path, *, params, scopes, headers=None):
        self.requests.append((path, params, headers))
        body = self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]
        if isinstance(body, int):
            return ZohoResponse(body, self.headers, b"")
        return ZohoResponse(200, self.headers, body if isinstance(body, bytes) else json.dumps(body).encode())


class Simulated:
    """The simulator as a ZohoClient; `token` and `clock` are those of the only user."""

    def __init__(self, **settings):
        self.now = 1_795_000_000.0
        config = SimulatorConfig(records={"Contacts": 900, "Leads": 9}, deleted={}, **settings)
        self.organisation = Organisation(
            config, Environment(None, None, lambda: self.now, Random(1)), url="https://z"
        )
        grant = {"grant_type": "refresh_token", "client_id": "1000.LOCAL", "client_secret": "local-secret"}
        body = urlencode({**grant, "refresh_token": "1000.local.refresh"}).encode()
        sent = {"Content-Type": "application/x-www-form-urlencoded"}
        token = json.loads(self._send("POST", "/oauth/v2/token", sent, body).content())["access_token"]
        self.headers = {"Authorization": f"Zoho-oauthtoken {token}"}

    def request(self, method, path, *, params, scopes, headers=None):
        response = self._send(method, f"{path}?{urlencode(params)}", {**self.headers, **headers}, b"")
        return ZohoResponse(response.status, response.headers, response.content())

    def change(self, module="Contacts", **what):
        return self.organisation.changes.apply(module, what)

    def at(self):
        return datetime.fromtimestamp(self.now, UTC)

    def _send(self, method, path, headers, body):
        return respond(self.organisation, Request.of(method, path, headers, body))


def deleted_page(*rows, more=False, kind="recycle"):
    return {
        "data": [{"id": str(n), "deleted_time": time, "type": kind} for n, time in rows],
        "info": {"more_records": more},
    }


LISTED = {"data": [{"id": "1"}], "info": {"more_records": True}}


# --- probe ---


@pytest.mark.parametrize(
    ("body", "has_changes"),
    [(LISTED, True), ({"data": [], "info": {"more_records": False}}, False), (204, False), (304, False)],
)
def test_probe_says_whether_zoho_lists_a_record_and_what_its_clock_shows(body, has_changes):
    found = Changes(FakeZoho(body)).probe("v8", "Contacts", MOMENT)
    assert found == Probe(MOMENT + timedelta(seconds=5), has_changes, None)


def test_probe_asks_for_one_id_of_the_window_and_a_second_before_it():
    zoho = FakeZoho(LISTED)
    Changes(zoho).probe("v8", "Contacts", MOMENT)
    params, since = {"fields": "id", "per_page": "1"}, {"If-Modified-Since": "2026-11-22T12:59:59+00:00"}
    assert zoho.requests == [("/crm/v8/Contacts", params, since)]


def test_probe_without_a_moment_asks_for_any_record():
    zoho = FakeZoho(LISTED)
    Changes(zoho).probe("v8", "Contacts", None)
    assert zoho.requests[0][2] == {}


@pytest.mark.parametrize("name", ["X-API-CREDITS-REMAINING", "x-api-credits-remaining"])
@pytest.mark.parametrize(("value", "credits_left"), [("4999", 4999), ("many", None), ("-1", None)])
def test_probe_reports_the_credits_that_zoho_reports(name, value, credits_left):
    found = Changes(FakeZoho(304, headers={**DATE, name: value})).probe("v8", "Contacts", MOMENT)
    assert found.credits_remaining == credits_left


@pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}])
def test_probe_without_zohos_clock_is_refused(headers):
    with pytest.raises(ZohoUnavailable, match="header Date"):
        Changes(FakeZoho(304, headers=headers)).probe("v8", "Contacts", MOMENT)


@pytest.mark.parametrize("body", [{}, {"data": {}}, [], b"{"])
def test_probe_without_a_list_is_refused(body):
    with pytest.raises(ZohoUnavailable, match="without data"):
        Changes(FakeZoho(body)).probe("v8", "Contacts", MOMENT)


@pytest.mark.parametrize("since_inclusive", [False, True])
def test_probe_sees_a_record_changed_in_the_first_second_of_the_window(since_inclusive):
    zoho = Simulated(records_since_inclusive=since_inclusive)
    zoho.change(modify=1)
    assert Changes(zoho).probe("v8", "Contacts", zoho.at()).has_changes
    assert not Changes(zoho).probe("v8", "Contacts", zoho.at() + timedelta(seconds=2)).has_changes


def test_probe_of_leads_sees_a_converted_lead():
    zoho = Simulated()
    zoho.change("Leads", convert=1)
    assert Changes(zoho).probe("v8", "Leads", zoho.at()).has_changes


# --- deletions ---


def test_deletions_are_read_until_two_passes_agree_in_any_order():
    first, second, third = (1, T), (2, T), (3, T)
    zoho = FakeZoho(
        deleted_page(first, second, more=True), deleted_page(second),  # the third has moved to the first page
        deleted_page(third, first, more=True), deleted_page(second),
        deleted_page(second, third, more=True), deleted_page(first),
    )  # fmt: skip
    found = Changes(zoho).deletions("v8", "Contacts", MOMENT)
    assert [row.record_id for row in found.rows] == ["1", "2", "3"]
    assert (found.passes, len(zoho.requests)) == (3, 6)
    assert [request[1]["page"] for request in zoho.requests] == ["1", "2"] * 3


def test_deletions_are_of_the_window_in_utc_and_sorted_by_number():
    page = deleted_page((10, T), (9, "2026-11-22T14:00:01+01:00"), (7, "2026-11-22T18:29:59+05:30"))
    zoho = FakeZoho(page)
    assert Changes(zoho).deletions("v8", "Contacts", MOMENT).rows == (
        Deleted("9", MOMENT + timedelta(seconds=1), "recycle"),
        Deleted("10", MOMENT, "recycle"),
    )
    assert zoho.requests[0][2] == {"If-Modified-Since": "2026-11-22T12:59:59+00:00"}


def test_record_deleted_twice_has_its_latest_time():
    page = deleted_page((1, T), (1, "2026-11-22T18:40:00+05:30"), (1, "2026-11-22T18:35:00+05:30"))
    (row,) = Changes(FakeZoho(page)).deletions("v8", "Contacts", MOMENT).rows
    assert row.deleted_time == MOMENT + timedelta(minutes=10)


def test_record_that_becomes_permanent_between_two_passes_is_no_change():
    zoho = FakeZoho(deleted_page((1, T)), deleted_page((1, T), kind="permanent"))
    assert Changes(zoho).deletions("v8", "Contacts", MOMENT).passes == 2


@pytest.mark.parametrize("status", [204, 304])
def test_no_deletions_are_none_after_two_passes(status):
    found = Changes(FakeZoho(status)).deletions("v8", "Contacts", MOMENT)
    assert (found.rows, found.passes) == ((), 2)


def test_list_that_keeps_changing_is_read_again_later():
    zoho = FakeZoho(*(deleted_page((n, T)) for n in range(1, 9)))
    with pytest.raises(ZohoUnavailable, match="keeps changing") as raised:
        Changes(zoho).deletions("v8", "Contacts", MOMENT)
    assert raised.value.retryable
    assert len(zoho.requests) == 6


def test_page_that_repeats_without_an_end_is_an_error():
    zoho = FakeZoho(deleted_page((1, T), more=True))
    with pytest.raises(ZohoUnavailable, match="does not end: 1 records so far"):
        Changes(zoho).deletions("v8", "Contacts", MOMENT)
    assert len(zoho.requests) < 50


@pytest.mark.parametrize(
    "body",
    [{}, {"data": []}, b"{", deleted_page((1, "x")), deleted_page(("x", T)), deleted_page((None, T))],
)
def test_unusable_list_of_deletions_is_refused(body):
    with pytest.raises(ZohoUnavailable):
        Changes(FakeZoho(body)).deletions("v8", "Contacts", MOMENT)


@pytest.mark.parametrize("order", ["any", "random", "newest"])
def test_deletions_while_the_simulators_list_is_read_are_all_found(order):
    zoho = Simulated(deleted_order=order)
    gone = zoho.change(delete=450)["deleted"]
    since = zoho.at()
    zoho.organisation.faults.add({"path": "/deleted$", "nth": 1, "change": {"Contacts": {"delete": 30}}})
    restore = {"Contacts": {"restore": gone[:5]}}
    zoho.organisation.faults.add({"path": "/deleted$", "nth": 4, "change": restore})
    found = Changes(zoho).deletions("v8", "Contacts", since)
    truth = zoho.organisation.changes.of("Contacts").deleted
    assert len(found.rows) == len(truth) == 475
    assert gone[0] not in {row.record_id for row in found.rows}
    assert found.passes >= 3


def test_deletions_cost_two_credits_for_each_page_and_pass():
    with responses.RequestsMock() as mock:
        url = "https://www.zohoapis.eu/crm/v8/Contacts/deleted"
        for page in [deleted_page((1, T), more=True), deleted_page((2, T))] * 2:
            mock.get(url, json=page)
        client = ZohoClient(requests.Session(), "https://www.zohoapis.eu", Token())
        assert Changes(client).deletions("v8", "Contacts", MOMENT).credits == 8


@pytest.mark.parametrize("code", ["INVALID_MODULE", "MODULE_NOT_SUPPORTED", "NOT_SUPPORTED"])
def test_module_that_zoho_does_not_list_may_have_changes_for_bulk_read(code):
    with responses.RequestsMock() as mock:
        url = "https://www.zohoapis.eu/crm/v8/Quoted_Items"
        mock.get(url, status=400, json={"code": code, "message": "m", "status": "error"}, headers=DATE)
        client = ZohoClient(requests.Session(), "https://www.zohoapis.eu", Token())
        probe = Changes(client).probe("v8", "Quoted_Items", None)
    assert probe == Probe(MOMENT + timedelta(seconds=5), has_changes=True, credits_remaining=None)


def test_probe_without_the_permission_to_list_a_module_is_refused():
    with responses.RequestsMock() as mock:
        body = {"code": "NO_PERMISSION", "message": "m", "status": "error"}
        mock.get("https://www.zohoapis.eu/crm/v8/Contacts", status=403, json=body, headers=DATE)
        client = ZohoClient(requests.Session(), "https://www.zohoapis.eu", Token())
        with pytest.raises(ZohoPermissionDenied):
            Changes(client).probe("v8", "Contacts", None)


class Token:
    """A source of one token."""

    def token(self, rejected=None):
        return "token-1"

    def is_own(self, token):
        return True


# --- which modules ---


@pytest.mark.parametrize(
    ("module", "generated_type", "expected"),
    [
        ("Contacts", "default", True),
        ("Projects", "custom", True),
        ("Notes", "default", False),
        ("Employees_X_Skills", "linking", False),
        ("Invoiced_Items", "subform", False),
    ],
)
def test_modules_without_a_list_of_deleted_records(module, generated_type, expected):
    assert has_deleted(module, generated_type) is expected
