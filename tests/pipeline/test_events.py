"""Every file in events/ through `local invoke`, against the running stack."""

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
# event: status and message of the HTTP answer, or the whole of another answer
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


def invoke(name: str, text: str, state_file: str) -> object:
    """Run an event's function; return (status, message) of an HTTP answer, else the answer."""
    function = FUNCTIONS[name.partition(".")[0]]
    result = run("invoke", function, "--event", "-", "--state-file", state_file, stdin=text)
    assert result.returncode == 0, result.stdout + result.stderr
    answer = json.loads(result.stdout)
    return (answer["statusCode"], json.loads(answer["body"])["message"]) if "statusCode" in answer else answer


@pytest.fixture
def state_file(stack: RunningStack, tmp_path: Path) -> str:
    stack.state.write(tmp_path / "stack.json")
    return str(tmp_path / "stack.json")


@pytest.mark.parametrize(
    "name", sorted({path.stem for path in EVENTS.glob("*.json")} - NOT_FOR_A_FUNCTION), ids=str
)
def test_an_event_does_what_its_name_says(name: str, state_file: str) -> None:
    answer = invoke(name, (EVENTS / f"{name}.json").read_text(), state_file)
    match EXPECTED.get(name):
        case None:
            assert set(answer) == {"pushed"}
        case (status, None):
            assert answer[0] == status
        case expected:
            assert answer == expected


@pytest.mark.parametrize("name", ["completed", "completed_flat", "failed", "not_json"])
def test_a_callback_event_with_a_real_signature_is_taken(
    name: str, stack: RunningStack, state_file: str
) -> None:
    stack.zoho("PATCH", "config", {"callback_mode": "never"})
    export_id = stack.start("deals")
    url = stack.zoho("GET", "jobs")["jobs"][-1]["callback_url"]
    text = (EVENTS / f"callback_receiver.{name}.json").read_text()
    text = text.replace(PLACEHOLDER_ID, export_id).replace(PLACEHOLDER_SIGNATURE, url.rpartition("/")[2])
    status, message = invoke(f"callback_receiver.{name}", text, state_file)
    assert status == (400 if name == "not_json" else 200), message
    assert stack.wait(export_id)["state"] == "COMPLETED"


def test_the_manifest_of_the_sample_for_downstream_is_where_manifests_are() -> None:
    event = json.loads((EVENTS / "downstream.manifest_created.json").read_text())
    assert event["detail"]["object"]["key"].endswith(f"/export_id={PLACEHOLDER_ID}/manifest.json")
