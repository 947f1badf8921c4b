"""Metadata: cached for ten minutes, and never required to check a request."""

import pytest
import requests
import responses

from crm_export import deadline, errors
from crm_export.system import System
from crm_export.zoho.client import ZohoClient
from crm_export.zoho.metadata import Field, choose_fields, describe_fields, get_fields, known_modules

API = "https://www.zohoapis.eu"
MODULES, FIELDS = f"{API}/crm/v8/settings/modules", f"{API}/crm/v8/settings/fields"
DENIED = {"code": "OAUTH_SCOPE_MISMATCH", "message": "scope", "status": "error", "details": {}}
BUSY = {"code": "TOO_MANY_REQUESTS", "message": "later", "status": "error", "details": {}}


class Tokens:
    """A TokenSource with one token, or the error to raise instead."""

    error = None

    def token(self, rejected=None):
        if self.error:
            raise self.error
        return "token"


@pytest.fixture
def zoho():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def tokens():
    return Tokens()


@pytest.fixture
def client(tokens):
    return ZohoClient(requests.Session(), API, tokens, System(sleep=lambda _seconds: None))


def test_fields_without_a_usable_name_are_skipped(zoho, client):
    items = [{"api_name": "Email", "data_type": "email"}, {"api_name": 7}, {"data_type": "text"}, "x"]
    zoho.get(FIELDS, json={"fields": items})
    assert get_fields(client, "v8", "Contacts") == [Field("Email", "email")]


@pytest.mark.parametrize(
    ("module", "field", "is_polymorphic"),
    [
        ("Custom", {"api_name": "For", "data_type": "multi_module_lookup"}, True),
        ("Custom", {"api_name": "For", "data_type": "lookup", "lookup": {"module": "se_module"}}, True),
        ("Custom", {"api_name": "For", "lookup": {"module": {"api_name": "se_module"}}}, True),
        ("Notes", {"api_name": "Parent_Id", "data_type": "lookup"}, True),
        ("Subform", {"api_name": "Parent_Id", "data_type": "lookup"}, False),
        ("Tasks", {"api_name": "Who_Id", "lookup": {"module": {"api_name": "Contacts"}}}, False),
        ("Tasks", {"api_name": "Who_Id", "lookup": None}, False),
        ("Tasks", {"api_name": "Who_Id", "lookup": {"module": 7}}, False),
    ],
)
def test_lookup_of_several_modules_is_polymorphic(zoho, client, module, field, is_polymorphic):
    zoho.get(f"{FIELDS}?module={module}", json={"fields": [field]})
    assert [found.is_polymorphic for found in get_fields(client, "v8", module)] == [is_polymorphic]


def test_choose_fields_asks_for_the_module_of_a_polymorphic_lookup_within_fifty(zoho, client):
    names = [f"F{number}" for number in range(49)]
    zoho.get(FIELDS, json={"fields": [{"api_name": name} for name in ["Parent_Id", *names]]})
    chosen, left_out = choose_fields(client, "v8", "Notes")
    assert chosen == ["Parent_Id", *names[:48], "$se_module"]
    assert left_out == names[48:]


def test_fields_of_no_content_are_none(zoho, client):
    zoho.get(FIELDS, status=204)
    assert get_fields(client, "v8", "Contacts") == []


def test_choose_fields_puts_fifty_in_zohos_order_and_names_the_others(zoho, client):
    names = [f"F{number}" for number in range(60)] + ["Owner", "Created_Time"]
    items = [{"api_name": name, "data_type": "text"} for name in names]
    items.insert(3, {"api_name": "Items", "data_type": "subform"})
    zoho.get(FIELDS, json={"fields": items})
    chosen, left_out = choose_fields(client, "v8", "Contacts")
    assert chosen == [*names[:48], "Owner", "Created_Time"]
    assert left_out == ["Items", *names[48:60]]


@pytest.mark.parametrize(
    ("response", "says"),
    [({"status": 401, "json": DENIED}, "ZohoCRM.settings.fields.READ"), ({"status": 204}, "no fields")],
)
def test_choose_fields_without_metadata_asks_the_caller_to_name_them(zoho, client, response, says):
    zoho.get(FIELDS, **response)
    with pytest.raises(errors.InvalidRequest, match=says):
        choose_fields(client, "v8", "Contacts")


def test_known_modules_returns_api_names(zoho, client):
    zoho.get(MODULES, json={"modules": [{"api_name": "Leads"}, {"api_name": "Projects"}, {}, "x"]})
    assert known_modules(client, "v8") == ["Leads", "Projects"]


def test_metadata_is_requested_once_in_ten_minutes(zoho, tokens):
    now = [1000.0]
    client = ZohoClient(requests.Session(), API, tokens, System(monotonic=lambda: now[0]))
    modules = zoho.get(MODULES, json={"modules": []})
    fields = zoho.get(FIELDS, json={"fields": []})
    for _ in range(3):
        known_modules(client, "v8")
        get_fields(client, "v8", "Contacts")
    assert (modules.call_count, fields.call_count) == (1, 1)
    now[0] += 601
    known_modules(client, "v8")
    assert modules.call_count == 2


@pytest.mark.parametrize(
    "response",
    [
        {"status": 401, "json": DENIED},
        {"status": 429, "json": BUSY},
        {"status": 502, "body": "<html>"},
        {"body": "<html>"},
        {"json": {"modules": None}},
        {"json": []},
        {"body": requests.ConnectionError()},
        {"body": requests.Timeout()},
    ],
)
def test_known_modules_is_none_if_they_cannot_be_read(zoho, client, response):
    failing = zoho.get(MODULES, **response)
    assert known_modules(client, "v8") is None
    assert failing.call_count == 1


def test_known_modules_is_none_without_time(client):
    with deadline.ends_in(0.0):
        assert known_modules(client, "v8") is None


@pytest.mark.parametrize(
    "error", [errors.StoreUnavailable("down"), errors.ZohoThrottled("later"), errors.ZohoTimeout("late")]
)
def test_known_modules_is_none_without_an_access_token(client, tokens, error):
    tokens.error = error
    assert known_modules(client, "v8") is None


@pytest.mark.parametrize("error", [errors.ZohoClientRejected("secret"), errors.TokenInvalidated("token")])
def test_known_modules_raises_what_no_export_could_survive(client, tokens, error):
    tokens.error = error
    with pytest.raises(type(error)):
        known_modules(client, "v8")


@pytest.mark.parametrize(
    ("item", "described"),
    [
        ({"json_type": "double", "decimal_place": 2}, {"json_type": "double", "decimal_place": 2}),
        ({"formula": {"return_type": "currency"}}, {"return_type": "currency"}),
        ({"formula": {}, "rollup_summary": {"return_type": "integer"}}, {"return_type": "integer"}),
        ({"json_type": 7, "decimal_place": "2", "formula": "x"}, {}),
        ({"json_type": "a b\n", "decimal_place": True, "formula": {"return_type": None}}, {}),
        ({"decimal_place": 10**9}, {}),
    ],
)
def test_field_is_described_as_far_as_zoho_does(zoho, client, item, described):
    zoho.get(FIELDS, json={"fields": [{"api_name": "Amount", "data_type": "currency", **item}]})
    unknown = {"json_type": None, "decimal_place": None, "return_type": None}
    assert describe_fields(client, "v8", "Deals") == [
        {"api_name": "Amount", "data_type": "currency", **unknown, **described}
    ]
