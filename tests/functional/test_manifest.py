"""The manifest of every kind of export fits docs/manifest.schema.json."""

import json

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from crm_export import PRODUCT
from local.host.processes import REPOSITORY

SCHEMA = json.loads((REPOSITORY / "docs" / "manifest.schema.json").read_text())


@pytest.mark.parametrize(
    ("export_type", "body"),
    [
        ("contacts", {}),
        ("cases", {"query": {"fields": "all"}}),
        ("notes", {}),
        ("events", {"file_type": "ics"}),
        ("deals", {"query": {"fields": ["Deal_Name"], "page": 1}}),
    ],
)
def test_manifest_fits_its_schema(small_jobs, export_type, body):
    world = small_jobs
    export = world.finish(world.start(export_type, **body))
    assert export["state"] == "COMPLETED", export
    manifest = json.loads(world.objects(export["export_id"])["manifest.json"])
    problems = Draft202012Validator(SCHEMA, format_checker=FormatChecker()).iter_errors(manifest)
    assert [problem.message for problem in problems] == []
    assert manifest["created_by"] == PRODUCT
    assert manifest["records"] == sum(part["records"] for part in manifest["parts"])
