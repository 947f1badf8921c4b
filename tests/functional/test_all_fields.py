"""`"fields": "all"`: every field by name, less those that Bulk Read refuses."""

import json

import pytest

from tests.functional.test_bulk_read import assert_complete, finish, rows_of, small_jobs  # noqa: F401 (a fixture)


def test_fields_that_bulk_read_refuses_are_dropped_and_recorded(small_jobs):  # noqa: F811
    world = small_jobs
    world.zoho.config.patch({"records": {"Cases": 40}})
    export = finish(world, world.start("cases", query={"fields": "all"}))
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


def test_a_field_the_caller_named_is_refused(world):
    status, answer = world.http(
        "BulkReadSubmitter",
        "POST",
        "/v1/e/zoho/bulk-read/cases",
        body=json.dumps({"query": {"fields": ["Subject", "Comments"]}}),
    )
    assert (status, answer["errno"]) == (422, 422)
    assert "Comments" in answer["message"]


def test_without_metadata_all_is_zohos_own_all(small_jobs):  # noqa: F811
    world = small_jobs
    world.zoho.config.patch({"scopes": "ZohoCRM.modules.contacts.READ,ZohoCRM.bulk.ALL"})
    world.zoho.config.patch({"restricted_modules": []})
    export = finish(world, world.start(query={"fields": "all"}))
    assert (export["state"], export["records"]) == ("COMPLETED", 250), export


@pytest.mark.parametrize(
    "details",
    [
        {"api_name": "Email"},
        {"api_name": "fields", "json_path": "$.query.fields[INDEX]"},
        {"json_path": "$.query.fields[INDEX]"},
    ],
)
def test_whichever_way_zoho_names_the_field(small_jobs, details):  # noqa: F811
    world = small_jobs
    index = index_of(world, "Email")
    refusal = {
        "code": "INVALID_DATA",
        "message": "invalid data",
        "status": "error",
        "details": json.loads(json.dumps(details).replace("INDEX", str(index))),
    }
    world.zoho.fault(method="POST", path="/read$", status=400, times=1, body=json.dumps(refusal))
    export = finish(world, world.start(query={"fields": "all"}))
    assert export["state"] == "COMPLETED", export
    assert "Email" in {item["field"] for item in export["fields_dropped"]}


def index_of(world, name):
    """Where a field is in what "all" asks for first."""
    world.start(query={"fields": "all"})
    first = world.zoho.journal.requests("/read$", "POST")[0]
    return json.loads(first["body"])["query"]["fields"].index(name)


def test_a_field_refused_on_a_later_page_is_missing_in_all_parts(small_jobs):  # noqa: F811
    world = small_jobs
    submitter = world.deployment.functions["BulkReadSubmitter"].environment
    submitter["BULK_READ_API_VERSION"] = "v6"
    refusal = {
        "code": "FIELD_NOT_SUPPORTED",
        "message": "x",
        "status": "error",
        "details": {"api_name": "Email"},
    }
    try:
        export_id = world.start(query={"fields": "all"})
    finally:
        submitter["BULK_READ_API_VERSION"] = "v8"
    world.zoho.fault(method="POST", path="/read$", status=400, times=1, body=json.dumps(refusal))
    export = finish(world, export_id)
    assert_complete(world, export, 250)
    assert export["generation"] == 2
    headers = [part["header"] for part in json.loads(world.objects(export_id)["manifest.json"])["parts"]]
    assert headers[0] == headers[1] == headers[2]
    assert "Email" not in headers[0]
