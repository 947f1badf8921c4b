"""Every file in events/ works with `python -m local invoke`, against the running stack."""

import json
from pathlib import Path

import pytest

from local.host.processes import REPOSITORY
from tests.pipeline.conftest import RunningStack
from tests.pipeline.test_commands import run

EVENTS = REPOSITORY / "events"
NOT_FOR_A_FUNCTION = {"env", "downstream.manifest_created"}
FUNCTIONS = {
    "export_handler": "ExportHandler",
    "bulk_read_submitter": "BulkReadSubmitter",
    "callback_receiver": "CallbackReceiver",
    "result_downloader": "ResultDownloader",
    "export_reconciler": "ExportReconciler",
}
# event: status and message of the HTTP response, or the whole result of a function without one
EXPECTED: dict[str, object] = {
    "export_handler.contacts": (200, "Received Information"),
    "export_handler.unknown_type": (404, "Type is not Selected yet"),
    "export_handler.no_connection": (404, "Access Token is not Found"),
    "bulk_read_submitter.start_contacts": (202, "Export is started"),
    "bulk_read_submitter.start_with_query": (202, "Export is started"),
    "bulk_read_submitter.start_notes": (202, "Export is started"),
    "bulk_read_submitter.start_events_as_ics": (202, "Export is started"),
    "bulk_read_submitter.start_once": (202, "Export is started"),
    "bulk_read_submitter.start_not_json": (400, "The body is not JSON; it must be an object, or empty."),
    "bulk_read_submitter.list_exports": (200, "Received Information"),
    "bulk_read_submitter.get_export": (404, "Export is not Found"),
    "bulk_read_submitter.submit_part": {"batchItemFailures": []},
    "callback_receiver.completed": (403, None),
    "callback_receiver.completed_flat": (403, None),
    "callback_receiver.failed": (403, None),
    "callback_receiver.not_json": (403, None),
    "result_downloader.store_part": {"batchItemFailures": []},
}
PLACEHOLDER_ID, PLACEHOLDER_SIGNATURE = "20260101T000000Z-0123456789abcdef", "0" * 64


def invoke(name: str, event: str, state_file: str) -> object:
    """Run an event's function; return (status, message) of its HTTP response, or its result."""
    function = FUNCTIONS[name.partition(".")[0]]
    result = run("invoke", function, "--event", "-", "--state-file", state_file, stdin=event)
    assert result.returncode == 0, result.stdout + result.stderr
    output = json.loads(result.stdout)
    return (output["statusCode"], json.loads(output["body"])["message"]) if "statusCode" in output else output


@pytest.fixture
def state_file(stack: RunningStack, tmp_path: Path) -> str:
    stack.state.write(tmp_path / "stack.json")
    return str(tmp_path / "stack.json")


@pytest.mark.parametrize(
    "name", sorted({path.stem for path in EVENTS.glob("*.json")} - NOT_FOR_A_FUNCTION), ids=str
)
def test_event_has_the_result_that_its_name_promises(name: str, state_file: str) -> None:
    result = invoke(name, (EVENTS / f"{name}.json").read_text(), state_file)
    match EXPECTED.get(name):
        case None:
            assert set(result) == {"pushed"}
        case (status, None):
            assert result[0] == status
        case expected:
            assert result == expected


@pytest.mark.parametrize("name", ["completed", "completed_flat", "failed", "not_json"])
def test_callback_event_with_a_valid_signature_is_accepted(
    name: str, stack: RunningStack, state_file: str
) -> None:
    stack.zoho("PATCH", "config", {"callback_mode": "never"})
    export_id = stack.start("deals")
    url = stack.zoho("GET", "jobs")["jobs"][-1]["callback_url"]
    event = (EVENTS / f"callback_receiver.{name}.json").read_text()
    event = event.replace(PLACEHOLDER_ID, export_id).replace(PLACEHOLDER_SIGNATURE, url.rpartition("/")[2])
    status, message = invoke(f"callback_receiver.{name}", event, state_file)
    assert status == (400 if name == "not_json" else 200), message
    assert stack.wait(export_id)["state"] == "COMPLETED"


def test_downstream_event_names_the_key_of_a_manifest() -> None:
    event = json.loads((EVENTS / "downstream.manifest_created.json").read_text())
    assert event["detail"]["object"]["key"].endswith(f"/export_id={PLACEHOLDER_ID}/manifest.json")
