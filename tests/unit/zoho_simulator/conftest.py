"""Shared by the simulator's tests: an organisation on a virtual clock, a client, a callback receiver."""

import csv
import heapq
import io
import itertools
import json
import zipfile
from collections.abc import Callable, Mapping
from random import Random
from typing import Any
from urllib.parse import urlencode

import pytest

from zoho_simulator.config import Environment, SimulatorConfig
from zoho_simulator.faults import Faults
from zoho_simulator.http.control import respond
from zoho_simulator.http.organisation import Organisation
from zoho_simulator.wire import Request, Response

FAST = {"added_seconds": 0.0, "queued_seconds": 0.0, "in_progress_seconds": 0.0}
SMALL = {"Contacts": 250, "Accounts": 40, "Deals": 30, "Leads": 25, "Events": 20, "Notes": 12, "Tasks": 0}
CREDENTIALS = {
    "grant_type": "refresh_token",
    "client_id": "1000.LOCAL",
    "client_secret": "local-secret",
    "refresh_token": "1000.local.refresh",
}
URL = "https://zoho.example"


class Clock:
    """Virtual time: moves only by `advance`, which runs the actions that become due, in order."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def __call__(self) -> float:
        return self.now

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.now + seconds, next(self._order), action))

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            self.now, _, action = heapq.heappop(self._due)
            action()
        self.now = end


class Receiver:
    """Receives callbacks; returns the given statuses, then 200. A status may be an exception to raise."""

    callback = {"url": "https://receiver.example/cb", "method": "post"}

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.types: list[str] = []
        self.statuses: list[int | Exception] = []

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        assert url == self.callback["url"]
        status = self.statuses.pop(0) if self.statuses else 200
        if isinstance(status, Exception):
            raise status
        self.bodies.append(json.loads(body))
        self.types.append(headers["Content-Type"])
        return status


class Reply:
    """A response with its whole body, named as `requests` names its parts."""

    def __init__(self, response: Response) -> None:
        self.dropped = response.drop
        self.delay = response.delay
        self.length = response.length
        self.status_code = response.status
        self.headers = response.headers
        self.content = response.content()

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)


class Client:
    """An authorised client of one organisation, without HTTP."""

    def __init__(self, organisation: Organisation, clock: Clock) -> None:
        self.organisation = organisation
        self.config = organisation.config
        self.clock = clock
        self.authorization = ""
        token = self.request("POST", "/oauth/v2/token", data=CREDENTIALS).json()["access_token"]
        self.authorization = f"Zoho-oauthtoken {token}"

    def request(
        self, method: str, path: str, *, json_body: Any = None, data: Any = b"", headers: Any = None
    ) -> Reply:
        sent = {"Authorization": self.authorization, **(headers or {})}
        if json_body is not None:
            data, sent = json.dumps(json_body).encode(), {**sent, "Content-Type": "application/json"}
        elif isinstance(data, dict):
            data = urlencode(data).encode()
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        return Reply(respond(self.organisation, Request.of(method, path, sent, data)))

    def get(self, path: str, **more: Any) -> Reply:
        return self.request("GET", path, **more)

    def fault(self, **rule: Any) -> None:
        self.organisation.faults.add(rule)

    def create(self, body: Any, version: str = "v8") -> Reply:
        return self.request("POST", f"/crm/bulk/{version}/read", json_body=body)

    def export(self, module: str = "Contacts", version: str = "v8", **query: Any) -> dict[str, Any]:
        """Create a job, wait for its end, return its details."""
        name: Any = module if version == "v2" else {"api_name": module}
        created = self.create({"query": {"module": name, **query}}, version)
        assert created.status_code == 201, created.text
        return self.finish(created.json()["data"][0]["details"]["id"], version)

    def finish(self, job_id: str, version: str = "v8") -> dict[str, Any]:
        for _ in range(100):
            details = self.get(f"/crm/bulk/{version}/read/{job_id}").json()["data"][0]
            if details["state"] in ("COMPLETED", "FAILURE"):
                return details
            self.clock.advance(0.1)
        raise AssertionError(f"job {job_id} does not end")

    def rows(self, details: dict[str, Any]) -> list[list[str]]:
        """Return header and rows of a finished job's CSV."""
        archive = self.get(details["result"]["download_url"])
        assert archive.status_code == 200, archive.text
        with zipfile.ZipFile(io.BytesIO(archive.content)) as opened:
            assert opened.namelist() == [f"{details['id']}.csv"]
            text = opened.read(opened.namelist()[0]).decode("utf-8-sig")
        return list(csv.reader(io.StringIO(text, newline="")))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def start(clock: Clock, receiver: Receiver) -> Callable[..., Client]:
    """Creates organisations with the given settings."""

    def starter(faults: Faults | None = None, **settings: Any) -> Client:
        config = SimulatorConfig(**{"records": dict(SMALL), **FAST, **settings})
        environment = Environment(clock.after, receiver.post, clock, Random(1))
        return Client(Organisation(config, environment, url=URL, faults=faults), clock)

    return starter


@pytest.fixture
def client(start: Callable[..., Client]) -> Client:
    return start()
