"""Queries: from the POST to the job that Zoho receives and the rows in S3."""

import csv
import io
import json
import re
from itertools import batched

import pytest

PATH = "/v1/e/zoho/bulk-read/"
SETTINGS = "/settings/(modules|fields)"


def post(world, export_type, body=None):
    text = None if body is None else json.dumps(body)
    return world.http("BulkReadSubmitter", "POST", PATH + export_type, body=text)


def sent(world):
    """Return the body of the last job that Zoho received, without its callback."""
    body = json.loads(world.zoho.journal.requests("/read$", "POST")[-1]["body"])
    assert body.pop("callback")["method"] == "post"
    return body


def exported_rows(world, export_id):
    """Run an export to its end; return the rows of its only part as dicts."""
    export = world.finish(export_id)
    assert export["state"] == "COMPLETED", export
    text = world.objects(export_id)["part-00001.csv"].decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def single(name, comparator, value):
    return {"field": {"api_name": name}, "comparator": comparator, "value": value}


def group(operator, *members):
    return {"group_operator": operator, "group": list(members)}


@pytest.mark.parametrize("version", ["v2", "v2.1", "v8"])
def test_nested_criteria_over_types_and_lookups_select_their_rows(quiet_at_once, version):
    world = quiet_at_once
    world.zoho.config.patch({"records": {"Deals": 120}})
    world.configure("BulkReadSubmitter", BULK_READ_API_VERSION=version)
    criteria = group(
        "and",
        single("Amount", "greater_equal", "20000"),
        group(
            "or",
            single("Account_Name.Account_Name", "contains", "a"),
            single("Created_Time", "between", ["2019-01-01T00:00:00Z", "2019-01-02T00:00:00Z"]),
        ),
    )
    query = {"module": "Deals", "fields": ["Deal_Name", "Amount", "Account_Name.Account_Name"], "page": 1}
    every = exported_rows(world, world.start("deals", query=query))
    rows = exported_rows(world, world.start("Deals", query={**query, "criteria": criteria}))
    expected = [
        row
        for row in every
        if row["Amount"] and float(row["Amount"]) >= 20000 and "a" in row["Account_Name.Account_Name"].lower()
    ]
    assert rows == expected
    assert 0 < len(rows) < len(every)
    assert list(rows[0]) == ["Id", "Deal_Name", "Amount", "Account_Name.Account_Name"]


def test_custom_module_is_found_by_its_name_in_any_case(quiet_at_once):
    world = quiet_at_once
    rows = exported_rows(world, world.start("projects", query={"fields": ["Name"]}))
    assert len(rows) == world.zoho.config.records["Projects"]
    assert sent(world)["query"]["module"] == {"api_name": "Projects"}


def test_custom_module_without_the_settings_scope_is_checked_by_zoho(world):
    world.zoho.config.patch({"scopes": "ZohoCRM.modules.ALL,ZohoCRM.bulk.ALL"})
    assert post(world, "Projects")[0] == 202
    status, response = post(world, "Unicorns")
    assert status == 422
    assert response["zoho_code"] in ("MODULE_NOT_AVAILABLE", "INVALID_MODULE")  # Bulk Read's or records API's


@pytest.mark.parametrize(
    ("export_type", "status", "question"),
    [
        ("contcts", 404, " Did you mean Contacts?"),
        ("price_book", 404, " Did you mean Price_Books?"),
        ("Contcts", 422, " Did you mean Contacts?"),  # spelled as an API name: Zoho decides
        ("xyzzy", 404, ""),
    ],
)
def test_unknown_type_lists_the_modules_of_the_org_and_the_nearest(world, export_type, status, question):
    answered, response = post(world, export_type)
    assert answered == status
    listed = re.search(r"Use one of these types: (.*?)\.(.*)$", response["remedy"])
    assert {"Contacts", "Deals", "Projects"} <= set(listed[1].split(", "))
    assert listed[2] == question


def test_unknown_type_lists_known_modules_if_those_of_the_org_cannot_be_read(world):
    world.zoho.config.patch({"scopes": "ZohoCRM.modules.ALL,ZohoCRM.bulk.ALL"})
    _, response = post(world, "uni corns")
    assert "contacts" in response["remedy"]
    assert "Projects" not in response["remedy"]


