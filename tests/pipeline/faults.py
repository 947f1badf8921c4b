"""What tests of faults do to the running stack, and how they look at what became of an export."""

import hashlib
import os
import signal
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3

from local.demo.verify import read_part, verify
from local.host.aws import closed_session
from local.host.processes import REPOSITORY
from tests.pipeline.conftest import RunningStack

# The first part of 5.9 MB, which is a multipart upload of two S3 parts, and a small one.
LARGE = {"records": {"Contacts": 16_200}, "records_per_job": 16_000}
FOLDERS = {
    "BulkReadSubmitter": "bulk_read_submitter",
    "CallbackReceiver": "callback_receiver",
    "ExportReconciler": "export_reconciler",
    "ResultDownloader": "result_downloader",
}
LONG_AGO = {"S": "2026-01-01T00:00:00.000Z"}


def until[T](what: str, found: Callable[[], T], seconds: float = 40, every: float = 0.05) -> T:
    """Return the first true value of `found`."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"no {what} within {seconds:.0f} s"
        time.sleep(every)
    return value


def parts(stack: RunningStack, export_id: str) -> list[dict[str, Any]]:
    """Return the parts of an export as they are in the table."""
    return stack.aws.client("dynamodb").query(
        TableName=stack.state.exports_table,
        KeyConditionExpression="pk = :export AND begins_with(sk, :part)",
        ExpressionAttributeValues={":export": {"S": f"EXPORT#{export_id}"}, ":part": {"S": "PART#"}},
        ConsistentRead=True,
    )["Items"]


def let_time_pass(stack: RunningStack, export_id: str, over: str, **seen: str) -> None:
    """Let what parts of an export wait for (lease_until or not_before) be over, and them be quiet for long.

    Only of parts whose attributes are as `seen`. A lease is 90 seconds, a pause 15 or more: that they are
    kept is shown by tests/functional.
    """
    table = stack.aws.client("dynamodb")
    conditions = ["attribute_exists(#over)", *(f"#{name} = :{name}" for name in seen)]
    for item in parts(stack, export_id):
        with suppress(table.exceptions.ConditionalCheckFailedException):
            table.update_item(
                TableName=stack.state.exports_table,
                Key={"pk": item["pk"], "sk": item["sk"]},
                UpdateExpression="SET #over = :then, updated_at = :then",
                ConditionExpression=" AND ".join(conditions),
                ExpressionAttributeNames={"#over": over, **{f"#{name}": name for name in seen}},
                ExpressionAttributeValues={
                    ":then": LONG_AGO,
                    **{f":{name}": {"S": value} for name, value in seen.items()},
                },
            )


def ended(stack: RunningStack, *exports: str, seconds: float = 60) -> list[dict[str, Any]]:
    """Return exports when all have ended; pauses after errors are cut short on the way.

    The table is looked at, as asking the API would keep a busy machine busy.
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
    """Every record Zoho has is in S3 exactly once, in files of the right CRCs; the manifest says so."""
    assert export["state"] == "COMPLETED", export["failure"]
    manifest = stack.manifest(export)
    bucket = stack.state.results_bucket
    checks = verify(stack.s3, bucket, manifest, records, lambda _: None)
    assert [check for check in checks if not check.passed] == []
    ids: array[int] = array("Q")
    for item in manifest["parts"]:
        read_part(stack.s3.get_object(Bucket=bucket, Key=item["key"])["Body"], ids)
    digest = hashlib.sha256("".join(f"{number}\n" for number in sorted(ids)).encode()).hexdigest()
    assert digest == stack.zoho("GET", f"data/{module}/digest")["ids_sha256"]
    objects = {name for name in stack.keys(export["export_id"]) if name != "manifest.json"}
    assert objects == {item["key"].rpartition("/")[2] for item in manifest["parts"]}


def assert_failed(stack: RunningStack, export: Mapping[str, Any], code: str) -> None:
    """The export says why it failed, and nobody who looks for its manifest finds one."""
    assert (export["state"], export["failure"]["code"]) == ("FAILED", code)
    assert export["failure"]["message"]
    assert "manifest.json" not in stack.keys(export["export_id"])


def open_uploads(stack: RunningStack, export_id: str) -> list[str]:
    """Return the keys of multipart uploads of an export that were neither completed nor aborted."""
    listed = stack.s3.list_multipart_uploads(Bucket=stack.state.results_bucket).get("Uploads", [])
    return [item["Key"] for item in listed if f"export_id={export_id}/" in item["Key"]]


def processes(stack: RunningStack, function: str) -> list[int]:
    """Return the processes that run a function, busy or idle."""
    folder = REPOSITORY / "functions" / FOLDERS[function]
    found = []
    for pid in stack.descendants():
        with suppress(OSError):
            if Path(f"/proc/{pid}/cwd").resolve(strict=True) == folder:
                found.append(pid)
    return found


def function_log(stack: RunningStack, function: str) -> str:
    """Return what all environments of a function have written so far."""
    return (Path(stack.state.logs) / f"{function}.log").read_text()


def kill(stack: RunningStack, function: str, state: str, *exports: str) -> None:
    """End a function's processes, at whatever they are, as the kernel does when memory runs out.

    The leases they held on parts in `state` of these exports are over at once, not after 90 seconds.
    """
    pids = processes(stack, function)
    assert pids, f"{function} does not run"
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for export_id in exports:
        let_time_pass(stack, export_id, "lease_until", state=state)


def lambda_client(stack: RunningStack) -> Any:
    """Return a boto3 client for the local stack's functions."""
    session: boto3.session.Session = closed_session(stack.state.region)
    return session.client("lambda", endpoint_url=stack.state.control_url)


@contextmanager
def configured(
    stack: RunningStack, function: str, *, timeout: int | None = None, **variables: str
) -> Iterator[None]:
    """Run a function with another timeout or other variables until the end of the context."""
    client, name = lambda_client(stack), stack.state.functions[function]
    before = client.get_function_configuration(FunctionName=name)
    changes = {"Environment": {"Variables": {**before["Environment"]["Variables"], **variables}}}
    client.update_function_configuration(FunctionName=name, Timeout=timeout or before["Timeout"], **changes)
    try:
        yield
    finally:
        client.update_function_configuration(
            FunctionName=name, Timeout=before["Timeout"], Environment=before["Environment"]
        )
