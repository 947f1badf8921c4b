"""A whole module on the local stack: the time it takes against the time that Zoho alone needs.

Zoho prepares one job after the other, because a job names the page with which the next one begins. So an
export of n parts takes at least n jobs and the download of the last one; what it takes in addition is ours.
Each job takes six seconds. In a quick run each download does, too: the simulator waits before it sends a
small result, so that the figures show the hops between the functions and not this machine's CPU. Otherwise
parts have 200,000 records, and "one download" is the time that the last part took from READY to STORED.
Run it with `python -m benchmarks.module [--quick]`.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import Report, Table
from local.host.http import CLIENT
from local.host.processes import isolate_from_aws
from local.servers import StackOptions
from local.serving import Stack
from local.stack import running_stack

PARTS = 5
JOB_SECONDS, DOWNLOAD_SECONDS = 6.0, 6.0
COLUMNS = ("records", "wall s", "least s", "ratio", "gap s", "invocations")
_RECORDS_PER_PART, _FEW_RECORDS_PER_PART = 200_000, 1_000
_LOGS = Path(".local/bench/module")
_BULK_READ = "/v1/e/zoho/bulk-read"
_GIVE_UP_SECONDS = 600.0
_TEXT = f"""\
An export of {PARTS} parts on the local stack, whose simulated Zoho prepares one job after the other and takes
{JOB_SECONDS:.0f} seconds for each. The least that any client needs is all jobs and the download of the last
part. What an export takes in addition is ours: the hops between the functions. Wall time, so it depends on
what else this machine does.
"""


def rows(quick: bool) -> list[tuple[float, ...]]:
    """Return one row of COLUMNS for each export. quick: parts of 1,000 instead of 200,000 records.

    The first export of a stack meets cold functions, the second warm ones.
    """
    with stack_with({"DownloadsPerMinute": "1000"}) as stack:
        return [_row(stack, _FEW_RECORDS_PER_PART if quick else _RECORDS_PER_PART) for _ in range(2)]


def run(quick: bool) -> Report:
    """Measure one export with cold and one with warm functions, and return one table."""
    found = rows(quick)
    table = Table(
        "A whole module",
        ("functions", *COLUMNS),
        [(functions, *row) for functions, row in zip(("cold", "warm"), found, strict=True)],
        f"Least: {PARTS} jobs and one download. Gap: the median time between two jobs.",
    )
    ratios = " and ".join(f"{row[COLUMNS.index('ratio')]:.2f}" for row in found)
    return Report("Whole module", [table], facts={"Ratio to the least, cold and warm": ratios}, text=_TEXT)


@contextmanager
def stack_with(parameters: dict[str, str]) -> Iterator[Stack]:
    """Run the local stack, whose Zoho limits neither downloads nor the number of requests."""
    isolate_from_aws()
    with running_stack(StackOptions(logs=_LOGS, parameters=parameters)) as stack:
        control(stack, "PATCH", "config", {"downloads_per_minute": 0, "concurrency": 100_000})
        yield stack


def control(stack: Stack, method: str, path: str, document: object = None) -> Any:
    """Call the simulator's control API."""
    response = CLIENT.request(method, f"{stack.state.zoho_url}/__sim__/{path}", json=document, timeout=30)
    response.raise_for_status()
    return response.json()


def call(stack: Stack, method: str, path: str, token: str = "") -> Any:
    """Call the stack's API as its own account, or with another token; return `data`."""
    headers = {"Authorization": f"Bearer {token or stack.state.token}"}
    url = f"{stack.state.api_url}{_BULK_READ}/{path}"
    response = CLIENT.request(method, url, headers=headers, timeout=60)
    response.raise_for_status()
    return response.json()["data"]


def _row(stack: Stack, per_part: int) -> tuple[float, ...]:
    config = {
        "records": {"Contacts": PARTS * per_part},
        "records_per_job": per_part,
        "added_seconds": 0,
        "queued_seconds": 0,
        "in_progress_seconds": JOB_SECONDS,
    }
    waits = per_part == _FEW_RECORDS_PER_PART
    control(stack, "PATCH", "config", config)
    control(stack, "DELETE", "faults")
    control(stack, "POST", "faults", {"path": "/result$", "delay": DOWNLOAD_SECONDS if waits else 0})
    invoked = len(stack.lambdas.reports)
    export_id = call(stack, "POST", "contacts")["export_id"]
    export = ended(stack, export_id)
    invocations = len(stack.lambdas.reports) - invoked
    last = item_of(stack, export_id, f"PART#{PARTS:05d}")
    download = DOWNLOAD_SECONDS if waits else seconds_between(last, "ready_at", "stored_at")
    wall = seconds_between(export, "requested_at", "completed_at")
    alone = PARTS * JOB_SECONDS + download
    return PARTS * per_part, wall, alone, wall / alone, median(_gaps(stack, export_id)), invocations


def _gaps(stack: Stack, export_id: str) -> list[float]:
    """Return the seconds from the end of each job to the beginning of the next one."""
    jobs = [job for job in control(stack, "GET", "jobs")["jobs"] if export_id in job["callback_url"]]
    jobs.sort(key=lambda job: float(job["created_at"]))
    return [after["created_at"] - before["ended_at"] for before, after in pairwise(jobs)]


def item_of(stack: Stack, export_id: str, sort_key: str = "META") -> dict[str, str]:
    """Return the strings of an item of the table, which is read without a function."""
    key = {"pk": {"S": f"EXPORT#{export_id}"}, "sk": {"S": sort_key}}
    client = stack.aws.client("dynamodb")
    response = client.get_item(TableName=stack.state.exports_table, Key=key, ConsistentRead=True)
    return {name: value["S"] for name, value in response["Item"].items() if "S" in value}


def ended(stack: Stack, export_id: str) -> dict[str, str]:
    """Wait for an export and return its item. Raises RuntimeError unless it is COMPLETED in time."""
    deadline = time.monotonic() + _GIVE_UP_SECONDS
    while True:
        export = item_of(stack, export_id)
        if export["state"] == "COMPLETED":
            return export
        if export["state"] != "RUNNING" or time.monotonic() > deadline:
            raise RuntimeError(f"export {export_id} is {export['state']}: {export.get('failure')}")
        time.sleep(0.5)


def seconds_between(item: dict[str, str], began: str, ended_at: str) -> float:
    """Return the seconds between two times of an item."""
    return (datetime.fromisoformat(item[ended_at]) - datetime.fromisoformat(item[began])).total_seconds()


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.module", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="parts of 1,000 instead of 200,000 records")
    print(*COLUMNS, sep=" | ")
    for row in rows(parser.parse_args().quick):
        print(*(f"{cell:,.2f}".removesuffix(".00") for cell in row), sep=" | ")


if __name__ == "__main__":
    main()
