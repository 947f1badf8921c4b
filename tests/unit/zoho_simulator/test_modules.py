"""The modules, the fields that Bulk Read refuses, and that both APIs return the same records."""

import pytest

from zoho_simulator.config import SimulatorConfig
from zoho_simulator.data.catalog import MODULES_WITH_RECORDS as LISTED

REFUSED = {
    "Calls": ["CTI_Entry"],
    "Cases": ["Comments"],
    "Events": ["Participants"],
    "Price_Books": ["Pricing_Details"],
    "Solutions": ["Comments"],
    "Invoices": ["Invoiced_Items", "Billing_Address"],
    "Purchase_Orders": ["Purchase_Items", "Billing_Address"],
    "Quotes": ["Quoted_Items", "Billing_Address"],
    "Sales_Orders": ["Ordered_Items", "Billing_Address"],
    "Inspections": ["Photos"],
    "Contacts": ["Mailing_Address", "Contract", "Events_Attended"],
    "Accounts": ["Billing_Address", "Coordinates", "nearby_distance__s"],
}
CASES = [(module, name) for module, names in REFUSED.items() for name in names]


def fields_of(client, module):
    fields = client.get(f"/crm/v8/settings/fields?module={module}").json()["fields"]
    return {field["api_name"]: field for field in fields}


@pytest.mark.parametrize(("module", "name"), CASES, ids=[f"{m}.{n}" for m, n in CASES])
def test_unexportable_field_is_listed_and_refused(client, module, name):
    assert name in fields_of(client, module)
    body = {"query": {"module": {"api_name": module}, "fields": ["Owner", name]}}
    error = client.create(body).json()
    assert (error["code"], error["details"]) == ("FIELD_NOT_SUPPORTED", {"api_name": name, "module": module})
    assert name in error["message"]


def test_every_module_can_be_exported_without_its_refused_fields(start):
    client = start(records=dict.fromkeys(LISTED, 3), downloads_per_minute=0)
    exportable = [name for name in LISTED if name != "Notes"]
    assert {"Invoices", "Price_Books", "Purchase_Orders", "Quotes", "Sales_Orders", "Solutions"} <= set(
        exportable
    )
    for module in exportable:
        header, *rows = client.rows(client.export(module))
        assert len(rows) == 3, module
        assert not set(REFUSED.get(module, ())) & set(header), module
        expected = fields_of(client, module).keys() - set(REFUSED.get(module, ()))
        assert {*header} - {"Id"} | {"id"} == expected, module


def test_every_module_has_records_by_default():
    assert {name for name, count in SimulatorConfig().records.items() if count} == set(LISTED)


def test_custom_modules_are_marked_in_the_metadata(client):
    modules = client.get("/crm/v8/settings/modules").json()["modules"]
    custom = {m["api_name"]: m["module_name"] for m in modules if m["generated_type"] == "custom"}
    assert custom == {"Projects": "CustomModule1", "Inspections": "CustomModule2"}
    assert [m["api_name"] for m in modules] == list(LISTED)


def cell(value):
    """Return a JSON value of the records API as Bulk Read writes it."""
    if isinstance(value, dict):
        return value["id"]
    if isinstance(value, list):
        return ",".join(item["name"] if isinstance(item, dict) else item for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


@pytest.mark.parametrize("module", [name for name in LISTED if name not in ("Notes", "Tasks")])
def test_both_apis_return_the_same_records(start, module):
    client = start(records={module: 60})
    header, *rows = client.rows(client.export(module))
    records = {r["id"]: r for r in client.get(f"/crm/v2/{module}").json()["data"]}
    assert [row[0] for row in rows] == sorted(records)
    for row in rows:
        record = records[row[0]]
        assert row == [cell(record["id" if name == "Id" else name]) for name in header]


def test_module_with_many_fields_needs_several_calls_of_the_records_api(start):
    client = start(records={"Inspections": 5}, bulk_unsupported={"Inspections"})
    names = [n for n in fields_of(client, "Inspections") if n not in ("id", "Photos")]
    assert len(names) > 50
    too_many = client.get("/crm/v8/Inspections?fields=" + ",".join(names[:51]))
    assert (too_many.status_code, too_many.json()["code"]) == (400, "LIMIT_EXCEEDED")
    for part in (names[:50], names[50:]):
        records = client.get("/crm/v8/Inspections?fields=" + ",".join(part)).json()["data"]
        assert [record.keys() for record in records] == [{"id", *part}] * 5
    refused = client.create({"query": {"module": {"api_name": "Inspections"}}}).json()
    assert refused["code"] == "MODULE_NOT_SUPPORTED"
    assert "Inspections" in {m["api_name"] for m in client.get("/crm/v8/settings/modules").json()["modules"]}


def test_bulk_job_for_notes_completes_without_records(start):
    client = start(bulk_notes=True)
    details = client.export("Notes")
    assert (details["state"], details["result"]["count"]) == ("COMPLETED", 0)
    header, *rows = client.rows(details)
    assert header[0] == "Id"
    assert rows == []
    assert client.get("/crm/v8/Notes?fields=Note_Title").json()["info"]["count"] == 12
