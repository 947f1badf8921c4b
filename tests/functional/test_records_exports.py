"""Exports of modules that Bulk Read does not support, read through the records API."""

import csv
import io
import json
from dataclasses import replace
from functools import cached_property

import pytest

from crm_export.wiring import Container
from crm_export.zoho.records import RecordsReader
from tests.functional.test_bulk_read import rows_of


@pytest.fixture
def world(quiet_at_once):
    return quiet_at_once


class SmallSizes(Container):
    """A container with pages of 20 records and parts of 40."""

    @cached_property
    def downloader(self):
        pipeline = super().downloader
        return replace(pipeline, limits=replace(pipeline.limits, records_per_part=40))

    def _records(self, client):
        return RecordsReader(client, page_size=20)


@pytest.fixture
def small_parts(world):
    world.make_container = SmallSizes


def files(world, export_id):
    """Return the manifest and the rows of its parts as dicts; assert that there are no other objects."""
    objects = world.objects(export_id)
    manifest = json.loads(objects.pop("manifest.json"))
    rows = []
    for part in manifest["parts"]:
        text = objects.pop(part["key"].rpartition("/")[2]).decode()
        part_rows = list(csv.DictReader(io.StringIO(text, newline="")))
        assert len(part_rows) == part["records"]
        rows += part_rows
    assert not objects
    assert len({row["Id"] for row in rows}) == len(rows) == manifest["records"]
    return manifest, rows


def ids_of(world, module):
    """Return the ids of the records that Zoho has now."""
    data = world.zoho.organisation.changes.module(module)
    return set(data.columns["id"].texts(data.living(world.zoho.config.records[module])))


def without_bulk_read(world, module, count):
    """Let a module have `count` records and no Bulk Read. Tests that delete records share no module."""
    world.zoho.config.patch({"records": {module: count}, "bulk_unsupported": [module]})


def test_notes_are_exported_in_parts(world, small_parts):
    world.zoho.config.patch({"records": {"Notes": 105}})
    export = world.finish(world.start("notes"))
    assert (export["state"], export["source"]) == ("COMPLETED", "records"), export
    assert not world.zoho.journal.requests("/read$", "POST")
    manifest, rows = files(world, export["export_id"])
    assert manifest["source"] == "records"
    assert len(manifest["parts"]) > 1
    assert {row["Id"] for row in rows} == ids_of(world, "Notes")
    header = manifest["parts"][0]["header"]
    assert header[0] == "Id"
    assert {"Note_Title", "Note_Content", "Owner", "Parent_Id"} <= set(header)
    assert rows[0]["Owner"].isdigit()


def test_module_that_bulk_read_refuses_has_the_values_of_bulk_read(world, small_parts):
    """Bulk Read itself is the reference: the same module with Bulk Read and without it."""
    world.zoho.config.patch({"records": {"Contacts": 45}})
    fields = ["Last_Name", "Owner", "Account_Name", "Email_Opt_Out", "Created_Time", "Tag", "Email"]
    with_bulk = world.finish(world.start(query={"fields": fields}))
    world.zoho.config.patch({"bulk_unsupported": ["Contacts"]})
    without = world.finish(world.start(query={"fields": fields}))
    assert (with_bulk["source"], without["source"]) == ("bulk_read", "records")
    assert with_bulk["records"] == without["records"] == 45
    one, other = (files(world, export["export_id"])[1] for export in (with_bulk, without))
    assert sorted(one, key=lambda row: row["Id"]) == sorted(other, key=lambda row: row["Id"])


def test_module_whose_job_fails_as_not_supported_is_read_through_the_records_api(world, small_parts):
    world.zoho.config.patch({"records": {"Contacts": 45}})
    error = {"code": "MODULE_NOT_SUPPORTED", "message": "m", "status": "error", "details": {}}
    world.zoho.fault(method="POST", path="/read$", job={"state": "FAILURE", "error": error})
    export = world.finish(world.start())
    assert (export["state"], export["source"], export["records"]) == ("COMPLETED", "records", 45), export
    assert {row["Id"] for row in files(world, export["export_id"])[1]} == ids_of(world, "Contacts")
    assert len(world.zoho.journal.requests("/read$", "POST")) == 1


def test_records_that_change_while_they_are_read_are_exported_once(world, small_parts):
    world.zoho.config.patch({"records": {"Notes": 140}})
    before = ids_of(world, "Notes")
    export_id = world.start("notes")
    world.pump("DownloadQueue")
    assert world.export(export_id)["parts"][0]["state"] == "STORED"
    first = [row[0] for row in rows_of(world.objects(export_id)["part-00001.csv"])[1:]]
    later = sorted(before - set(first))
    changes = world.zoho.organisation.changes
    changes.apply("Notes", {"modify": [first[3], first[7], later[2]], "create": 3})
    changes.apply("Notes", {"delete": [first[5], later[9]]})
    export = world.finish(export_id)
    assert export["state"] == "COMPLETED", export
    ids = {row["Id"] for row in files(world, export_id)[1]}
    assert before - {later[9]} <= ids
    assert len(ids) == len(before) - 1 + 3


