"""Faults, journal, settings: what tests use to steer the simulator."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest
import requests

from zoho_simulator.config import SimulatorConfig

CREATE = {"query": {"module": {"api_name": "Contacts"}}}
ROOT = Path(__file__).parents[3]


def script(client, **rule):
    answer = client.request("POST", "/__sim__/faults", json=rule)
    assert answer.status_code == 200, answer.text


def test_scripted_status_comes_on_the_chosen_requests_only(client):
    body = {"code": "INTERNAL_ERROR", "status": "error"}
    script(
        client,
        method="GET",
        path="^/crm/v2/Contacts$",
        nth=[2, 3],
        status=503,
        body=body,
        headers={"X-A": "1"},
    )
    answers = [client.get("/crm/v2/Contacts?per_page=1") for _ in range(4)]
    assert [a.status_code for a in answers] == [200, 503, 503, 200]
    assert (answers[1].json(), answers[1].headers["X-A"]) == (body, "1")
    assert client.get("/crm/v2/Deals").status_code == 200


def test_times_bounds_a_rule_and_delete_ends_all(client):
    script(client, path="/Contacts$", status=500, times=1)
    assert [client.get("/crm/v2/Contacts").status_code for _ in range(2)] == [500, 200]
    script(client, path="/Contacts$", status=500)
    assert client.request("DELETE", "/__sim__/faults").json() == {"faults": []}
    assert client.get("/crm/v2/Contacts").status_code == 200


def test_dropped_before_is_not_processed_dropped_after_is(client):
    for drop, jobs in (("before", 0), ("after", 1)):
        script(client, method="POST", path="/read$", drop=drop, times=1)
        with pytest.raises(requests.ConnectionError):
            client.create(CREATE)
        assert len(client.get("/__sim__/jobs").json()["jobs"]) == jobs


def test_body_is_cut_after_n_bytes(start):
    client = start(result_content_length=True)
    path = client.export()["result"]["download_url"]
    script(client, path="/result$", cut_after=1000, times=1)
    with client.get(path, stream=True) as answer:
        announced = int(answer.headers["Content-Length"])
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            answer.content  # noqa: B018
    assert announced > 1000
    assert len(client.get(path).content) == announced


def test_cut_of_a_chunked_body_is_noticed(client):
    path = client.export()["result"]["download_url"]
    script(client, path="/result$", cut_after=1000, times=1)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.get(path)


def test_delay(client):
    script(client, path="/Deals$", delay=0.2, times=1)
    began = time.monotonic()
    assert client.get("/crm/v2/Deals").status_code == 200
    assert time.monotonic() - began >= 0.2


def test_process_lets_the_request_take_effect(client):
    script(client, method="POST", path="/read$", status=502, process=True, times=1)
    assert client.create(CREATE).status_code == 502
    assert len(client.get("/__sim__/jobs").json()["jobs"]) == 1


def test_scripted_jobs(client):
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


def test_a_job_can_be_changed_later(client):
    detail = client.export()
    client.request("PATCH", f"/__sim__/jobs/{detail['id']}", json={"expired": True})
    assert client.get(detail["result"]["download_url"]).status_code == 404


@pytest.mark.parametrize(
    "rule", [{"nonsense": 1}, {"drop": "sideways"}, {"path": "("}, {"job": {"x": 1}}, {"target": "x"}]
)
def test_senseless_rules_are_refused(client, rule):
    answer = client.request("POST", "/__sim__/faults", json=rule)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert client.get("/__sim__/faults").json() == {"faults": []}


def test_journal_tells_what_was_received_without_secrets(client):
    client.create(CREATE)
    (entry,) = client.get("/__sim__/requests?path=/read$").json()["requests"]
    assert (entry["method"], entry["status"]) == ("POST", 201)
    assert entry["body"] == '{"query": {"module": {"api_name": "Contacts"}}}'
    assert entry["headers"]["content-type"] == "application/json"
    token = client.session.headers["Authorization"].partition(" ")[2]
    assert entry["headers"]["authorization"] == f"Zoho-oauthtoken ***{token[-4:]}"
    everything = client.get("/__sim__/requests").text
    assert "local-secret" not in everything
    assert "1000.local.refresh" not in everything
    client.request("DELETE", "/__sim__/requests")
    assert client.get("/__sim__/requests").json() == {"requests": []}


def test_settings_change_at_run_time(client):
    answer = client.request(
        "PATCH", "/__sim__/config", json={"records": {"Contacts": 3}, "csv_newline": "\n"}
    )
    assert answer.json()["records"]["Contacts"] == 3
    assert client.simulator.config.records["Deals"] == 30
    assert client.get("/crm/v2/Contacts").json()["info"]["count"] == 3


@pytest.mark.parametrize(
    "change",
    [
        {"nonsense": 1},
        {"zip_method": "lzma"},
        {"csv_newline": 1},
        {"records_per_job": "many"},
        {"bulk_notes": 1},
        {"clock": 1},
    ],
)
def test_senseless_settings_are_refused_and_change_nothing(client, change):
    before = client.get("/__sim__/config").json()
    answer = client.request("PATCH", "/__sim__/config", json={"seed": 9, **change})
    assert answer.status_code == 400
    assert client.get("/__sim__/config").json() == before


def test_durations_may_be_whole_or_fractional():
    config = SimulatorConfig()
    config.patch({"in_progress_seconds": 2, "access_token_seconds": 0.5, "token_window_seconds": 0.5})
    assert (config.in_progress_seconds, config.access_token_seconds) == (2, 0.5)


def test_tokens_can_be_invalidated_at_once(client):
    assert client.request("DELETE", "/__sim__/tokens").json() == {"invalidated": 1}
    assert client.get("/crm/v2/Contacts").json()["code"] == "INVALID_TOKEN"


def test_digest_of_ids_equals_that_of_an_export(client):
    ids = sorted(row[0] for row in client.rows(client.export())[1:])
    told = client.get("/__sim__/data/Contacts/digest").json()
    expected = hashlib.sha256("".join(f"{i}\n" for i in ids).encode()).hexdigest()
    assert told == {"module": "Contacts", "count": 250, "ids_sha256": expected}
    assert client.get("/__sim__/data/Contacts/digest?from=1").json()["ids_sha256"] != expected


def test_health_and_unknown_control_path(client):
    assert client.get("/__sim__/health").json()["status"] == "ok"
    assert client.get("/__sim__/nonsense").status_code == 400


def test_one_connection_serves_many_requests(client):
    host = client.simulator.url.removeprefix("http://")
    headers = {"Authorization": client.session.headers["Authorization"]}
    with closing(HTTPConnection(host, timeout=10)) as connection:
        connection.connect()
        first = connection.sock
        for path in ("/crm/v2/Deals", "/crm/v2/Tasks", "/crm/v2/Nonsense", "/crm/v2/Deals"):
            connection.request("GET", path, headers=headers)
            connection.getresponse().read()
            assert connection.sock is first


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command_line_serves_and_stops(number):
    command = [
        sys.executable,
        "-m",
        "zoho_simulator",
        "--records",
        "5",
        "--module",
        "Deals=7",
        "--set",
        "bulk_notes=true",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ) as process:
        line = process.stdout.readline()
        url = line.removeprefix("Zoho simulator on ").strip()
        config = requests.get(f"{url}/__sim__/config", timeout=10).json()
        process.send_signal(number)
        assert process.wait(10) == 0
    assert (config["records"]["Contacts"], config["records"]["Deals"], config["bulk_notes"]) == (5, 7, True)
