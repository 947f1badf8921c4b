"""What only a live org can show about Zoho."""

from typing import Any

from tests.live.conftest import LiveStack

NOTHING = {"criteria": {"field": {"api_name": "id"}, "comparator": "equal", "value": "1"}}


def test_export_is_complete(stack: LiveStack, contacts: dict[str, Any]) -> None:
    """Does a whole module arrive?"""
    manifest = stack.manifest(contacts)
    assert manifest["records"] == sum(part["records"] for part in manifest["parts"])


def test_file_has_a_column_id_with_numbers(stack: LiveStack, contacts: dict[str, Any]) -> None:
    """Is the column of the ids called Id, and are they numbers of up to 19 digits?"""
    assert [part["ids"] and part["ids"]["digest"] for part in stack.manifest(contacts)["parts"]] != [None]
    assert stack.manifest(contacts)["ids_unique"]


def test_records_are_in_the_order_of_their_ids(stack: LiveStack, contacts: dict[str, Any]) -> None:
    """In which order are the records of a result? If by id, no export's ids are ever read back."""
    for part in stack.manifest(contacts)["parts"]:
        ids = part["ids"]
        assert (ids["first"], ids["last"]) == (ids["lowest"], ids["highest"])


def test_query_without_records_gives_an_empty_export(stack: LiveStack) -> None:
    """What is the result of a job without records: a header, an empty ZIP or no content?"""
    manifest = stack.manifest(stack.export("contacts", {"query": NOTHING}))
    assert (manifest["records"], len(manifest["parts"])) == (0, 1)


def test_notes_are_read_through_the_records_api(stack: LiveStack) -> None:
    """Are notes read to their end, with the module of each parent?"""
    manifest = stack.manifest(stack.export("notes"))
    assert manifest["source"] == "records"
    assert "Parent_Id.module" in manifest["parts"][0]["header"]


def test_every_field_of_a_module_is_exported(stack: LiveStack) -> None:
    """Does an export of every field end, without the fields that Bulk Read refuses?"""
    export = stack.export("contacts", {"query": {"fields": "all"}})
    assert stack.manifest(export)["records"] == export["records"]


def test_page_is_read(stack: LiveStack) -> None:
    """Does a page of the records API arrive within API Gateway's time?"""
    response = stack.call("GET", "/v1/e/zoho/export/contacts?limit=200")
    assert response.status_code == 200, response.text


def test_changes_of_the_last_days_are_found(stack: LiveStack) -> None:
    """Does Zoho accept If-Modified-Since in our format?"""
    response = stack.call("GET", "/v1/e/zoho/export/contacts?modified_since=2020-01-01T00:00:00Z")
    assert response.status_code == 200, response.text
