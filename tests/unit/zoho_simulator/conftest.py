"""What all simulator tests share: a running simulator, a client that is let in, a callback receiver."""

import csv
import io
import json
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from zoho_simulator.http.server import Simulator, SimulatorConfig, start_simulator

FAST = {"added_seconds": 0.0, "queued_seconds": 0.0, "in_progress_seconds": 0.0}
SMALL = {"Contacts": 250, "Accounts": 40, "Deals": 30, "Leads": 25, "Events": 20, "Notes": 12, "Tasks": 0}
CREDENTIALS = {
    "grant_type": "refresh_token",
    "client_id": "1000.LOCAL",
    "client_secret": "local-secret",
    "refresh_token": "1000.local.refresh",
}


class Clock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Client:
    """An authorised client of one simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.session = requests.Session()
        self.session.trust_env = False
        answer = self.session.post(f"{simulator.url}/oauth/v2/token", params=CREDENTIALS, timeout=10)
        self.session.headers["Authorization"] = f"Zoho-oauthtoken {answer.json()['access_token']}"

    def request(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.session.request(method, self.simulator.url + path, timeout=10, **more)

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.request("GET", path, **more)

    def create(self, body: Any, version: str = "v8") -> requests.Response:
        return self.request("POST", f"/crm/bulk/{version}/read", json=body)

    def export(self, module: str = "Contacts", version: str = "v8", **query: Any) -> dict[str, Any]:
        """Create a job, wait for its end, give its status document."""
        name: Any = module if version == "v2" else {"api_name": module}
        created = self.create({"query": {"module": name, **query}}, version)
        assert created.status_code == 201, created.text
        return self.finish(created.json()["data"][0]["details"]["id"], version)

    def finish(self, job_id: str, version: str = "v8") -> dict[str, Any]:
        for _ in range(500):
            detail = self.get(f"/crm/bulk/{version}/read/{job_id}").json()["data"][0]
            if detail["state"] in ("COMPLETED", "FAILURE"):
                return detail
            time.sleep(0.01)
        raise AssertionError("the job does not end")

    def rows(self, detail: dict[str, Any]) -> list[list[str]]:
        """Header and rows of a finished job's CSV."""
        archive = self.get(detail["result"]["download_url"])
        assert archive.status_code == 200, archive.text
        with zipfile.ZipFile(io.BytesIO(archive.content)) as opened:
            assert opened.namelist() == [f"{detail['id']}.csv"]
            text = opened.read(opened.namelist()[0]).decode("utf-8-sig")
        return list(csv.reader(io.StringIO(text, newline="")))

    def close(self) -> None:
        self.session.close()


class Receiver:
    """Receives callbacks; answers with the statuses it is given, then 200."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.types: list[str | None] = []
        self.statuses: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                receiver.types.append(self.headers["Content-Type"])
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.callback = {"url": f"http://127.0.0.1:{self._server.server_port}/cb", "method": "post"}
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def wait_for(self, count: int, seconds: float = 3.0) -> list[Any]:
        end = time.monotonic() + seconds
        while len(self.bodies) < count and time.monotonic() < end:
            time.sleep(0.01)
        return list(self.bodies)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def start() -> Iterator[Callable[..., Client]]:
    """Starts simulators with given settings, ends them after the test."""
    clients: list[Client] = []

    def starter(**settings: Any) -> Client:
        config = SimulatorConfig(**{"records": dict(SMALL), **FAST, **settings})
        clients.append(Client(start_simulator(config)))
        return clients[-1]

    yield starter
    for client in clients:
        client.close()
        client.simulator.close()


@pytest.fixture
def client(start: Callable[..., Client]) -> Client:
    return start()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.close()
