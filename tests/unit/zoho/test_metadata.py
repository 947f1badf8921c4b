"""Metadata: read once in ten minutes, walked through lookups, and never needed."""

import time

import pytest
import requests
import responses

from crm_export import errors
from crm_export.zoho import metadata as kept
from crm_export.zoho.client import ZohoClient
from crm_export.zoho.metadata import Metadata

API = "https://www.zohoapis.eu"
MODULES, FIELDS = f"{API}/crm/v8/settings/modules", f"{API}/crm/v8/settings/fields"
DENIED = {"code": "OAUTH_SCOPE_MISMATCH", "message": "scope", "status": "error", "details": {}}
NO_MODULE = {"code": "INVALID_MODULE", "message": "invalid", "status": "error", "details": {}}
BUSY = {"code": "TOO_MANY_REQUESTS", "message": "later", "status": "error", "details": {}}


class Tokens:
    """A TokenSource with one token, or the error that stands for it."""

    error = None

    def token(self):
        if self.error:
            raise self.error
        return "token"

    def discard(self, token):
        pass

    def invalidate(self):
        pass


def field(api_name, data_type, lookup=None):
    return {"api_name": api_name, "data_type": data_type, "lookup": lookup or {}}


CONTACTS = [
    field("Last_Name", "text"),
    field("Owner", "ownerlookup"),
    field("Account_Name", "lookup", {"module": {"api_name": "Accounts", "id": "1"}}),
    field("Campaign", "lookup", {"module": "Campaigns"}),
    field("Who", "lookup"),
    {"api_name": "Odd", "lookup": "x"},
    {"api_name": 7},
    "x",
]
ACCOUNTS = [
    field("Phone", "phone"),
    field("Parent_Account", "lookup", {"module": {"api_name": "Accounts"}}),
]


@pytest.fixture
def zoho():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def tokens():
    return Tokens()


@pytest.fixture
def client(tokens):
    return ZohoClient(requests.Session(), API, tokens)


def metadata(client):
    """Metadata as a new request has it."""
    return Metadata(client, "v8")


def fields_of(zoho, module, **answer):
    matcher = responses.matchers.query_param_matcher({"module": module})
    return zoho.get(FIELDS, match=[matcher], **answer)


def test_the_type_of_a_field_and_of_a_looked_up_records(zoho, client):
    fields_of(zoho, "Contacts", json={"fields": CONTACTS})
    fields_of(zoho, "Accounts", json={"fields": ACCOUNTS})
    fields_of(zoho, "Campaigns", json={"fields": [field("Status", "picklist")]})
    found = metadata(client)
    assert found.data_type("Contacts", "Last_Name") == "text"
    assert found.data_type("Contacts", "Account_Name") == "lookup"
    assert found.data_type("Contacts", "Account_Name.Phone") == "phone"
    assert found.data_type("Contacts", "Account_Name.Parent_Account.Phone") == "phone"
    assert found.data_type("Contacts", "Campaign.Status") == "picklist"


@pytest.mark.parametrize(
    "name", ["Nickname", "Owner.last_name", "Who.Phone", "Last_Name.x", "Contacts.Account_Name", "Odd.x"]
)
def test_what_metadata_does_not_tell_is_not_known(zoho, client, name):
    fields_of(zoho, "Contacts", json={"fields": CONTACTS})
    assert metadata(client).data_type("Contacts", name) is None


def test_an_empty_module_has_no_fields(zoho, client):
    fields_of(zoho, "Contacts", status=204)
    assert metadata(client).data_type("Contacts", "Last_Name") is None


def test_the_modules_are_told_by_their_api_names(zoho, client):
    zoho.get(MODULES, json={"modules": [{"api_name": "Leads"}, {"api_name": "Projects"}, {}, "x"]})
    assert metadata(client).modules() == ["Leads", "Projects"]


def test_it_is_asked_once_in_ten_minutes(zoho, client, monkeypatch):
    modules = zoho.get(MODULES, json={"modules": []})
    contacts = fields_of(zoho, "Contacts", json={"fields": CONTACTS})
    for _ in range(3):
        metadata(client).modules()
        metadata(client).data_type("Contacts", "Owner")
    assert (modules.call_count, contacts.call_count) == (1, 1)
    later = time.monotonic() + 601
    with monkeypatch.context() as patch:
        patch.setattr(kept.time, "monotonic", lambda: later)
        metadata(client).modules()
    assert modules.call_count == 2


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 401, "json": DENIED},
        {"status": 400, "json": NO_MODULE},
        {"status": 429, "json": BUSY},
        {"status": 502, "body": "<html>"},
        {"body": "<html>"},
        {"json": {"modules": None, "fields": None}},
        {"json": []},
        {"body": requests.ConnectionError()},
        {"body": requests.Timeout()},
    ],
)
def test_what_cannot_be_read_is_not_known(zoho, client, answer):
    zoho.get(MODULES, **answer)
    zoho.get(FIELDS, **answer)
    assert metadata(client).modules() is None
    assert metadata(client).data_type("Contacts", "Last_Name") is None


def test_one_module_that_cannot_be_read_hides_no_other(zoho, client):
    fields_of(zoho, "Accounts", status=400, json=NO_MODULE)
    fields_of(zoho, "Contacts", json={"fields": CONTACTS})
    found = metadata(client)
    assert found.data_type("Contacts", "Account_Name.Phone") is None
    assert found.data_type("Contacts", "Last_Name") == "text"


@pytest.mark.parametrize("answer", [{"status": 429, "json": BUSY}, {"status": 500}])
def test_a_zoho_that_is_busy_or_away_is_asked_once_by_a_request(zoho, client, answer):
    asked = zoho.get(FIELDS, **answer)
    found = metadata(client)
    for module in ("Contacts", "Accounts", "Deals"):
        assert found.data_type(module, "Owner") is None
    assert asked.call_count == 1


@pytest.mark.parametrize(
    "error", [errors.StoreUnavailable("down"), errors.ZohoThrottled("later"), errors.ZohoTimeout("late")]
)
def test_without_an_access_token_just_now_nothing_is_known(zoho, client, tokens, error):
    tokens.error = error
    assert metadata(client).modules() is None


@pytest.mark.parametrize("error", [errors.ZohoClientRejected("secret"), errors.TokenInvalidated("token")])
def test_what_no_export_could_survive_is_raised(client, tokens, error):
    tokens.error = error
    with pytest.raises(type(error)):
        metadata(client).modules()
