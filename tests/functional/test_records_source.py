"""Modules that Bulk Read does not take: the same export, read through the records API."""

import csv
import io
import json

import pytest

from crm_export.exports import records as read_records
from tests.functional.test_bulk_read import finish, rows_of


@pytest.fixture
def world(world):
    world.deployment.functions["ExportReconciler"].environment["PART_QUIET_SECONDS"] = "0"
    yield world
    world.deployment.functions["ExportReconciler"].environment["PART_QUIET_SECONDS"] = "300"


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(read_records, "_PART_RECORDS", 400)


def files(world, export_id):
    """The manifest, and the rows of its parts as dictionaries; no other file may lie there."""
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


def living(world, module):
    return set(world.zoho.organisation.changes.module(module).columns["id"].texts(
        world.zoho.organisation.changes.module(module).living(world.zoho.config.records[module])
    ))  # fmt: skip


def test_notes_are_exported_like_any_module(world, small_parts):
    world.zoho.config.patch({"records": {"Notes": 1050}})
    export = finish(world, world.start("notes"))
    assert (export["state"], export["source"], export["records"]) == ("COMPLETED", "records", 1050), export
    assert not world.zoho.journal.requests("/read$", "POST")
    manifest, rows = files(world, export["export_id"])
    assert manifest["source"] == "records"
    assert [part["records"] for part in manifest["parts"]][:-1] != []
    assert {row["Id"] for row in rows} == living(world, "Notes")
    header = manifest["parts"][0]["header"]
    assert header[0] == "Id"
    assert {"Note_Title", "Note_Content", "Owner", "Parent_Id"} <= set(header)
    assert rows[0]["Owner"].isdigit()


def test_a_module_of_which_zoho_says_so_is_read_with_the_values_bulk_read_gives(world):
    """The oracle is Bulk Read itself: the same module, once with it and once without."""
    world.zoho.config.patch({"records": {"Contacts": 450}})
    fields = ["Last_Name", "Owner", "Account_Name", "Email_Opt_Out", "Created_Time", "Tag", "Email"]
    with_bulk = finish(world, world.start(query={"fields": fields}))
    world.zoho.config.patch({"bulk_unsupported": ["Contacts"]})
    without = finish(world, world.start(query={"fields": fields}))
    world.zoho.config.patch({"bulk_unsupported": []})
    assert (with_bulk["source"], without["source"]) == ("bulk_read", "records")
    assert with_bulk["records"] == without["records"] == 450
    one, other = (files(world, export["export_id"])[1] for export in (with_bulk, without))
    assert sorted(one, key=lambda row: row["Id"]) == sorted(other, key=lambda row: row["Id"])


def test_records_that_change_while_they_are_read_come_once_each(world, small_parts):
    world.zoho.config.patch({"records": {"Notes": 1400}})
    before = living(world, "Notes")
    export_id = world.start("notes")
    world.pump("DownloadQueue")
    assert world.export(export_id)["parts"][0]["state"] == "STORED"
    first = [row[0] for row in rows_of(world.objects(export_id)["part-00001.csv"])[1:]]
    later = sorted(before - set(first))
    changes = world.zoho.organisation.changes
    changes.apply("Notes", {"modify": [first[3], first[7], later[2]], "create": 3})
    changes.apply("Notes", {"delete": [first[5], later[9]]})
    export = finish(world, export_id)
    assert export["state"] == "COMPLETED", export
    ids = {row["Id"] for row in files(world, export_id)[1]}
    assert before - {later[9]} <= ids
    assert len(ids) == 1400 - 1 + 3


def test_more_records_than_page_tokens_reach(world, small_parts):
    world.zoho.config.patch({"records": {"Notes": 2600}, "records_token_cap": 600, "records_page_cap": 400})
    export = finish(world, world.start("notes"))
    world.zoho.config.patch({"records_token_cap": 100_000, "records_page_cap": 2000})
    assert export["state"] == "COMPLETED", export
    assert {row["Id"] for row in files(world, export["export_id"])[1]} == living(world, "Notes")