@pytest.mark.parametrize("where", ["field", "lookup"])
@pytest.mark.parametrize("scopes", ["ZohoCRM.modules.ALL,ZohoCRM.settings.ALL", "ZohoCRM.modules.ALL"])
@pytest.mark.parametrize("fields", ["all", ["Parent_Id", "Owner"]], ids=["all", "named"])
def test_notes_name_the_module_of_their_parent(world, small_parts, where, scopes, fields):
    settings = {"records": {"Notes": 60}, "records_parent_module": where, "scopes": scopes}
    world.zoho.config.patch(settings)
    export = world.finish(world.start("notes", query={"fields": fields}))
    assert export["state"] == "COMPLETED", export
    manifest, rows = files(world, export["export_id"])
    for part in manifest["parts"]:
        header = part["header"]
        assert header[header.index("Parent_Id") + 1] == "Parent_Id.module"
        assert "$se_module" not in header
    assert {row["Parent_Id.module"] for row in rows} == {"Contacts", "Accounts", "Deals"}
    changes = world.zoho.organisation.changes
    for row in rows:
        assert changes.module(row["Parent_Id.module"]).index_of(row["Parent_Id"]) is not None


@pytest.mark.parametrize(
    ("module", "sortable"),
    [("Quotes", ["id", "Modified_Time"]), ("Solutions", ["id"])],
    ids=["by time", "by id"],
)
def test_module_whose_last_records_are_deleted_while_it_is_read_is_exported(
    world, small_parts, module, sortable
):
    without_bulk_read(world, module, 60)
    world.zoho.config.patch({"records_sort_by": sortable})
    export_id = world.start(module.lower())
    world.pump("DownloadQueue")
    read = [row[0] for row in rows_of(world.objects(export_id)["part-00001.csv"])[1:]]
    left = sorted(ids_of(world, module) - set(read))
    assert read
    assert left
    world.zoho.organisation.changes.apply(module, {"delete": left})
    export = world.finish(export_id)
    assert (export["state"], export["records"]) == ("COMPLETED", len(read)), export
    assert {row["Id"] for row in files(world, export_id)[1]} == set(read)


@pytest.mark.parametrize("sortable", [["id", "Modified_Time"], ["id"]], ids=["by time", "by id"])
def test_page_that_lists_a_record_twice_is_exported_once_each(world, sortable):
    world.zoho.config.patch({"records": {"Notes": 3}, "records_sort_by": sortable})
    times = [f"2020-01-01T00:00:0{second}+05:30" for second in (1, 1, 2)]
    data = [{"id": str(number), "Modified_Time": time} for number, time in zip((1, 1, 2), times, strict=True)]
    body = {"data": data, "info": {"more_records": False}}
    world.zoho.fault(method="GET", path="^/crm/v6/Notes$", status=200, body=body)
    export = world.finish(world.start("notes", query={"fields": ["Modified_Time"]}))
    assert (export["state"], export["records"]) == ("COMPLETED", 2), export
    assert [row["Id"] for row in files(world, export["export_id"])[1]] == ["1", "2"]


def test_paging_in_a_ring_ends_the_export(world):
    def answer(token):
        data = [{"id": str(number), "Modified_Time": "2020-01-01T00:00:01+05:30"} for number in range(3)]
        return {"data": data, "info": {"more_records": True, "next_page_token": token}}

    for token in ("A", "B"):
        nth = list(range(1 if token == "A" else 2, 1_000, 2))
        world.zoho.fault(method="GET", path="^/crm/v6/Notes$", status=200, body=answer(token), nth=nth)
    export = world.finish(world.start("notes"))
    assert (export["state"], export["failure"]["code"]) == ("FAILED", "PAGING_BROKEN"), export
    assert len(world.zoho.journal.requests("^/crm/v6/Notes$", "GET")) < 12


def test_pages_without_info_are_exported_in_the_order_of_time(world):
    without_bulk_read(world, "Vendors", 2)
    module = world.zoho.organisation.changes.module("Vendors")
    data = sorted((module.record(row) for row in range(2)), key=lambda record: record["Modified_Time"])
    world.zoho.fault(method="GET", path="^/crm/v6/Vendors$", status=200, body={"data": data}, times=2)
    export = world.finish(world.start("vendors"))
    assert (export["state"], export["records"]) == ("COMPLETED", 2), export


@pytest.mark.parametrize(("count", "snapshot"), [(0, True), (20, True), (21, False)])
def test_manifest_says_whether_the_records_are_a_snapshot(world, small_parts, count, snapshot):
    without_bulk_read(world, "Vendors", count)
    export = world.finish(world.start("vendors"))
    assert files(world, export["export_id"])[0]["snapshot"] is snapshot


