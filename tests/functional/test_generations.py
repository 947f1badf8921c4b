"""An export whose page token or result is gone starts again, and never mixes two snapshots."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.functional.test_bulk_read import assert_complete

GONE = json.dumps(
    {
        "code": "RESOURCE_NOT_FOUND",
        "message": "The requested resource doesn't exist.",
        "status": "error",
        "details": {},
    }
)


@pytest.fixture
def world(small_jobs):
    return small_jobs


def test_expired_page_token_starts_the_export_again(world):
    world.zoho.config.patch({"page_token_seconds": 0.0})
    export_id = world.start()
    world.invoke("ExportReconciler", {})
    world.pump("DownloadQueue")  # part 1 is stored, part 2 waits to be submitted
    world.pump("SubmitQueue")
    world.zoho.config.patch({"page_token_seconds": 86_400.0})
    restarted = world.export(export_id)
    assert (restarted["state"], restarted["generation"]) == ("RUNNING", 2)
    assert [part["part"] for part in restarted["parts"]] == [3]
    export = world.finish(export_id)
    assert_complete(world, export, 250)
    manifest = json.loads(world.objects(export_id)["manifest.json"])
    assert manifest["generation"] == 2
    assert [part["part"] for part in manifest["parts"]] == [3, 4, 5]
    assert "part-00001.csv" not in world.objects(export_id)


def test_late_callback_of_the_first_generation_changes_nothing(world):
    world.zoho.config.patch({"page_token_seconds": 0.0})
    export_id = world.start()
    job = world.export(export_id)["parts"][0]["job_id"]
    world.invoke("ExportReconciler", {})
    world.pump("DownloadQueue")
    world.pump("SubmitQueue")
    world.zoho.config.patch({"page_token_seconds": 86_400.0})
    for url in world.callback_urls():
        assert world.callback(url, json.dumps({"data": [{"id": job}]}))[0] == 200
    world.pump("DownloadQueue")
    assert_complete(world, world.finish(export_id), 250)


def test_page_tokens_that_always_expire_fail_the_export(world):
    world.zoho.config.patch({"page_token_seconds": 0.0})
    export = world.finish(world.start())
    assert (export["state"], export["failure"]["code"]) == ("FAILED", "ZOHO_PAGE_TOKEN_EXPIRED")
    assert export["generation"] == 3
    assert "manifest.json" not in world.objects(export["export_id"])


def age_results(world, export_id):
    """Let the results of all READY parts be older than an hour."""
    long_ago = datetime.now(UTC) - timedelta(hours=1.1)
    for part in world.export(export_id)["parts"]:
        if part["state"] == "READY":
            ready_at = {"S": long_ago.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
            world.set_item(export_id, f"PART#{part['part']:05d}", ready_at=ready_at)


def test_result_that_is_not_found_for_a_while_uses_up_no_generation(world):
    world.zoho.fault(path="/result$", status=404, body=GONE, times=12)
    export = world.finish(world.start(), rounds=20)
    assert_complete(world, export, 250)
    assert export["generation"] == 1


def test_result_that_is_gone_starts_the_export_again(world):
    export_id = world.start()
    job = world.export(export_id)["parts"][0]["job_id"]
    world.zoho.fault(path=f"/read/{job}/result$", status=404, body=GONE)
    assert world.finish(export_id, rounds=5)["generation"] == 1
    age_results(world, export_id)
    export = world.finish(export_id)
    assert_complete(world, export, 250)
    assert export["generation"] == 2


def test_results_that_are_always_gone_fail_the_export(world):
    world.zoho.fault(path="/result$", status=404, body=GONE)
    export_id = world.start()
    for _ in range(20):
        if world.finish(export_id, rounds=1)["state"] == "FAILED":
            break
        age_results(world, export_id)
    export = world.export(export_id)
    assert (export["state"], export["failure"]["code"]) == ("FAILED", "ZOHO_NOT_FOUND")
    assert export["generation"] == 3


def test_job_that_ends_because_its_page_token_expired_starts_the_export_again(world):
    error = {
        "code": "EXPIRED_VALUE",
        "message": "The page token has expired.",
        "status": "error",
        "details": {},
    }
    world.zoho.fault(method="POST", path="/read$", nth=2, job={"state": "FAILURE", "error": error})
    export = world.finish(world.start())
    assert_complete(world, export, 250)
    assert export["generation"] == 2


def test_job_that_zoho_no_longer_knows_is_replaced(world):
    export_id = world.start()
    job = world.export(export_id)["parts"][0]["job_id"]
    world.zoho.fault(method="GET", path=f"/read/{job}$", status=404, body=GONE)
    export = world.finish(export_id)
    assert_complete(world, export, 250)
    assert export["generation"] == 1


def test_export_can_start_at_a_later_page(world):
    export = world.finish(world.start(query={"page": 2}))
    assert_complete(world, export, 150)
