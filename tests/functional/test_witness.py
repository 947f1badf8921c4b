"""Full exports are compared with Zoho's own count of the module."""

import json

import pytest

NUMBERS = ("before", "after", "created", "deleted", "verdict")


def finished(world, module="Vendors", **body):
    """Export a module; return the export as the API shows it, and its manifest.

    Changes outlast a test, so each test that changes records has a module of its own.
    """
    export = world.finish(world.start(module, **body))
    assert export["state"] == "COMPLETED", export
    return export, json.loads(world.objects(export["export_id"])["manifest.json"])


def numbers(witness):
    return tuple(witness[name] for name in NUMBERS)


def living(world, module="Vendors"):
    return len(world.zoho.organisation.changes.rows_at(module, float("inf")))


@pytest.mark.parametrize("version", ["v2", "v3", "v8"])
def test_export_of_all_records_is_exact_and_describes_the_fields(quiet_at_once, version):
    world = quiet_at_once
    world.configure("BulkReadSubmitter", BULK_READ_API_VERSION=version)
    export, manifest = finished(world)
    count = living(world)
    assert numbers(manifest["witness"]) == (count, count, None, None, "exact")
    assert export["witness"] == manifest["witness"]
    kinds = {field["api_name"]: field["data_type"] for field in manifest["fields"]}
    assert (kinds["Owner"], kinds["Active"], kinds["Modified_Time"]) == (
        "ownerlookup",
        "boolean",
        "datetime",
    )
    assert set(manifest["parts"][0]["header"]) - {"Id"} <= set(kinds)


def test_fields_have_decimal_places_and_the_types_of_formulas(quiet_at_once):
    _, manifest = finished(quiet_at_once, "Deals")
    fields = {field["api_name"]: field for field in manifest["fields"]}
    amount = {"api_name": "Amount", "data_type": "currency", "json_type": "double", "decimal_place": 2}
    assert fields["Amount"] == {**amount, "return_type": None}
    assert fields["Expected_Revenue"]["return_type"] == "currency"


def test_job_that_leaves_out_records_is_a_gap(quiet_at_once):
    world = quiet_at_once
    world.zoho.fault(method="POST", path="/read$", job={"omitted_rows": 3})
    export, manifest = finished(world)
    count = living(world)
    assert manifest["records"] == count - 3
    assert numbers(manifest["witness"]) == (count, count, 0, 0, "gap")
    assert "At least 3 are missing." in export["witness"]["why"]


def test_records_created_and_deleted_before_the_job_explain_the_difference(quiet_at_once):
    world = quiet_at_once
    change = {"Campaigns": {"create": 5, "delete": 2}}
    world.zoho.fault(path="/actions/count$", nth=1, change=change)
    before = living(world, "Campaigns")
    _, manifest = finished(world, "Campaigns")
    assert numbers(manifest["witness"]) == (before, before + 3, 5, 2, "explained")
    assert manifest["records"] == before + 3


def test_count_that_lags_behind_a_mass_deletion_is_no_gap(quiet_at_once):
    world = quiet_at_once
    world.zoho.config.patch({"count_lag_seconds": 600})
    before = living(world, "Products")
    world.zoho.organisation.changes.apply("Products", {"delete": 4})
    _, manifest = finished(world, "Products")
    assert manifest["records"] == before - 4
    assert numbers(manifest["witness"])[:2] == (before, before)
    assert manifest["witness"]["verdict"] == "unknown"


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"error": "OAUTH_SCOPE_MISMATCH"}, "ZOHO_PERMISSION_DENIED"),
        ({"status": 503, "body": "<html>"}, "ZOHO_UNAVAILABLE"),
        ({"status": 200, "body": {"status": "ok"}}, "ZOHO_UNAVAILABLE"),
        ({"error": "TOO_MANY_REQUESTS"}, "ZOHO_THROTTLED"),
        ({"drop": "before"}, "ZOHO_UNAVAILABLE"),
    ],
)
@pytest.mark.parametrize("nth", [1, 2])
def test_export_without_a_count_is_completed(quiet_at_once, fault, why, nth):
    world = quiet_at_once
    world.zoho.fault(path="/actions/count$", nth=[nth, *range(nth + 1, 9)], **fault)
    _, manifest = finished(world)
    assert manifest["witness"]["verdict"] == "unknown"
    assert manifest["witness"]["why"].startswith(why)
    assert manifest["records"] == living(world)


def test_slow_count_costs_the_caller_seconds_and_not_the_export(quiet_at_once):
    world = quiet_at_once
    world.zoho.fault(path="/actions/count$", nth=1, delay=5)
    _, manifest = finished(world)
    assert manifest["witness"]["why"].startswith("ZOHO_TIMEOUT")


def test_export_without_the_scopes_has_neither_witness_nor_fields(quiet_at_once):
    world = quiet_at_once
    world.zoho.config.patch({"scopes": "ZohoCRM.modules.ALL,ZohoCRM.bulk.ALL"})
    _, manifest = finished(world)
    assert manifest["fields"] is None
    assert "ZohoSearch.securesearch.READ" in manifest["witness"]["why"]


def test_notes_have_no_count(quiet_at_once):
    world = quiet_at_once
    export = world.finish(world.start("notes"))
    assert export["witness"]["why"] == "Zoho has no count of Notes."
    assert world.zoho.journal.requests("/actions/count$") == []


def test_export_of_some_records_has_no_witness(quiet_at_once):
    world = quiet_at_once
    criteria = {"field": {"api_name": "Active"}, "comparator": "equal", "value": "true"}
    export, manifest = finished(world, query={"criteria": criteria})
    assert (export["witness"], manifest["witness"]) == (None, None)
