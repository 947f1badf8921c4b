"""Whoever lacks a scope is told which to add."""

import json
import re

import pytest
import requests
import responses

from crm_export import errors
from crm_export.zoho.bulk_read import BulkRead, JobRequest
from crm_export.zoho.catalog import module_scope
from crm_export.zoho.client import ZohoClient
from crm_export.zoho.metadata import get_fields
from crm_export.zoho.records import BY_ID, PageRequest, RecordPages, get_records

API = "https://www.zohoapis.eu"
MISMATCH = {"code": "OAUTH_SCOPE_MISMATCH", "message": "Unauthorized", "status": "error", "details": {}}


class Tokens:
    def token(self):
        return "token-1"


@pytest.fixture
def client():
    return ZohoClient(requests.Session(), API, Tokens())


@pytest.fixture
def zoho():
    with responses.RequestsMock() as mock:
        yield mock


def job_of(module):
    return JobRequest(module, {}, "csv", 1, None, "https://x/cb")


@pytest.mark.parametrize(
    ("module", "scope"),
    [
        ("Leads", "leads"),
        ("Price_Books", "pricebooks"),
        ("Sales_Orders", "salesorders"),
        ("Purchase_Orders", "purchaseorders"),
        ("Notes", "notes"),
        ("Projects", "custom"),
        ("leads", "custom"),
    ],
)
def test_a_module_has_its_own_scope_or_that_of_custom_modules(module, scope):
    assert module_scope(module) == f"ZohoCRM.modules.{scope}.READ"


CALLS = [
    (
        lambda client: BulkRead(client).create_job("v8", job_of("Contacts")),
        "the scopes ZohoCRM.bulk.READ and ZohoCRM.modules.contacts.READ to",
    ),
    (
        lambda client: BulkRead(client).get_job("v8", "1"),
        "the scope ZohoCRM.bulk.READ to",
    ),
    (
        lambda client: BulkRead(client).open_result("v8", "1").__enter__(),
        "the scope ZohoCRM.bulk.READ to",
    ),
    (
        lambda client: get_records(client, "v2", "Price_Books", PageRequest()),
        "the scope ZohoCRM.modules.pricebooks.READ to",
    ),
    (
        lambda client: RecordPages(client).page("v6", "Notes", {}, ["Note_Title"], BY_ID),
        "the scope ZohoCRM.modules.notes.READ to",
    ),
    (lambda client: get_fields(client, "v8", "Leads"), "the scope ZohoCRM.settings.fields.READ to"),
]


@pytest.mark.parametrize(("call", "says"), CALLS)
def test_each_call_names_the_scopes_it_needs(zoho, client, call, says):
    for method in (responses.GET, responses.POST):
        zoho.add(method, re.compile(f"{API}/.*"), json=MISMATCH, status=401)
    zoho.assert_all_requests_are_fired = False
    with pytest.raises(errors.ZohoPermissionDenied) as raised:
        call(client)
    assert f"(OAUTH_SCOPE_MISMATCH: Unauthorized). Add {says} the grant." in raised.value.message


@pytest.mark.parametrize("shape", [lambda error: error, lambda error: {"data": [error]}])
@pytest.mark.parametrize("status", [200, 201, 202])
def test_an_error_under_the_status_of_a_success_is_one(zoho, client, shape, status):
    body = json.dumps(shape({"code": "MODULE_NOT_SUPPORTED", "message": "m", "status": "error"}))
    zoho.post(f"{API}/crm/bulk/v8/read", body=body, status=status)
    zoho.get(f"{API}/crm/bulk/v8/read/1", body=body, status=status)
    for call in (
        lambda: BulkRead(client).create_job("v8", job_of("Notes")),
        lambda: BulkRead(client).get_job("v8", "1"),
    ):
        with pytest.raises(errors.ZohoModuleNotSupported, match=f"HTTP {status}"):
            call()


def test_a_flat_error_instead_of_a_page_is_one(zoho, client):
    zoho.get(f"{API}/crm/v2/Leads", json={"code": "INVALID_MODULE", "message": "m", "status": "error"})
    with pytest.raises(errors.ZohoQueryRefused):
        get_records(client, "v2", "Leads", PageRequest())


def test_a_job_id_that_zohos_paths_do_not_take_is_no_job(zoho, client):
    """A callback may name anything; that must not end the export."""
    body = {"code": "INVALID_URL_PATTERN", "message": "m", "status": "error", "details": {}}
    zoho.get(f"{API}/crm/bulk/v8/read/abc", json=body, status=404)
    with pytest.raises(errors.ZohoNotFound):
        BulkRead(client).get_job("v8", "abc")
