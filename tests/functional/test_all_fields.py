"""`"fields": "all"`: every field by name, less those that Bulk Read refuses."""

import json

from tests.functional.test_bulk_read import finish, rows_of, small_jobs  # noqa: F401 (a fixture)


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


def test_when_zoho_refuses_field_after_field_the_next_function_goes_on(small_jobs):  # noqa: F811
    """A function's time is over while fields are dropped: what was dropped is kept."""
    world = small_jobs
    export_id = world.start("cases", query={"fields": "all"})
    export = finish(world, export_id)
    assert export["state"] == "COMPLETED", export
