"""Exports from the request to the last record in S3, whatever Zoho's callbacks do."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from local.demo.verify import verify
from tests.pipeline.conftest import BULK_READ, RunningStack

PARTS = [("part-00001.csv", 200), ("part-00002.csv", 200), ("part-00003.csv", 50)]


def assert_whole(stack: RunningStack, export: dict, records: int) -> None:
    """Assert that every record is in S3 exactly once, as the manifest states."""
    assert export["state"] == "COMPLETED", export["failure"]
    assert export["records"] == records
    manifest = stack.manifest(export)
    checks = verify(stack.s3, stack.state.results_bucket, manifest, records)
    assert [check for check in checks if not check.passed] == []
    assert [part["state"] for part in export["parts"]] == ["STORED"] * len(manifest["parts"])


def test_export_of_several_parts_stores_every_record(stack: RunningStack) -> None:
    export_id = stack.start()
    export = stack.wait(export_id)

    assert_whole(stack, export, 450)
    assert sorted(stack.keys(export_id)) == ["manifest.json", *(name for name, _ in PARTS)]
    manifest = stack.manifest(export)
    assert [(part["key"].rpartition("/")[2], part["records"]) for part in manifest["parts"]] == PARTS
    folder = f"exports/account_id=acct-1/module=Contacts/export_id={export_id}/"
    assert all(part["key"].startswith(folder) for part in manifest["parts"])
    assert manifest["parts"][0]["header"][0] == "Id"
    assert manifest["api_version"] == "v8"
    assert (manifest["account_id"], manifest["owner"], manifest["module"]) == ("acct-1", "user-1", "Contacts")


def test_links_of_an_export_need_no_credentials(stack: RunningStack) -> None:
    export = stack.wait(stack.start("deals", {"query": {"fields": ["Deal_Name"]}}))
    part = export["parts"][0]
    content = requests.get(part["url"], timeout=10).content
    assert content.startswith(b"Id,Deal_Name")
    assert len(content) == part["bytes"]


def test_next_part_is_requested_before_the_previous_one_is_stored(stack: RunningStack) -> None:
    stack.zoho(
        "POST", "faults", {"method": "GET", "path": "/result$", "nth": [1], "delay": 2, "process": True}
    )
    export_id = stack.start()
    deadline = time.monotonic() + 20
    states: list[str] = []
    while "SUBMITTED" not in states[1:] and "STORED" not in states[:1] and time.monotonic() < deadline:
        states = [part["state"] for part in stack.export(export_id)["parts"]]
    assert states[0] == "STORING"
    assert len(states) >= 2
    assert_whole(stack, stack.wait(export_id), 450)


def test_module_without_records_gives_an_empty_export(stack: RunningStack) -> None:
    export = stack.wait(stack.start("accounts"))
    assert export["state"] == "COMPLETED"
    assert export["records"] == 0


@pytest.mark.parametrize("shape", ["documented", "flat"])
def test_export_proceeds_with_both_shapes_of_the_callback(stack: RunningStack, shape: str) -> None:
    stack.zoho("PATCH", "config", {"callback_shape": shape})
    export_id = stack.start("deals")
    export = stack.wait(export_id)
    assert_whole(stack, export, 120)
    assert stack.callbacks(export_id, at_least=1) == [200]


def test_reconciler_replaces_a_callback_that_never_comes(stack: RunningStack) -> None:
    stack.zoho("PATCH", "config", {"callback_mode": "never"})
    export_id = stack.start("deals")
    started = time.monotonic()
    assert_whole(stack, stack.wait(export_id), 120)
    assert time.monotonic() - started > 1.5
    assert stack.callbacks(export_id, at_least=0) == []


def test_repeated_callbacks_change_nothing(stack: RunningStack) -> None:
    stack.zoho("PATCH", "config", {"callback_copies": 3})
    export_id = stack.start()
    assert_whole(stack, stack.wait(export_id), 450)
    assert stack.callbacks(export_id, at_least=3) == [200, 200, 200]
    assert len(stack.jobs(export_id)) == 3


def test_callback_before_the_response_to_create_job_is_not_lost(stack: RunningStack) -> None:
    stack.zoho("PATCH", "config", {"callback_mode": "early"})
    export_id = stack.start()
    assert_whole(stack, stack.wait(export_id), 450)


def test_lost_response_to_create_job_makes_no_second_copy(stack: RunningStack) -> None:
    stack.zoho("POST", "faults", {"method": "POST", "path": "/read$", "times": 1, "drop": "after"})
    export_id = stack.start("deals")
    assert_whole(stack, stack.wait(export_id), 120)
    assert sorted(stack.keys(export_id)) == ["manifest.json", "part-00001.csv"]


@pytest.mark.parametrize(
    "variant",
    [
        {"zip_sizes": "descriptor_no_signature"},
        {"zip_sizes": "header"},
        {"zip_zip64": True},
        {"zip_method": "store", "zip_sizes": "header"},
        {"csv_newline": "\n", "csv_quoting": "all", "id_position": "last"},
        {"result_content_type": "application/x-download", "result_filename_style": "extended"},
    ],
    ids=lambda variant: "-".join(map(str, variant.values())),
)
def test_every_variant_of_the_result_file_is_read(stack: RunningStack, variant: dict) -> None:
    stack.zoho("PATCH", "config", variant)
    assert_whole(stack, stack.wait(stack.start("deals")), 120)


def test_query_that_zoho_refuses_is_refused(stack: RunningStack) -> None:
    response = stack.call("POST", f"{BULK_READ}/contacts", body={"query": {"fields": ["No_Such_Field"]}})
    assert (response.status_code, response.json()["zoho_code"]) == (422, "FIELD_NOT_AVAILABLE")
    assert "No_Such_Field" in response.json()["message"]


def test_callback_with_a_wrong_signature_is_refused_and_changes_nothing(stack: RunningStack) -> None:
    stack.zoho("PATCH", "config", {"callback_mode": "never"})
    with stack.configured("ExportReconciler", PART_QUIET_SECONDS="86400"):
        export_id = stack.start("deals")
        path = f"{BULK_READ}/callback/{export_id}/1/{'0' * 64}"
        response = stack.call("POST", path, "", {"data": [{"id": "1"}]})
        assert response.status_code == 403, response.text
        time.sleep(1)
        assert stack.export(export_id)["parts"][0]["state"] == "SUBMITTED"
    stack.wait(export_id)


def test_callbacks_that_all_arrive_at_once_are_accepted_and_none_is_lost(stack: RunningStack) -> None:
    stack.zoho("PATCH", "config", {"callback_mode": "never"})
    export_ids = [stack.start("deals") for _ in range(5)]
    jobs = [job for export_id in export_ids for job in stack.jobs(export_id, 1)]

    def call_back(job: dict) -> int:
        body = {"data": [{"id": job["id"], "state": "COMPLETED"}]}
        return requests.post(job["callback_url"], json=body, timeout=60).status_code

    with ThreadPoolExecutor(100) as clients:
        statuses = list(clients.map(call_back, jobs * 20))

    assert statuses == [200] * 100
    for export_id in export_ids:
        assert_whole(stack, stack.wait(export_id), 120)
