"""Queries from the POST to the rows in S3, against the Zoho simulator."""

import csv
import io
import json

import pytest

PATH = "/v1/e/zoho/bulk-read/"
SETTINGS = "/settings/(modules|fields)"


def post(world, export_type, body=None):
    text = None if body is None else json.dumps(body)
    status, answer = world.http("BulkReadSubmitter", "POST", PATH + export_type, body=text)
    world.exports |= {answer["data"]["export_id"]} if status == 202 else set()
    return status, answer


def sent(world):
    """The body of the job that Zoho was asked for last, without its callback."""
    body = json.loads(world.zoho.journal.requests("/read$", "POST")[-1]["body"])
    assert body.pop("callback")["method"] == "post"
    return body


def finish(world, export_id):
    """Push an export on by the reconciler alone; return its rows as dicts."""
    for _ in range(6):
        if world.export(export_id)["state"] != "RUNNING":
            break
        world.let_time_pass(export_id)
        world.invoke("ExportReconciler", {})
        world.pump("SubmitQueue")
        world.pump("DownloadQueue")
    assert world.export(export_id)["state"] == "COMPLETED", world.export(export_id)
    text = world.objects(export_id)["part-00001.csv"].decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture
def impatient(world):
    """Parts that count as quiet at once, and small modules."""
    world.zoho.config.patch({"records": dict.fromkeys(("Contacts", "Deals", "Projects", "Tasks"), 120)})
    reconciler = world.deployment.functions["ExportReconciler"].environment
    reconciler["PART_QUIET_SECONDS"] = "0"
    yield world
    reconciler["PART_QUIET_SECONDS"] = "300"


@pytest.fixture
def scopes(world):
    """Sets what the connection's grant allows."""

    def allow(*names):
        world.zoho.config.patch({"scopes": ",".join(names)})

    return allow


def single(name, comparator, value):
    return {"field": {"api_name": name}, "comparator": comparator, "value": value}


def group(operator, *members):
    return {"group_operator": operator, "group": list(members)}


@pytest.mark.parametrize("version", ["v2", "v2.1", "v6", "v7", "v8"])
def test_nested_criteria_over_types_and_lookups_give_the_rows_they_name(impatient, version):
    world = impatient
    submitter = world.deployment.functions["BulkReadSubmitter"].environment
    submitter["BULK_READ_API_VERSION"] = version
    criteria = group(
        "and",
        single("Amount", "greater_equal", "20000"),
        group(
            "or",
            single("Account_Name.Account_Name", "contains", "a"),
            single("Created_Time", "between", ["2019-01-01T00:00:00Z", "2030-01-01"]),
        ),
    )
    query = {"module": "Deals", "fields": ["Deal_Name", "Amount", "Account_Name.Account_Name"], "page": 1}
    try:
        every = finish(world, world.start("deals", query=query))
        criteria["group"][1]["group"][1]["value"][1] = "2019-01-02T00:00:00Z"
        rows = finish(world, world.start("Deals", query={**query, "criteria": criteria}))
    finally:
        submitter["BULK_READ_API_VERSION"] = "v8"
    expected = [
        row
        for row in every
        if row["Amount"] and float(row["Amount"]) >= 20000 and "a" in row["Account_Name.Account_Name"].lower()
    ]
    assert rows == expected
    assert 0 < len(rows) < len(every)
    assert list(rows[0]) == ["Id", "Deal_Name", "Amount", "Account_Name.Account_Name"]


def test_a_custom_module_is_exported_by_its_name_in_any_case(impatient):
    rows = finish(impatient, impatient.start("projects", query={"fields": ["Name"]}))
    assert len(rows) == 120
    assert sent(impatient)["query"]["module"] == {"api_name": "Projects"}


def test_without_the_settings_scope_a_custom_module_is_zohos_to_judge(world, scopes):
    scopes("ZohoCRM.modules.ALL", "ZohoCRM.bulk.ALL")
    assert post(world, "Projects")[0] == 202
    status, answer = post(world, "Unicorns")
    # Zoho's Bulk Read says the one, its records API the other.
    assert (status, answer["zoho_code"] in ("MODULE_NOT_AVAILABLE", "INVALID_MODULE")) == (422, True)


def test_a_type_that_is_no_module_is_refused_before_an_export_is_written(world):
    status, answer = post(world, "unicorns")
    assert (status, answer["message"]) == (404, "Type is not Selected yet")
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
def test_metadata_that_cannot_be_read_just_now_stops_no_export(world, status):
    body = {"code": "X", "message": "later", "status": "error", "details": {}}
    world.zoho.organisation.faults.add({"path": SETTINGS, "status": status, "body": body, "times": 10})
    assert post(world, "deals", {"query": {"criteria": single("Amount", "equal", 5)}})[0] == 202
    assert post(world, "Projects")[0] == 202


def test_metadata_is_asked_for_only_where_it_is_needed(world):
    assert post(world, "price books")[0] in (202, 422)  # a module that the simulator does not have
    assert post(world, "contacts", {"query": {"fields": ["Last_Name"], "cvid": None}})[0] == 202
    assert not world.zoho.journal.requests(SETTINGS)


def test_events_as_ics_are_asked_for_where_every_version_takes_it(world):
    assert post(world, "events", {"query": {"module": {"api_name": "Events"}, "file_type": "ics"}})[0] == 202
    assert sent(world) == {"query": {"module": {"api_name": "Events"}, "page": 1}, "file_type": "ics"}
