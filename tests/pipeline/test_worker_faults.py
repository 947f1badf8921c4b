"""Nothing is lost when processes die, time out or have no disk, or when AWS does not respond.

Only the bucket's lifecycle rule can abort the upload of a process that died. All other uploads are aborted.
"""

import os
import resource
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.pipeline.conftest import BULK_READ, RunningStack
from tests.pipeline.faults import (
    FOLDERS,
    LARGE,
    assert_failed,
    assert_whole,
    ended,
    function_log,
    kill,
    let_time_pass,
    open_uploads,
    parts,
    processes,
    until,
)
from tests.support.aws_proxy import UPLOAD_PART, AwsProxy, Rule

FIRST_PART = r"PUT .*export_id(?:=|%3D){}/part-00001\.csv.*partNumber="
ONE_PART = {"records": {"Contacts": 16_000}, "records_per_job": 16_000}


@pytest.fixture(scope="module")
def aws(session_stack: RunningStack) -> Iterator[AwsProxy]:
    """A proxy between the functions and AWS."""
    with closing(AwsProxy(session_stack.state.aws_endpoint_url)) as proxy, ExitStack() as changes:
        for function in FOLDERS:
            changes.enter_context(session_stack.configured(function, AWS_ENDPOINT_URL=proxy.url))
        yield proxy


def test_download_is_repeated_after_killed_workers_and_fails_after_eight(
    stack: RunningStack, aws: AwsProxy
) -> None:
    stack.zoho("PATCH", "config", {**LARGE, "in_progress_seconds": 1})
    few_kills, many_kills = stack.start(), stack.start()

    def upload(export_id: str) -> AbstractContextManager[Rule]:
        return aws.rule(FIRST_PART.format(export_id), "hold")

    for _ in range(2):
        with upload(few_kills) as one, upload(many_kills) as other:
            assert one.met.wait(40)
            assert other.met.wait(40)
            kill(stack, "ResultDownloader", "READY", few_kills, many_kills)
    with upload(many_kills) as other:
        assert other.met.wait(40)
        (whole,) = ended(stack, few_kills)
        note_dead_owners(stack, many_kills, ["a", "b", "c", "d", "e"])
        kill(stack, "ResultDownloader", "READY", many_kills)
    assert_whole(stack, whole, "Contacts", 16_200)
    (failed,) = ended(stack, many_kills)
    assert_failed(stack, failed, "WORKER_DIED")
    assert "8 workers were lost on part" in failed["failure"]["message"]
    # Only the uploads of the killed workers are open. A worker may have been storing another part, too.
    assert [
        sum("part-00001" in key for key in open_uploads(stack, export_id))
        for export_id in (few_kills, many_kills)
    ] == [2, 3]


def note_dead_owners(stack: RunningStack, export_id: str, names: list[str]) -> None:
    """Add workers that died at the first part, as if each of them had been killed."""
    part = parts(stack, export_id)[0]
    stack.aws.client("dynamodb").update_item(
        TableName=stack.state.exports_table,
        Key={"pk": part["pk"], "sk": part["sk"]},
        UpdateExpression="ADD dead_owners :names",
        ExpressionAttributeValues={":names": {"SS": names}},
    )


def test_export_ends_although_its_submitter_is_killed_within_the_request(stack: RunningStack) -> None:
    """The caller gets HTTP 500. Zoho has created a job, and its callback names it before the lease ends."""
    known = {job["id"] for job in stack.zoho("GET", "jobs")["jobs"]}
    stack.zoho("POST", "faults", {"method": "POST", "path": "/read$", "times": 1, "delay": 5})
    with ThreadPoolExecutor(1) as caller:
        request = caller.submit(stack.call, "POST", f"{BULK_READ}/deals", body={})
        (job,) = until(
            "job", lambda: [job for job in stack.zoho("GET", "jobs")["jobs"] if job["id"] not in known]
        )
        export_id = job["callback_url"].split("/")[-3]
        kill(stack, "BulkReadSubmitter", "PENDING")
        assert request.result().status_code == 500
    until("callback in the table", lambda: "hinted_job_id" in parts(stack, export_id)[0])
    let_time_pass(stack, export_id, "lease_until", state="PENDING")

    def newest() -> str:
        return str(stack.call("GET", f"{BULK_READ}/exports?limit=1").json()["data"][0]["export_id"])

    until("export in the list, which lags behind", lambda: newest() == export_id)
    assert_whole(stack, *ended(stack, export_id), "Deals", 120)
    assert [made["id"] for made in stack.jobs(export_id)] == [job["id"]]


