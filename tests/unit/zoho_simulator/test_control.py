"""Faults, the journal and settings: how tests control the simulator."""

import hashlib
import io
import zipfile

import pytest

from zoho_simulator.config import SimulatorConfig
from zoho_simulator.faults import Fault, Faults

CREATE = {"query": {"module": {"api_name": "Contacts"}}}


def script(client, **rule):
    response = client.request("POST", "/__sim__/faults", json_body=rule)
    assert response.status_code == 200, response.text


def test_fault_with_nth_acts_on_these_requests_only(client):
    body = {"code": "INTERNAL_ERROR", "status": "error"}
    path = "/crm/v2/Contacts"
    script(client, method="GET", path=f"^{path}$", nth=[2, 3], status=503, body=body, headers={"X-A": "1"})
    responses = [client.get(f"{path}?per_page=1") for _ in range(4)]
    assert [r.status_code for r in responses] == [200, 503, 503, 200]
    assert (responses[1].json(), responses[1].headers["X-A"]) == (body, "1")
    assert client.get("/crm/v2/Deals").status_code == 200


def test_fault_with_times_ends_and_delete_removes_all(client):
    script(client, path="/Contacts$", status=500, times=1)
    assert [client.get("/crm/v2/Contacts").status_code for _ in range(2)] == [500, 200]
    script(client, path="/Contacts$", status=500)
    assert client.request("DELETE", "/__sim__/faults").json() == {"faults": []}
    assert client.get("/crm/v2/Contacts").status_code == 200


@pytest.mark.parametrize(("drop", "jobs"), [("before", 0), ("after", 1), (True, 0)])
def test_dropped_request_is_processed_only_if_dropped_after(client, drop, jobs):
    script(client, method="POST", path="/read$", drop=drop)
    assert client.create(CREATE).dropped
    assert len(client.organisation.jobs.all()) == jobs
    assert client.organisation.journal.requests("/read$")[0]["status"] == 0


def test_fault_sets_delay_and_cut_of_the_response(client):
    script(client, path="/Deals$", delay=0.2, cut_after=5)
    response = client.get("/crm/v2/Deals")
    assert (response.status_code, response.delay, len(response.content)) == (200, 0.2, 5)


def test_fault_with_process_lets_the_request_take_effect(client):
    script(client, method="POST", path="/read$", status=502, process=True, times=1)
    assert client.create(CREATE).status_code == 502
    assert len(client.organisation.jobs.all()) == 1


class DrawnFaults(Faults):
    """Faults that a simulation draws instead of scripting them."""

    def take(self, target, method, path):
        return Fault(status=503) if path.endswith("/Contacts") else Fault()


def test_faults_can_be_drawn_by_the_caller(start):
    client = start(faults=DrawnFaults())
    assert client.get("/crm/v2/Contacts").status_code == 503
    assert client.get("/crm/v2/Deals").status_code == 200


def test_job_faults_change_state_file_and_count(client):
    script(client, path="/read$", nth=1, job={"state": "FAILURE"})
    script(client, path="/read$", nth=2, job={"corrupt_crc": True})
    script(client, path="/read$", nth=3, job={"count_delta": 5})
    script(client, path="/read$", nth=4, job={"missing_rows": 3})
    script(client, path="/read$", nth=5, job={"expired": True})
    script(client, path="/read$", nth=6, job={"state": "IN PROGRESS"})
    failed, corrupt, wrong, short, expired = (client.export() for _ in range(5))
    assert failed["state"] == "FAILURE"
    archive = client.get(corrupt["result"]["download_url"]).content
    with pytest.raises(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(archive)) as opened:
        opened.read(opened.namelist()[0])
    assert (wrong["result"]["count"], len(client.rows(wrong)) - 1) == (255, 250)
    assert (short["result"]["count"], len(client.rows(short)) - 1) == (250, 247)
    assert client.get(expired["result"]["download_url"]).status_code == 404
    stuck = client.create(CREATE).json()["data"][0]["details"]["id"]
    assert client.get(f"/crm/bulk/v8/read/{stuck}").json()["data"][0]["state"] == "IN PROGRESS"


