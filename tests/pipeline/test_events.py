"""Every file in events/ works with `python -m local invoke`, as it is and for an export that exists."""

import json
from pathlib import Path

import pytest

from local.sam.events import SAMPLE_EXPORT
from tests.pipeline.conftest import RunningStack
from tests.pipeline.faults import until
from tests.pipeline.test_commands import run
from tests.support.sample_events import EVENTS, EXPECTED, EXPECTED_OF_AN_EXPORT, NAMES, check, function_of


def invoke(name: str, event: str, state_file: str) -> str:
    """Run an event's function and return its result."""
    result = run("invoke", function_of(name), "--event", "-", "--state-file", state_file, stdin=event)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture
def state_file(stack: RunningStack, tmp_path: Path) -> str:
    stack.state.write(tmp_path / "stack.json")
    return str(tmp_path / "stack.json")


@pytest.mark.parametrize("name", NAMES)
def test_event_has_the_result_that_its_name_promises(name: str, state_file: str) -> None:
    check(name, invoke(name, (EVENTS / f"{name}.json").read_text(), state_file), EXPECTED)


def newest(stack: RunningStack) -> object:
    listed = stack.call("GET", "/v1/e/zoho/bulk-read/exports?limit=1").json()["data"]
    return listed[0]["export_id"] if listed else None


@pytest.mark.parametrize(
    "name",
    [
        "bulk_read_submitter.get_export",
        "bulk_read_submitter.submit_part",
        "callback_receiver.completed",
        "callback_receiver.completed_flat",
        "callback_receiver.failed",
        "callback_receiver.not_json",
        "result_downloader.store_part",
    ],
)
def test_event_for_the_latest_export_reaches_it(name: str, stack: RunningStack, state_file: str) -> None:
    stack.zoho("PATCH", "config", {"callback_mode": "never"})
    export_id = stack.start("deals")
    until("listed export", lambda: newest(stack) == export_id)  # the index lags behind the table
    event = run("event", name, "--state-file", state_file).stdout
    assert SAMPLE_EXPORT not in event
    assert export_id in event
    check(name, invoke(name, event, state_file), EXPECTED_OF_AN_EXPORT)
    assert stack.wait(export_id)["state"] == "COMPLETED"


def test_downstream_event_names_the_key_of_a_manifest() -> None:
    event = json.loads((EVENTS / "downstream.manifest_created.json").read_text())
    assert event["detail"]["object"]["key"].endswith(f"/export_id={SAMPLE_EXPORT}/manifest.json")
