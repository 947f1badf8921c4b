"""`"fields": "all"`: every field by name, except those that Bulk Read refuses."""

import json

import pytest

from tests.functional.test_bulk_read import assert_complete, rows_of


def test_fields_that_bulk_read_refuses_are_dropped_and_recorded(small_jobs):
    world = small_jobs
    world.zoho.config.patch({"records": {"Cases": 40}})
    export = world.finish(world.start("cases", query={"fields": "all"}))
    assert export["state"] == "COMPLETED", export
    dropped = {item["field"] for item in export["fields_dropped"]}
    assert "Comments" in dropped
    assert all("FIELD_NOT_" in item["reason"] for item in export["fields_dropped"])
    objects = world.objects(export["export_id"])
    manifest = json.loads(objects["manifest.json"])
    assert manifest["fields_dropped"] == export["fields_dropped"]
    assert manifest["query"] == {"fields": "all"}
    header = rows_of(objects["part-00001.csv"])[0]
    assert len(header) > 3
    assert not dropped & set(header)


def test_unsupported_field_that_the_caller_names_is_refused(world):
    status, response = world.http(
        "BulkReadSubmitter",
        "POST",
        "/v1/e/zoho/bulk-read/cases",
        body=json.dumps({"query": {"fields": ["Subject", "Comments"]}}),
    )
    assert (status, response["errno"]) == (422, 422)
    assert "Comments" in response["message"]


def test_all_fields_without_metadata_leaves_the_choice_to_zoho(small_jobs):
    world = small_jobs
    world.zoho.config.patch({"scopes": "ZohoCRM.modules.contacts.READ,ZohoCRM.bulk.ALL"})
    world.zoho.config.patch({"restricted_modules": []})
    export = world.finish(world.start(query={"fields": "all"}))
    assert (export["state"], export["records"]) == ("COMPLETED", 250), export


@pytest.mark.parametrize(
    "details",
    [
        {"api_name": "Email"},
        {"api_name": "fields", "json_path": "$.query.fields[INDEX]"},
        {"json_path": "$.query.fields[INDEX]"},
    ],
)
def test_refused_field_is_dropped_however_zoho_names_it(small_jobs, details):
    world = small_jobs
    index = index_of(world, "Email")
    refusal = {
        "code": "INVALID_DATA",
        "message": "invalid data",
        "status": "error",
        "details": json.loads(json.dumps(details).replace("INDEX", str(index))),
    }
    world.zoho.fault(method="POST", path="/read$", status=400, times=1, body=json.dumps(refusal))
    export = world.finish(world.start(query={"fields": "all"}))
    assert export["state"] == "COMPLETED", export
    assert "Email" in {item["field"] for item in export["fields_dropped"]}


def index_of(world, name):
    """Return the position of a field in the first job of an export of all fields."""
    world.start(query={"fields": "all"})
    first = world.zoho.journal.requests("/read$", "POST")[0]
    return json.loads(first["body"])["query"]["fields"].index(name)


def test_field_refused_on_a_later_page_is_missing_in_all_parts(small_jobs):
    world = small_jobs
    world.configure("BulkReadSubmitter", BULK_READ_API_VERSION="v6")
    refusal = {
        "code": "FIELD_NOT_SUPPORTED",
        "message": "x",
        "status": "error",
        "details": {"api_name": "Email"},
    }
    export_id = world.start(query={"fields": "all"})
    world.zoho.fault(method="POST", path="/read$", status=400, times=1, body=json.dumps(refusal))
    export = world.finish(export_id)
    assert_complete(world, export, 250)
    assert export["generation"] == 2
    headers = [part["header"] for part in json.loads(world.objects(export_id)["manifest.json"])["parts"]]
    assert headers[0] == headers[1] == headers[2]
    assert "Email" not in headers[0]