def test_job_fault_changes_the_job_details_by_a_merge_patch(client):
    patch = {
        "state": "completed",
        "result": {"count": 40.0, "download_url": None},
        "query": None,
        "x": {"y": 1},
    }
    script(client, path="/read$", nth=1, job={"details": patch})
    job_id = client.create(CREATE).json()["data"][0]["details"]["id"]
    (details,) = client.get(f"/crm/bulk/v8/read/{job_id}").json()["data"]
    assert (details["id"], details["state"], details["result"]["count"]) == (job_id, "completed", 40.0)
    assert details["result"]["more_records"] is False
    assert "download_url" not in details["result"]
    assert ("query" in details, details["x"]) == (False, {"y": 1})


@pytest.mark.parametrize(
    "rule", [{"nonsense": 1}, {"drop": "sideways"}, {"path": "("}, {"job": {"x": 1}}, {"target": "x"}]
)
def test_malformed_fault_is_refused(client, rule):
    response = client.request("POST", "/__sim__/faults", json_body=rule)
    assert response.status_code == 400
    assert response.json()["error"]
    assert client.get("/__sim__/faults").json() == {"faults": []}


def test_journal_masks_secrets(client):
    client.create(CREATE)
    (entry,) = client.get("/__sim__/requests?path=/read$").json()["requests"]
    assert (entry["method"], entry["status"]) == ("POST", 201)
    assert entry["body"] == '{"query": {"module": {"api_name": "Contacts"}}}'
    assert entry["headers"]["content-type"] == "application/json"
    assert entry["headers"]["authorization"] == f"Zoho-oauthtoken ***{client.authorization[-4:]}"
    everything = client.get("/__sim__/requests").text
    assert "local-secret" not in everything
    assert "1000.local.refresh" not in everything
    client.request("DELETE", "/__sim__/requests")
    assert client.get("/__sim__/requests").json() == {"requests": []}


def test_settings_change_at_run_time(client):
    change = {"records": {"Contacts": 3}, "csv_newline": "\n"}
    response = client.request("PATCH", "/__sim__/config", json_body=change)
    assert response.json()["records"]["Contacts"] == 3
    assert client.config.records["Deals"] == 30
    assert client.get("/crm/v2/Contacts").json()["info"]["count"] == 3


@pytest.mark.parametrize(
    "change",
    [
        {"nonsense": 1},
        {"zip_method": "lzma"},
        {"csv_newline": 1},
        {"records_per_job": "many"},
        {"bulk_notes": 1},
    ],
)
def test_malformed_setting_is_refused_and_changes_nothing(client, change):
    before = client.get("/__sim__/config").json()
    response = client.request("PATCH", "/__sim__/config", json_body={"seed": 9, **change})
    assert response.status_code == 400
    assert client.get("/__sim__/config").json() == before


def test_durations_may_be_whole_or_fractional():
    config = SimulatorConfig()
    config.patch({"in_progress_seconds": 2, "access_token_seconds": 0.5, "token_window_seconds": 0.5})
    assert (config.in_progress_seconds, config.access_token_seconds) == (2, 0.5)


def test_access_tokens_can_be_invalidated_at_once(client):
    assert client.request("DELETE", "/__sim__/tokens").json() == {"invalidated": 1}
    assert client.get("/crm/v2/Contacts").json()["code"] == "INVALID_TOKEN"


def test_digest_of_ids_equals_that_of_an_export(client):
    ids = sorted(row[0] for row in client.rows(client.export())[1:])
    digest = client.get("/__sim__/data/Contacts/digest").json()
    expected = hashlib.sha256("".join(f"{i}\n" for i in ids).encode()).hexdigest()
    assert digest == {"module": "Contacts", "count": 250, "ids_sha256": expected}
    assert client.get("/__sim__/data/Contacts/digest?from=1").json()["ids_sha256"] != expected


def test_health_is_ok_and_unknown_control_path_is_refused(client):
    assert client.get("/__sim__/health").json()["status"] == "ok"
    assert client.get("/__sim__/nonsense").status_code == 400
