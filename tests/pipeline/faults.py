"""How tests of faults act on the running stack, and how they examine an export."""

import hashlib
import os
import signal
import time
from array import array
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from local.demo.verify import verify
from local.host.processes import REPOSITORY
from tests.pipeline.conftest import RunningStack

# One part of 5.9 MB, which is a multipart upload of two S3 parts, and a small one.
LARGE = {"records": {"Contacts": 16_200}, "records_per_job": 16_000}
FOLDERS = {
    "BulkReadSubmitter": "bulk_read_submitter",
    "CallbackReceiver": "callback_receiver",
    "ExportReconciler": "export_reconciler",
    "ResultDownloader": "result_downloader",
}
LONG_AGO = {"S": "2026-01-01T00:00:00.000Z"}


def until[T](what: str, read: Callable[[], T], seconds: float = 40, every: float = 0.05) -> T:
    """Return the first true value of `read`, called repeatedly; fail if there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := read()):
        assert time.monotonic() < deadline, f"no {what} within {seconds:.0f} s"
        time.sleep(every)
    return value


def parts(stack: RunningStack, export_id: str) -> list[dict[str, Any]]:
    """Return the parts of an export as the table has them."""
    return stack.aws.client("dynamodb").query(
        TableName=stack.state.exports_table,
        KeyConditionExpression="pk = :export AND begins_with(sk, :part)",
        ExpressionAttributeValues={":export": {"S": f"EXPORT#{export_id}"}, ":part": {"S": "PART#"}},
        ConsistentRead=True,
    )["Items"]


def let_time_pass(stack: RunningStack, export_id: str, over: str, **seen: str) -> None:
    """Put `over` (lease_until or not_before) and updated_at of an export's parts into the past.

    Only parts whose attributes equal `seen` are changed. A lease lasts 90 seconds, a pause at least 15:
    tests/functional shows that they are respected.
    """
    table = stack.aws.client("dynamodb")
    conditions = ["attribute_exists(#over)", *(f"#{name} = :{name}" for name in seen)]
    for item in parts(stack, export_id):
        with suppress(table.exceptions.ConditionalCheckFailedException):
            table.update_item(
                TableName=stack.state.exports_table,
                Key={"pk": item["pk"], "sk": item["sk"]},
                UpdateExpression="SET #over = :then, updated_at = :then REMOVE queued_at",
                ConditionExpression=" AND ".join(conditions),
                ExpressionAttributeNames={"#over": over, **{f"#{name}": name for name in seen}},
                ExpressionAttributeValues={
                    ":then": LONG_AGO,
                    **{f":{name}": {"S": value} for name, value in seen.items()},
                },
            )


def ended(stack: RunningStack, *exports: str, seconds: float = 60) -> list[dict[str, Any]]:
    """Wait until all exports have ended, ending their parts' pauses early, and return them.

    Reads the table, because polling the API would slow down a busy machine.
    """
    table = stack.aws.client("dynamodb")

    def running(export_id: str) -> bool:
        key = {"pk": {"S": f"EXPORT#{export_id}"}, "sk": {"S": "META"}}
        item = table.get_item(TableName=stack.state.exports_table, Key=key, ConsistentRead=True)["Item"]
        if item["state"]["S"] == "RUNNING":
            let_time_pass(stack, export_id, "not_before")
        return item["state"]["S"] == "RUNNING"

    until("end of the exports", lambda: not sum(map(running, exports)), seconds, every=0.3)
    return [stack.export(export_id) for export_id in exports]


def assert_whole(stack: RunningStack, export: Mapping[str, Any], module: str, records: int) -> None:
    """Assert that every record of Zoho is in S3 exactly once, in files with the CRCs of the manifest."""
    assert export["state"] == "COMPLETED", export["failure"]
    manifest = stack.manifest(export)
    bucket = stack.state.results_bucket
    ids: array[int] = array("Q")
    checks = verify(stack.s3, bucket, manifest, records, ids)
    assert [check for check in checks if not check.passed] == []
    digest = hashlib.sha256("".join(f"{number}\n" for number in sorted(ids)).encode()).hexdigest()
    assert digest == stack.zoho("GET", f"data/{module}/digest")["ids_sha256"]
    objects = {name for name in stack.keys(export["export_id"]) if name != "manifest.json"}
    assert objects == {item["key"].rpartition("/")[2] for item in manifest["parts"]}


def assert_failed(stack: RunningStack, export: Mapping[str, Any], code: str) -> None:
    """Assert that the export names the reason of its failure and has no manifest."""
    assert (export["state"], export["failure"]["code"]) == ("FAILED", code)
    assert export["failure"]["message"]
    assert "manifest.json" not in stack.keys(export["export_id"])


def open_uploads(stack: RunningStack, export_id: str) -> list[str]:
    """Return the keys of an export's multipart uploads that were neither completed nor aborted."""
    listed = stack.s3.list_multipart_uploads(Bucket=stack.state.results_bucket).get("Uploads", [])
    return [item["Key"] for item in listed if f"export_id={export_id}/" in item["Key"]]


def processes(stack: RunningStack, function: str) -> list[int]:
    """Return the processes of a function's environments, busy or idle."""
    folder = REPOSITORY / "functions" / FOLDERS[function]
    pids = []
    for pid in stack.descendants():
        with suppress(OSError):
            if Path(f"/proc/{pid}/cwd").resolve(strict=True) == folder:
                pids.append(pid)
    return pids


def function_log(stack: RunningStack, function: str) -> str:
    """Return the log of all environments of a function."""
    return (Path(stack.state.logs) / f"{function}.log").read_text()


def kill(stack: RunningStack, function: str, state: str, *exports: str) -> None:
    """Kill a function's processes, as the kernel does when memory runs out.

    Their leases on parts of `exports` in `state` end at once instead of after 90 seconds. A downloader
    that is killed may have been checking a SUBMITTED part while another one stored a READY part.
    """
    pids = processes(stack, function)
    assert pids, f"{function} has no process"
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for export_id in exports:
        for leased in ("SUBMITTED", "READY") if state == "READY" else (state,):
            let_time_pass(stack, export_id, "lease_until", state=leased)
