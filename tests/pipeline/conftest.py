"""One stack for all tests of a worker: `python -m local up`, as a user starts it, with small jobs in Zoho."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from local.host.aws import LocalAws, closed_session
from local.host.processes import REPOSITORY, Child
from local.servers import LAG_SECONDS
from local.state import State, read_state
from tests.support.processes import parents

# Small and quick jobs. Downloads are unlimited: ten a minute would make most tests wait.
ZOHO = {
    "records": {"Contacts": 450, "Accounts": 0, "Deals": 120},
    "records_per_job": 200,
    "downloads_per_minute": 0,
    "added_seconds": 0.05,
    "queued_seconds": 0.05,
    "in_progress_seconds": 0.1,
    "callback_retry_seconds": 0.2,
}
BULK_READ = "/v1/e/zoho/bulk-read"


def pytest_configure(config: pytest.Config) -> None:
    """Load the plugin that only these tests use; pyproject.toml disables automatic loading."""
    config.pluginmanager.import_plugin("schemathesis.pytest.plugin")


class RunningStack:
    """The stack under test: its API, its AWS, and the simulator's controls."""

    def __init__(self, state: State, process: "subprocess.Popen[str]") -> None:
        self.state, self.process = state, process
        self.aws = LocalAws(state.aws_endpoint_url)
        self.s3 = self.aws.client("s3")
        self.sqs = self.aws.client("sqs")

    def call(
        self, method: str, path: str, token: str | None = None, body: object = None, **headers: str
    ) -> requests.Response:
        """Call the API as acct-1/user-1, or with another token; "" sends no token."""
        token = self.state.token if token is None else token
        authorization = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.request(
            method, self.state.api_url + path, json=body, headers={**authorization, **headers}, timeout=60
        )

    def token_of(self, account: str, owner: str) -> str:
        """Return a token for another caller."""
        order = {"account": account, "owner": owner, "claims": {}, "expires_in": 600}
        return requests.post(f"{self.state.control_url}/token", json=order, timeout=10).json()["token"]

    def zoho(self, method: str, path: str, document: object = None) -> Any:
        """Call the simulator's control API."""
        response = requests.request(
            method, f"{self.state.zoho_url}/__sim__/{path}", json=document, timeout=10
        )
        assert response.status_code == 200, response.text
        return response.json()

    def start(self, module: str = "contacts", body: Mapping[str, object] | None = None) -> str:
        """Start an export; return its id."""
        response = self.call("POST", f"{BULK_READ}/{module}", body=body or {})
        assert response.status_code == 202, response.text
        return response.json()["data"]["export_id"]

    def export(self, export_id: str) -> dict[str, Any]:
        """Return the API's description of an export."""
        return self.call("GET", f"{BULK_READ}/exports/{export_id}").json()["data"]

    def wait(self, export_id: str, seconds: float = 60) -> dict[str, Any]:
        """Wait until an export has ended, and return it."""
        deadline = time.monotonic() + seconds
        while (export := self.export(export_id))["state"] == "RUNNING":
            assert time.monotonic() < deadline, f"still {json.dumps(export, indent=1)}"
            time.sleep(0.1)
        return export

    def manifest(self, export: Mapping[str, Any]) -> dict[str, Any]:
        """Return the manifest of a completed export."""
        body = self.s3.get_object(Bucket=self.state.results_bucket, Key=export["manifest_key"])["Body"]
        return json.load(body)

    def keys(self, export_id: str) -> list[str]:
        """Return the names of the objects of an export."""
        listed = self.s3.list_objects_v2(Bucket=self.state.results_bucket).get("Contents", [])
        return [item["Key"].rpartition("/")[2] for item in listed if f"export_id={export_id}/" in item["Key"]]

    def jobs(self, export_id: str, part: int | str = "") -> list[dict[str, Any]]:
        """Return the simulator's jobs of an export, or of one of its parts."""
        path = f"/callback/{export_id}/{part}" + ("/" if part else "")
        return [job for job in self.zoho("GET", "jobs")["jobs"] if path in (job["callback_url"] or "")]

    def callbacks(self, export_id: str, at_least: int) -> list[int]:
        """Return the statuses Zoho got for part 1's callbacks, once there are `at_least` of them."""
        deadline = time.monotonic() + 10
        while True:
            sent = [call for job in self.jobs(export_id, 1) for call in job["callbacks"]]
            if len(sent) >= at_least or time.monotonic() > deadline:
                return [call["status"] for call in sent]
            time.sleep(0.05)

    def lambda_client(self) -> Any:
        """Return a boto3 client for the local stack's functions."""
        return closed_session().client("lambda", endpoint_url=self.state.control_url)

    @contextmanager
    def configured(self, function: str, *, timeout: int | None = None, **variables: str) -> Iterator[None]:
        """Run a function with another timeout or other variables until the end of the context."""
        client, name = self.lambda_client(), self.state.functions[function]
        before = client.get_function_configuration(FunctionName=name)
        environment = {"Variables": {**before["Environment"]["Variables"], **variables}}
        client.update_function_configuration(
            FunctionName=name, Timeout=timeout or before["Timeout"], Environment=environment
        )
        try:
            yield
        finally:
            client.update_function_configuration(
                FunctionName=name, Timeout=before["Timeout"], Environment=before["Environment"]
            )

    def descendants(self) -> set[int]:
        """Return the processes that the stack has started, directly or indirectly."""
        parent_of, family = parents(), {self.process.pid}
        while children := {pid for pid, parent in parent_of.items() if parent in family} - family:
            family |= children
        return family - {self.process.pid}


@contextmanager
def running_stack(folder: Path, *arguments: str) -> Iterator[RunningStack]:
    """Run `python -m local up` until the end of the context."""
    state_file, output = folder / "stack.json", folder / "up.out"
    command = [sys.executable, "-m", "local", "up", "--state-file", str(state_file), *arguments]
    with output.open("w") as out:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=out, stderr=subprocess.STDOUT, text=True)
    try:
        deadline = time.monotonic() + 60
        while (state := read_state(state_file)) is None:
            assert process.poll() is None and time.monotonic() < deadline, output.read_text()
            time.sleep(0.05)
        yield RunningStack(state, process)
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGTERM)
        process.wait(timeout=20)


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """moto's process, for tests without a stack."""
    lag = ["--lag", str(LAG_SECONDS)]
    child = Child("local.host.aws", lag, log=tmp_path_factory.mktemp("aws") / "aws.log")
    yield LocalAws(child.wait_for_url())
    child.stop()


@pytest.fixture
def aws(moto: LocalAws) -> LocalAws:
    """An AWS with nothing in it."""
    requests.post(f"{moto.url}/moto-api/reset", timeout=10).raise_for_status()
    return moto


@pytest.fixture(scope="session")
def session_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """The stack that all tests of a worker share. Its reconciler runs every second."""
    folder = tmp_path_factory.mktemp("stack")
    with (
        running_stack(folder, "--tick", "1", "--parameter", "DownloadsPerMinute=1000") as stack,
        stack.configured("ExportReconciler", PART_QUIET_SECONDS="2"),  # the template allows 5 or more
    ):
        stack.zoho("PATCH", "config", ZOHO)
        stack.defaults = stack.zoho("GET", "config")
        yield stack


@pytest.fixture
def stack(session_stack: RunningStack) -> Iterator[RunningStack]:
    """The shared stack; the simulator gets its settings back after the test."""
    yield session_stack
    session_stack.zoho("PATCH", "config", session_stack.defaults)
    session_stack.zoho("DELETE", "faults")