def test_more_records_than_page_tokens_reach_are_exported(world, small_parts):
    world.zoho.config.patch({"records": {"Notes": 150}, "records_token_cap": 60, "records_page_cap": 40})
    export = world.finish(world.start("notes"))
    assert export["state"] == "COMPLETED", export
    assert {row["Id"] for row in files(world, export["export_id"])[1]} == ids_of(world, "Notes")


def test_part_whose_reader_died_is_read_again_under_the_same_key(world, small_parts):
    world.zoho.config.patch({"records": {"Notes": 50}})
    export_id = world.start("notes")
    expired = {"S": "2020-01-01T00:00:00.000Z"}
    world.set_item(export_id, "PART#00001", lease_owner={"S": "dead"}, lease_until=expired)
    export = world.finish(export_id)
    assert export["state"] == "COMPLETED", export
    manifest, _ = files(world, export_id)
    assert manifest["parts"][0]["key"].endswith("part-00001.csv")


def test_fields_without_the_settings_scope_are_those_of_a_record(world):
    world.zoho.config.patch({"scopes": "ZohoCRM.modules.ALL,ZohoCRM.bulk.ALL", "records": {"Notes": 30}})
    export = world.finish(world.start("notes"))
    assert export["state"] == "COMPLETED", export
    manifest, _ = files(world, export["export_id"])
    assert {"Note_Title", "Note_Content", "Owner"} <= set(manifest["parts"][0]["header"])


def test_export_of_empty_module_has_no_records(world):
    world.zoho.config.patch({"records": {"Notes": 0}})
    export = world.finish(world.start("notes"))
    assert (export["state"], export["records"]) == ("COMPLETED", 0)
    manifest, rows = files(world, export["export_id"])
    assert rows == []
    assert "Parent_Id.module" in manifest["parts"][0]["header"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        (
            {"criteria": {"field": {"api_name": "Note_Title"}, "comparator": "equal", "value": "x"}},
            "criteria",
        ),
        ({"fields": ["Note_Title", "Owner.last_name"]}, "query.fields[1]"),
        ({"page": 2}, "query.page"),
    ],
)
def test_query_that_the_records_api_does_not_support_is_refused_before_an_export_exists(world, query, names):
    status, response = world.http(
        "BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/notes", body=json.dumps({"query": query})
    )
    assert (status, response["errno"]) == (422, 422)
    assert names in response["message"]
    listed = world.http("BulkReadSubmitter", "GET", "/v1/e/zoho/bulk-read/exports")[1]["data"]
    assert listed == []


def test_missing_permission_for_notes_is_reported_in_the_response(world):
    world.zoho.config.patch({"notes_admin_only": True})
    status, response = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/notes")
    assert (status, response["errno"], response["zoho_code"]) == (403, 403, "NOT_SUPPORTED")


def test_unknown_field_is_refused_with_the_fields_that_exist(world):
    body = json.dumps({"query": {"fields": ["Note_Title", "Nothing"]}})
    status, response = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/notes", body=body)
    assert (status, response["errno"]) == (422, 422)
    assert 'query.fields[1] is "Nothing"' in response["message"]
    assert "Note_Content" in response["message"]


def test_records_are_read_with_a_version_that_does_not_cut_rich_text(world):
    """From v7 on Zoho cuts it at 500 characters."""
    world.zoho.config.patch({"records": {"Notes": 30}})
    world.finish(world.start("notes"))
    assert world.zoho.journal.requests("^/crm/v6/Notes", "GET")
    assert not world.zoho.journal.requests("^/crm/v[78]/Notes", "GET")


def test_records_without_a_way_to_the_next_page_are_a_fault_of_zoho(world):
    page = {"data": [{"id": "1"}], "info": {"more_records": True}}
    world.zoho.fault(path="/crm/v6/Notes", status=200, body=page)
    status, response = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/notes")
    assert (status, response["errno"]) == (502, 502)
    assert "no next page" in response["message"]


def test_criteria_for_module_without_bulk_read_are_refused_with_zohos_code(world):
    world.zoho.config.patch({"bulk_unsupported": ["Contacts"]})
    criteria = {"field": {"api_name": "Last_Name"}, "comparator": "equal", "value": "x"}
    body = json.dumps({"query": {"criteria": criteria}})
    status, response = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/contacts", body=body)
    assert (status, response["zoho_code"]) == (422, "MODULE_NOT_SUPPORTED")
    assert "query.criteria" in response["message"]


def test_nothing_is_read_before_fields_and_order_are_settled(world):
    """ "all" names the fields for Bulk Read first; then Zoho is busy before the records API is settled."""
    world.zoho.config.patch({"bulk_unsupported": ["Contacts"], "records": {"Contacts": 30}})
    world.zoho.fault(method="GET", path="^/crm/v6/Contacts$", status=429, times=1)
    export = world.finish(world.start(query={"fields": "all"}))
    assert (export["state"], export["source"], export["records"]) == ("COMPLETED", "records", 30), export
    manifest, _ = files(world, export["export_id"])
    assert manifest["api_version"] == "v6"
    assert not world.zoho.journal.requests("^/crm/v8/Contacts$", "GET")
