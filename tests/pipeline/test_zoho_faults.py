"""Zoho cuts connections, throttles downloads, and loses results and page tokens."""

import json
import socket
from urllib.parse import urlsplit

from tests.pipeline.conftest import RunningStack
from tests.pipeline.faults import assert_whole, ended, let_time_pass, open_uploads, parts, until


def downloads(stack: RunningStack, export_id: str) -> list[dict]:
    """Return the requests for results of an export that the simulator received."""
    ids = "|".join(job["id"] for job in stack.jobs(export_id))
    return stack.zoho("GET", f"requests?path=/({ids})/result$")["requests"]


def test_truncated_download_is_repeated(stack: RunningStack) -> None:
    """Truncated before the first byte, and within the local header, the data and the central directory."""
    offsets = [0, 1, 29, 60, 4_000, 12_000]
    rules = [
        {"method": "GET", "path": "/result$", "nth": [number], "cut_after": offset}
        for number, offset in enumerate(offsets, 1)
    ]
    stack.zoho("POST", "faults", rules)
    exports = [stack.start("deals") for _ in offsets]
    for export in ended(stack, *exports):
        assert_whole(stack, export, "Deals", 120)
        assert open_uploads(stack, export["export_id"]) == []
    assert [rule["used"] for rule in stack.zoho("GET", "faults")["faults"]] == [1] * len(offsets)
    assert sum(len(downloads(stack, export_id)) for export_id in exports) == 2 * len(offsets)


def test_truncated_response_to_create_job_makes_no_second_copy(stack: RunningStack) -> None:
    """Truncated within its head, before its body and within it; the callback names the job."""
    sizes = [0, 1, 40]
    stack.zoho(
        "POST",
        "faults",
        [
            {"method": "POST", "path": "/read$", "nth": [number], "cut_after": sent}
            for number, sent in enumerate(sizes, 1)
        ],
    )
    exports = [stack.start("deals") for _ in sizes]
    for export_id in exports:  # without `ended`: once the pause is over, the request is rightly repeated
        assert_whole(stack, stack.wait(export_id), "Deals", 120)
        assert len(stack.jobs(export_id)) == 1
    assert [rule["used"] for rule in stack.zoho("GET", "faults")["faults"]] == [1] * len(sizes)


def test_truncated_callback_does_no_harm(stack: RunningStack) -> None:
    """Truncated within its head, before its body and within it; the reconciler replaces it."""
    stack.zoho("PATCH", "config", {"callback_mode": "never"})
    exports = [stack.start("deals") for _ in range(3)]
    for export_id, missing in zip(exports, (-1, 0, 20), strict=True):
        (job,) = stack.jobs(export_id)
        url = urlsplit(job["callback_url"])
        body = json.dumps({"data": [{"id": job["id"], "state": "COMPLETED"}]})
        head = f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection((url.hostname, url.port), timeout=10) as connection:
            connection.sendall((head + body)[: len(head) + missing].encode())
    for export_id in exports:
        assert_whole(stack, stack.wait(export_id), "Deals", 120)


def test_throttled_download_is_not_repeated_before_retry_after(stack: RunningStack) -> None:
    refusal = {"method": "GET", "path": "/result$", "times": 1, "error": "TOO_MANY_REQUESTS"}
    stack.zoho("POST", "faults", {**refusal, "headers": {"Retry-After": "3"}})
    export_id = stack.start("deals")
    assert_whole(stack, stack.wait(export_id), "Deals", 120)
    times = [request["time"] for request in downloads(stack, export_id)]
    assert len(times) == 2
    assert times[1] - times[0] >= 2  # a pause ends a second early, for the message that comes after it
    assert parts(stack, export_id)[0]["state"]["S"] == "STORED"


def unavailable(method: str, path: str, nth: int = 1) -> dict:
    """A fault that makes a part wait for ten minutes."""
    return {"method": method, "path": path, "nth": [nth], "status": 503, "headers": {"Retry-After": "600"}}


def waiting(stack: RunningStack, export_id: str) -> bool:
    """Return whether a part waits."""
    return any("not_before" in part for part in parts(stack, export_id))


def test_export_whose_results_expired_starts_again_and_mixes_no_snapshots(stack: RunningStack) -> None:
    """Some parts are stored and another part's result has expired: all are requested again."""
    stack.zoho("POST", "faults", unavailable("GET", "/result$", 2))
    export_id = stack.start()
    until("pause", lambda: waiting(stack, export_id))
    until("third job", lambda: len(stack.jobs(export_id)) == 3)
    until("end of all jobs", lambda: {job["state"] for job in stack.jobs(export_id)} == {"COMPLETED"})
    assert stack.zoho("DELETE", "results")["expired"] >= 3
    let_time_pass(stack, export_id, "ready_at")  # a younger result might only not be visible yet
    (export,) = ended(stack, export_id)
    assert_whole(stack, export, "Contacts", 450)
    manifest = stack.manifest(export)
    assert (manifest["generation"], [part["part"] for part in manifest["parts"]]) == (2, [4, 5, 6])
    assert len(stack.jobs(export_id)) == 6


def test_export_whose_page_tokens_expired_starts_again(stack: RunningStack) -> None:
    stack.zoho("POST", "faults", unavailable("POST", "/read$", 2))
    export_id = stack.start()
    until("pause", lambda: waiting(stack, export_id))
    assert stack.zoho("DELETE", "page_tokens")["expired"] >= 1
    (export,) = ended(stack, export_id)
    assert_whole(stack, export, "Contacts", 450)
    assert stack.manifest(export)["generation"] == 2
