"""The files in events/: the function that each is for, and the response that its name promises."""

import json

from local.host.processes import REPOSITORY

EVENTS = REPOSITORY / "events"
NOT_FOR_A_FUNCTION = {"downstream.manifest_created"}
NAMES = sorted({path.stem for path in EVENTS.glob("*.json")} - NOT_FOR_A_FUNCTION)
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
    "bulk_read_submitter.list_syncs": (200, "Received Information"),
    "bulk_read_submitter.put_sync_too_often": (400, None),
    "bulk_read_submitter.start_run_without_sync": (404, "Sync is not Found"),
    "bulk_read_submitter.sync_due": {"batchItemFailures": []},
    "callback_receiver.completed": (403, None),
    "callback_receiver.completed_flat": (403, None),
    "callback_receiver.failed": (403, None),
    "callback_receiver.not_json": (403, None),
    "result_downloader.store_part": {"batchItemFailures": []},
}
# The same for an export that exists, with its id and a valid signature (`python -m local event`).
EXPECTED_OF_AN_EXPORT = EXPECTED | {
    "bulk_read_submitter.get_export": (200, "Received Information"),
    "callback_receiver.completed": (200, "Callback is received"),
    "callback_receiver.completed_flat": (200, "Callback is received"),
    "callback_receiver.failed": (200, "Callback is received"),
    "callback_receiver.not_json": (400, None),
}


def function_of(name: str) -> str:
    """Return the logical id of the function that an event is for."""
    return name.partition(".")[0].title().replace("_", "")


def check(name: str, payload: str | bytes, expected: dict[str, object]) -> None:
    """Compare a function's result with the expected one for the event `name`."""
    output = json.loads(payload)
    result: object = output
    if "statusCode" in output:
        result = (output["statusCode"], json.loads(output["body"])["message"])
    match expected.get(name):
        case None:
            assert set(output) == {"pushed", "syncs"}
        case (status, None):
            assert isinstance(result, tuple) and result[0] == status, result
        case promised:
            assert result == promised
