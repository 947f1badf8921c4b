"""The simulator over HTTP: broken transfers, streams, real callbacks, and the process."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from tests.unit.zoho_simulator.conftest import CREDENTIALS, FAST
from zoho_simulator.http.server import SimulatorConfig, start_simulator

CREATE = {"query": {"module": {"api_name": "Contacts"}}}
ROOT = Path(__file__).parents[3]


class HttpClient:
    """An authorised client over HTTP."""

    def __init__(self, simulator):
        self.simulator = simulator
        self.session = requests.Session()
        self.session.trust_env = False
        token = self.request("POST", "/oauth/v2/token", data=CREDENTIALS).json()["access_token"]
        self.session.headers["Authorization"] = f"Zoho-oauthtoken {token}"

    def request(self, method, path, **more):
        return self.session.request(method, self.simulator.url + path, timeout=10, **more)

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def create(self, body=CREATE):
        return self.request("POST", "/crm/bulk/v8/read", json=body)

    def result_path(self):
        job = self.create().json()["data"][0]["details"]["id"]
        return f"/crm/bulk/v8/read/{job}/result"


@pytest.fixture
def client():
    config = SimulatorConfig(records={"Contacts": 250, "Deals": 30, "Tasks": 0}, **FAST)
    with start_simulator(config) as simulator:
        client = HttpClient(simulator)
        yield client
        client.session.close()


def test_faults_are_scripted_over_http(client):
    rule = {"path": "/Deals$", "status": 503, "body": {"code": "INTERNAL_ERROR"}, "headers": {"X-A": "1"}}
    assert client.request("POST", "/__sim__/faults", json={**rule, "times": 1}).status_code == 200
    response = client.get("/crm/v2/Deals")
    assert (response.status_code, response.json(), response.headers["X-A"]) == (503, rule["body"], "1")
    assert client.get("/crm/v2/Deals").status_code == 200


def test_dropped_request_is_a_connection_error(client):
    for drop, jobs in (("before", 0), ("after", 1)):
        client.simulator.fault(method="POST", path="/read$", drop=drop, times=1)
        with pytest.raises(requests.ConnectionError):
            client.create()
        assert len(client.simulator.organisation.jobs.all()) == jobs


def test_body_with_length_is_cut_after_the_given_bytes(client):
    client.simulator.config.result_content_length = True
    path = client.result_path()
    client.simulator.fault(path="/result$", cut_after=1000, times=1)
    with client.get(path, stream=True) as response:
        announced = int(response.headers["Content-Length"])
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            response.content  # noqa: B018
    assert announced > 1000
    assert len(client.get(path).content) == announced


def test_chunked_body_is_cut_without_its_last_chunk(client):
    path = client.result_path()
    client.simulator.fault(path="/result$", cut_after=1000, times=1)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.get(path)


def test_result_is_chunked_and_named(client):
    response = client.get(client.result_path())
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert response.headers["Content-Type"] == "application/zip"
    assert response.headers["Content-Disposition"].endswith('.zip"')
    with zipfile.ZipFile(io.BytesIO(response.content)) as opened:
        text = opened.read(opened.namelist()[0]).decode()
    assert len(list(csv.reader(io.StringIO(text, newline="")))) == 251


def test_delayed_response_waits(client):
    client.simulator.fault(path="/Deals$", delay=0.1, times=1)
    began = time.monotonic()
    assert client.get("/crm/v2/Deals").status_code == 200
    assert time.monotonic() - began >= 0.1


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


def test_mistake_in_the_simulator_is_a_500_with_a_traceback(client, monkeypatch, capfd):
    monkeypatch.setattr(client.simulator.organisation, "handle", lambda request: 1 / 0)
    response = client.get("/crm/v2/Deals")
    assert (response.status_code, response.json()["code"]) == (500, "INTERNAL_ERROR")
    assert "ZeroDivisionError" in capfd.readouterr().err


class _Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(500 if len(self.server.bodies) == 1 else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format, *args):
        pass


@pytest.fixture
def receiver():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Receiver) as server:
        server.bodies = []
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def wait_for_attempts(client, count):
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        attempts = client.get("/__sim__/jobs").json()["jobs"][0]["callbacks"]
        if len(attempts) >= count:
            break
        time.sleep(0.01)
    return attempts


def test_callback_is_posted_and_retried_over_http(client, receiver):
    client.simulator.config.callback_retry_seconds = 0.02
    url = f"http://127.0.0.1:{receiver.server_port}/cb?part=1"
    client.create({**CREATE, "callback": {"url": url, "method": "post"}})
    assert [a["status"] for a in wait_for_attempts(client, 2)] == [500, 200]
    assert receiver.bodies[1]["data"][0]["state"] == "COMPLETED"


def test_unreachable_receiver_is_recorded(client):
    client.simulator.config.patch({"callback_attempts": 1, "callback_timeout": 0.5})
    client.create({**CREATE, "callback": {"url": "http://127.0.0.1:1/x", "method": "post"}})
    assert "ConnectionRefusedError" in wait_for_attempts(client, 1)[0]["error"]


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_process_serves_until_it_is_signalled(number):
    arguments = ["--records", "5", "--module", "Deals=7", "--set", "bulk_notes=true", "--today", "2026-07-01"]
    command = [sys.executable, "-m", "zoho_simulator", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ) as process:
        line = process.stdout.readline()
        url = line.removeprefix("Zoho simulator on ").strip()
        config = requests.get(f"{url}/__sim__/config", timeout=10).json()
        process.send_signal(number)
        assert process.wait(10) == 0
    assert (config["records"]["Contacts"], config["records"]["Deals"], config["bulk_notes"]) == (5, 7, True)
    assert config["first_day"] == "2025-12-12"
