"""manifest.json is as docs/manifest.schema.json says, whatever the export was of."""

import json

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from crm_export import PRODUCT
from local.host.processes import REPOSITORY
from tests.functional.test_bulk_read import finish, small_jobs  # noqa: F401 (a fixture)

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
def test_a_manifest_fits_its_schema(small_jobs, export_type, body):  # noqa: F811
    world = small_jobs
    export = finish(world, world.start(export_type, **body))
    assert export["state"] == "COMPLETED", export
    manifest = json.loads(world.objects(export["export_id"])["manifest.json"])
    problems = Draft202012Validator(SCHEMA, format_checker=FormatChecker()).iter_errors(manifest)
    assert [problem.message for problem in problems] == []
    assert manifest["created_by"] == PRODUCT
    assert manifest["records"] == sum(part["records"] for part in manifest["parts"])
