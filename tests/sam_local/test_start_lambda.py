"""Every file in events/ has the expected result with SAM's own emulator, `sam local start-lambda`.

These tests need a container engine, and SAM_LOCAL_HOST: the IPv4 address of this machine that containers
reach (`make sam-local`). SAM_LOCAL_OPTIONS are further options of start-lambda. docs/sam-local.md is the
guide whose steps they take.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.host.http import CLIENT
from local.host.processes import REPOSITORY
from tests.support.sample_events import EVENTS, EXPECTED, EXPECTED_OF_AN_EXPORT, NAMES, check, function_of

HOST = os.environ.get("SAM_LOCAL_HOST", "")
pytestmark = [
    pytest.mark.skipif(not HOST, reason="SAM_LOCAL_HOST is not set: make sam-local"),
    pytest.mark.timeout(1200),  # the first invocation builds the image, and may download the base image
]
PORT = 3001
OF_AN_EXPORT = [
    "bulk_read_submitter.get_export",
    *(name for name in NAMES if name.startswith("callback_receiver.")),
]


@contextmanager
def running(*command: str | Path, log: Path) -> Iterator[None]:
    """Run a command in the background until the end of the context."""
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()  # both end what they started
        process.wait(timeout=60)


def wait_for(ready, log: Path, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def run(*command: str | Path) -> str:
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout


def listens() -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", PORT)) == 0


@pytest.fixture(scope="module")
def state_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The running local stack and `sam local start-lambda`."""
    folder = tmp_path_factory.mktemp("stack")
    state = folder / "stack.json"
    local = (sys.executable, "-m", "local")
    sam = Path(sys.executable).with_name("sam")
    with running(*local, "up", "--host", HOST, "--state-file", state, log=folder / "up.out"):
        wait_for(state.exists, folder / "up.out")
        run(*local, "sam", "--state-file", state)
        project, build = folder / "sam/template.yaml", folder / "sam/build"
        run(sam, "build", "--template", project, "--build-dir", build)
        options = ("--template", build / "template.yaml", "--env-vars", folder / "sam/env.json")
        options += ("--region", "us-east-1", "--warm-containers", "LAZY", "--port", str(PORT))
        options += tuple(os.environ.get("SAM_LOCAL_OPTIONS", "").split())
        with running(sam, "local", "start-lambda", *options, log=folder / "sam.log"):
            wait_for(listens, folder / "sam.log")
            yield state


def invoke(name: str, event: str) -> bytes:
    """Run an event's function in its container and return its result."""
    url = f"http://127.0.0.1:{PORT}/2015-03-31/functions/{function_of(name)}/invocations"
    response = CLIENT.post(url, data=event.encode(), timeout=600)
    assert response.status_code == 200 and "X-Amz-Function-Error" not in response.headers, response.text
    return response.content


@pytest.mark.parametrize("name", NAMES)
def test_event_has_the_result_that_its_name_promises(name: str, state_file: Path) -> None:
    check(name, invoke(name, (EVENTS / f"{name}.json").read_text()), EXPECTED)


@pytest.mark.parametrize("name", OF_AN_EXPORT)
def test_event_for_the_latest_export_reaches_it(name: str, state_file: Path) -> None:
    start = (EVENTS / "bulk_read_submitter.start_contacts.json").read_text()
    started = json.loads(invoke("bulk_read_submitter", start))
    event = run(sys.executable, "-m", "local", "event", name, "--state-file", state_file)
    assert json.loads(started["body"])["data"]["export_id"] in event
    check(name, invoke(name, event), EXPECTED_OF_AN_EXPORT)