def test_unknown_module_is_refused_before_an_export_is_written(world):
    status, response = post(world, "unicorns")
    assert (status, response["message"]) == (404, "Type is not Selected yet")
    assert world.http("BulkReadSubmitter", "GET", PATH + "exports")[1]["data"] == []
    assert len(world.zoho.journal.requests(SETTINGS)) == 1


@pytest.mark.parametrize(
    ("export_type", "criteria", "says"),
    [
        (
            "deals",
            single("Amount", "contains", "1"),
            "Supported: equal, not_equal, in, not_in, less_than, less_equal, greater_than, greater_equal.",
        ),
        ("deals", single("Amount", "equal", "many"), "digits without separators"),
        ("contacts", single("Account_Name.Phone", "less_than", "1"), "It is about Account_Name.Phone."),
        ("contacts", single("Owner", "equal", "Patricia"), "Owner.last_name compares a field"),
        ("contacts", single("Created_Time", "equal", "2026-02-22T15:39:26.000Z"), "without milliseconds"),
    ],
)
def test_criteria_that_do_not_fit_the_type_of_a_field_are_refused_by_zoho(world, export_type, criteria, says):
    status, body = post(world, export_type, {"query": {"criteria": criteria}})
    assert status == 422
    assert "_IN_CRITERIA_NOT_" in body["zoho_code"]
    assert says in body["message"]
    assert not world.zoho.journal.requests(SETTINGS)


@pytest.mark.parametrize("status", [429, 500])
def test_unavailable_metadata_does_not_prevent_an_export(world, status):
    body = {"code": "X", "message": "later", "status": "error", "details": {}}
    world.zoho.organisation.faults.add({"path": SETTINGS, "status": status, "body": body, "times": 10})
    assert post(world, "deals", {"query": {"criteria": single("Amount", "equal", 5)}})[0] == 202
    assert post(world, "Projects")[0] == 202


def test_metadata_is_read_only_for_unknown_modules(world):
    assert post(world, "price books")[0] in (202, 422)  # a module that the simulator does not have
    assert post(world, "contacts", {"query": {"fields": ["Last_Name"], "cvid": None}})[0] == 202
    assert not world.zoho.journal.requests(SETTINGS)


def test_file_type_ics_is_sent_outside_the_query(world):
    assert post(world, "events", {"query": {"module": {"api_name": "Events"}, "file_type": "ics"}})[0] == 202
    assert sent(world) == {"query": {"module": {"api_name": "Events"}, "page": 1}, "file_type": "ics"}


def cyrillic_body(size):
    """Return a body of exactly `size` bytes, nearly all of them Cyrillic letters in criteria."""
    values = ["я" * 255] * (size // 513 - 3)
    criteria = [single("Last_Name", "in", list(some)) for some in batched(values, 200, strict=False)]

    def body(padding):
        query = {"criteria": group("or", *criteria, single("Email", "in", padding))}
        return json.dumps({"query": query}, ensure_ascii=False, separators=(",", ":"))

    missing = size - len(body([""] * 8).encode())
    return body(["x" * (missing // 8)] * 7 + ["x" * (missing - missing // 8 * 7)])


def test_query_of_200_kb_in_cyrillic_is_accepted(world):
    body = cyrillic_body(200 * 1024)
    status, response = world.http("BulkReadSubmitter", "POST", f"{PATH}contacts", body=body)
    assert status == 202, response
    assert len(world.zoho.journal.requests("/read$", "POST")) == 1


def test_query_too_large_for_the_table_is_refused_with_its_size_and_the_limit(world):
    body = cyrillic_body(256 * 1024)
    assert len(body.encode()) == 256 * 1024  # the largest body that is read
    status, response = world.http("BulkReadSubmitter", "POST", f"{PATH}contacts", body=body)
    assert (status, response["errno"]) == (422, 422)
    size = re.search(r"has (\d+) bytes; at most 262144 are allowed", response["message"])[1]
    assert int(size) > 262144
    assert not world.zoho.journal.requests("/read$", "POST")
    assert world.http("BulkReadSubmitter", "GET", f"{PATH}exports")[1]["data"] == []
