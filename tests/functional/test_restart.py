"""An export whose page token or result is gone begins anew, and never mixes two snapshots."""

import json

import pytest

from tests.functional.test_bulk_read import assert_complete, finish, small_jobs  # noqa: F401 (a fixture)

GONE = json.dumps(
    {
        "code": "RESOURCE_NOT_FOUND",
        "message": "The requested resource doesn't exist.",
        "status": "error",
        "details": {},
    }
)


@pytest.fixture
def world(small_jobs):  # noqa: F811
    return small_jobs


def test_an_expired_page_token_begins_the_export_anew(world):
    world.zoho.config.patch({"page_token_seconds": 0.0})
    export_id = world.start()
    world.invoke("ExportReconciler", {})
    world.pump("DownloadQueue")  # part 1 is stored, part 2 waits to be submitted
    world.pump("SubmitQueue")
    world.zoho.config.patch({"page_token_seconds": 86_400.0})
    anew = world.export(export_id)
    assert (anew["state"], anew["generation"], [part["part"] for part in anew["parts"]]) == (
        "RUNNING",
        2,
        [3],
    )
    export = finish(world, export_id)
    assert_complete(world, export, 250)
    manifest = json.loads(world.objects(export_id)["manifest.json"])
    assert manifest["generation"] == 2
    assert [part["part"] for part in manifest["parts"]] == [3, 4, 5]
    assert "part-00001.csv" not in world.objects(export_id)


def test_a_late_callback_of_the_first_generation_changes_nothing(world):
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
    assert_complete(world, finish(world, export_id), 250)


def test_tokens_that_always_expire_end_the_export_with_the_reason(world):
    world.zoho.config.patch({"page_token_seconds": 0.0})
    export = finish(world, world.start())
    assert (export["state"], export["failure"]["code"]) == ("FAILED", "ZOHO_PAGE_TOKEN_EXPIRED")
    assert export["generation"] == 3
    assert "manifest.json" not in world.objects(export["export_id"])


def test_a_result_that_is_gone_is_asked_for_again(world):
    export_id = world.start()
    world.zoho.fault(path="/result$", status=404, times=3, body=GONE)
    export = finish(world, export_id)
    assert_complete(world, export, 250)
    assert export["generation"] == 2


def test_a_job_that_zoho_no_longer_knows_is_made_again(world):
    export_id = world.start()
    world.zoho.fault(method="GET", path="/read/[^/]+$", status=404, times=3, body=GONE)
    export = finish(world, export_id)
    assert_complete(world, export, 250)
    assert export["generation"] == 1


def test_an_export_may_begin_with_a_later_page(world):
    export = finish(world, world.start(query={"page": 2}))
    assert_complete(world, export, 150)