def test_job_is_created_again_if_the_submitter_is_killed_and_the_callback_is_lost(
    stack: RunningStack,
) -> None:
    stack.zoho("POST", "faults", {"method": "POST", "path": "/read$", "nth": [2], "delay": 5})
    stack.zoho("POST", "faults", {"target": "callback", "path": "/2/[0-9a-f]+$", "times": 1, "drop": True})
    export_id = stack.start()
    lost = until("second job", lambda: stack.jobs(export_id, 2))[0]["id"]
    kill(stack, "BulkReadSubmitter", "PENDING", export_id)
    assert_whole(stack, *ended(stack, export_id), "Contacts", 450)
    first, second = [job["id"] for job in stack.jobs(export_id, 2)]
    assert first == lost
    assert parts(stack, export_id)[1]["job_id"]["S"] == second


def test_upload_to_which_s3_does_not_respond_is_repeated_before_the_function_times_out(
    stack: RunningStack, aws: AwsProxy
) -> None:
    """Twenty seconds of the 30 are kept for what follows."""
    stack.zoho("PATCH", "config", ONE_PART)
    seen = function_log(stack, "ResultDownloader").count("Task timed out")
    with stack.configured("ResultDownloader", timeout=30), aws.rule(UPLOAD_PART, "hold") as upload:
        export_id = stack.start()
        assert upload.met.wait(40)
        until("error", lambda: "last_error" in parts(stack, export_id)[0])
        (part,) = stack.export(export_id)["parts"]
    assert (part["waiting_for"], part["last_error"]["code"]) == ("STORAGE_UNAVAILABLE", "STORAGE_UNAVAILABLE")
    assert function_log(stack, "ResultDownloader").count("Task timed out") == seen
    let_time_pass(stack, export_id, "not_before", state="READY")
    assert_whole(stack, *ended(stack, export_id), "Contacts", 16_000)
    assert "strikes" not in parts(stack, export_id)[0]


def test_downloader_needs_no_disk(stack: RunningStack, aws: AwsProxy) -> None:
    """From the middle of the upload on, the process cannot write to any file, not even to its log."""
    stack.zoho("PATCH", "config", ONE_PART)
    with aws.rule(UPLOAD_PART, "hold") as upload:
        export_id = stack.start()
        assert upload.met.wait(40)
        limited = processes(stack, "ResultDownloader")
        for pid in limited:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, 0))
    assert_whole(stack, *ended(stack, export_id), "Contacts", 16_000)
    assert "lease_owner" not in parts(stack, export_id)[0]
    assert open_uploads(stack, export_id) == []


@contextmanager
def frozen(stack: RunningStack) -> Iterator[None]:
    """Stop moto's process. Its state is in memory, so it cannot be restarted instead.

    Calls time out, are repeated, and are executed twice when the process continues.
    """
    (pid,) = [
        pid for pid in stack.descendants() if b"local.host.aws" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_nothing_is_lost_while_aws_does_not_respond(stack: RunningStack, aws: AwsProxy) -> None:
    stack.zoho("PATCH", "config", LARGE)
    with ThreadPoolExecutor(1) as caller:
        with aws.rule(UPLOAD_PART, "hold") as upload:
            large = stack.start()
            assert upload.met.wait(40)
            with frozen(stack):
                aws.forget(upload)
                request = caller.submit(stack.call, "POST", f"{BULK_READ}/deals", body={})
                time.sleep(5)  # a call of DynamoDB or SQS times out after 4 s
        assert request.result().status_code == 202
    small = request.result().json()["data"]["export_id"]
    for export, module, records in zip(
        ended(stack, small, large), ("Deals", "Contacts"), (120, 16_200), strict=True
    ):
        assert_whole(stack, export, module, records)
    assert open_uploads(stack, large) == []


def test_failing_s3_calls_are_repeated_and_leave_no_upload_open(stack: RunningStack, aws: AwsProxy) -> None:
    """A call fails as often as it is tried (four times), or once, each in its own export."""
    stack.zoho("PATCH", "config", {**ONE_PART, "in_progress_seconds": 1})
    kinds = [
        (UPLOAD_PART, "refuse", 4),
        (UPLOAD_PART, "cut", 4),
        (UPLOAD_PART, "lose", 1),
        (r"POST .*[?&]uploadId=", "lose", 1),
    ]
    with ExitStack() as rules:
        started = []
        for pattern, action, times in kinds:
            export_id = stack.start()
            rule = rules.enter_context(
                aws.rule(pattern.replace(" .*", f" .*export_id(=|%3D){export_id}/.*"), action, times)
            )
            started.append((export_id, rule))
        for export in ended(stack, *(export_id for export_id, _ in started)):
            assert_whole(stack, export, "Contacts", 16_000)
        for export_id, rule in started:
            assert rule.used == rule.times, rule
            assert open_uploads(stack, export_id) == [], rule