def test_a_part_whose_reader_died_is_read_again_under_another_key(world, small_parts):
    world.zoho.config.patch({"records": {"Notes": 500}})
    export_id = world.start("notes")
    world.set_item(export_id, "PART#00001", lease_owner={"S": "dead"}, lease_until={"S": "2020"})
    export = finish(world, export_id)
    assert export["state"] == "COMPLETED", export
    manifest, _ = files(world, export_id)
    assert manifest["parts"][0]["key"].endswith("part-00001-2.csv")


def test_without_the_settings_scope_the_fields_are_those_of_a_record(world):
    world.zoho.config.patch({"scopes": "ZohoCRM.modules.ALL,ZohoCRM.bulk.ALL", "records": {"Notes": 30}})
    export = finish(world, world.start("notes"))
    assert export["state"] == "COMPLETED", export
    manifest, _ = files(world, export["export_id"])
    assert {"Note_Title", "Note_Content", "Owner"} <= set(manifest["parts"][0]["header"])


def test_an_empty_module(world):
    world.zoho.config.patch({"records": {"Notes": 0}})
    export = finish(world, world.start("notes"))
    assert (export["state"], export["records"]) == ("COMPLETED", 0)
    assert files(world, export["export_id"])[1] == []


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
def test_what_the_records_api_cannot_do_is_refused_before_an_export_exists(world, query, names):
    status, answer = world.http(
        "BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/notes", body=json.dumps({"query": query})
    )
    assert (status, answer["errno"]) == (422, 422)
    assert names in answer["message"]
    listed = world.http("BulkReadSubmitter", "GET", "/v1/e/zoho/bulk-read/exports")[1]["data"]
    assert listed == []


def test_a_user_who_may_not_read_notes_is_told_so_at_once(world):
    world.zoho.config.patch({"notes_admin_only": True})
    status, answer = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/notes")
    assert (status, answer["errno"], answer["zoho_code"]) == (403, 403, "NOT_SUPPORTED")


def test_a_field_that_the_module_does_not_have_is_refused(world):
    body = json.dumps({"query": {"fields": ["Note_Title", "Nothing"]}})
    status, answer = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/notes", body=body)
    assert (status, answer["errno"]) == (422, 422)
    assert 'query.fields[1] is "Nothing"' in answer["message"]
    assert "Note_Content" in answer["message"]


def test_records_are_read_by_an_api_that_does_not_cut_rich_text(world):
    """From v7 on Zoho cuts it at 500 characters."""
    world.zoho.config.patch({"records": {"Notes": 30}})
    finish(world, world.start("notes"))
    assert world.zoho.journal.requests("^/crm/v6/Notes", "GET")
    assert not world.zoho.journal.requests("^/crm/v[78]/Notes", "GET")


def test_criteria_for_a_module_without_bulk_read_keep_zohos_word(world):
    world.zoho.config.patch({"bulk_unsupported": ["Contacts"]})
    criteria = {"field": {"api_name": "Last_Name"}, "comparator": "equal", "value": "x"}
    body = json.dumps({"query": {"criteria": criteria}})
    status, answer = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/contacts", body=body)
    world.zoho.config.patch({"bulk_unsupported": []})
    assert (status, answer["zoho_code"]) == (422, "MODULE_NOT_SUPPORTED")
    assert "query.criteria" in answer["message"]


def test_what_is_not_settled_yet_is_not_read(world):
    """ "all" names the fields for Bulk Read first; then Zoho is busy before the records API is settled."""
    world.zoho.config.patch({"bulk_unsupported": ["Contacts"], "records": {"Contacts": 30}})
    world.zoho.fault(method="GET", path="^/crm/v6/Contacts$", status=429, times=1)
    export = finish(world, world.start(query={"fields": "all"}))
    world.zoho.config.patch({"bulk_unsupported": []})
    assert (export["state"], export["source"], export["records"]) == ("COMPLETED", "records", 30), export
    manifest, _ = files(world, export["export_id"])
    assert manifest["api_version"] == "v6"
    assert not world.zoho.journal.requests("^/crm/v8/Contacts$", "GET")
