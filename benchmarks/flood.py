"""Floods on the local stack: many exports requested at once, and as many callbacks at once.

The exports belong to 20 accounts, each with a connection of its own, so that neither `MaxOpenExports` nor
Zoho's limits per user decide. The latency of an export is counted from the moment at which all clients begin
to the seal of the export, and so contains its wait for a free client, function or worker. Clients send with
an Idempotency-Key and repeat a request that got 5xx.

On two cores the limit is their CPU, of which moto uses most; it also keeps several GB. A load of 1,000
(`--load 1000`) was never seen to end here: it was stopped after 17 minutes on a machine that had other work.
Run it with `python -m benchmarks.flood [--quick]`.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from itertools import cycle, islice
from math import ceil
from statistics import quantiles

import requests

from benchmarks.module import control, stack_with
from benchmarks.report import Plot, Report, Table
from local.host.http import CLIENT
from local.stack import Stack

COLUMNS = ("exports", "completed", "p50 s", "p95 s", "exports/s", "callbacks", "2xx", "p95 ms")
LOADS, QUICK_LOADS = (10, 30, 100), (10, 40)
_ACCOUNTS = 20
_CLIENTS = 64
_CALLBACKS_PER_PART = 20
_TRIES, _PAUSE_SECONDS = 20, 1.0
_GIVE_UP_SECONDS = 1200.0
_URL = "/v1/e/zoho/bulk-read/contacts"
_TEXT = f"""\
Many exports requested at once, and as many callbacks at once, on the local stack: the template's functions,
moto and the simulated Zoho share this machine's cores, and moto uses most of them. So this shows that nothing
fails or is lost, and not how fast AWS is. The exports belong to {_ACCOUNTS} accounts. The latency of an
export counts from the moment at which all clients begin to the moment at which all its parts are stored.
"""

type Posted = tuple[int, float]  # status and seconds


def rows(quick: bool) -> list[tuple[float, ...]]:
    """Return one row of COLUMNS for each load, each on a new stack: one point of the plot."""
    return [_row(load) for load in (QUICK_LOADS if quick else LOADS)]


def run(quick: bool) -> Report:
    """Measure all loads, and return a table and a plot."""
    found = rows(quick)
    note = "Latencies are seconds of exports, and milliseconds of a callback's response."
    completed, loads = (sum(row[COLUMNS.index(name)] for row in found) for name in ("completed", "exports"))
    return Report(
        "Floods",
        [Table("Exports and callbacks at once", COLUMNS, found, note)],
        [_plot(found)],
        {"Exports that completed": f"{completed:.0f} of {loads:.0f}"},
        _TEXT,
    )


def _plot(found: Sequence[Sequence[float]]) -> Plot:
    return Plot(
        name="flood",
        title="Latency of exports that are requested at once",
        x=[f"{row[0]:.0f}" for row in found],
        series={name: [row[COLUMNS.index(name)] for row in found] for name in ("p50 s", "p95 s")},
        x_title="exports at once",
        y_title="s",
        kind="line",
    )


def _row(load: int) -> tuple[float, ...]:
    with stack_with({"DownloadsPerMinute": "1000"}) as stack:
        control(stack, "PATCH", "config", {"records": {"Contacts": 10}, "in_progress_seconds": 1})
        tokens = _connect(stack)
        completed, latencies = _flood_with_exports(stack, tokens, load)
        posted = _flood_with_callbacks(stack, tokens, load)
    p50, p95 = _percentiles(latencies)
    accepted = sum(200 <= status < 300 for status, _ in posted)
    slow = _percentiles(seconds for _, seconds in posted)[1] * 1000
    return load, completed, p50, p95, load / max(latencies), load, accepted, slow


def _percentiles(values: Iterable[float]) -> tuple[float, float]:
    """Return the 50th and the 95th percentile."""
    cuts = quantiles(values, n=20, method="inclusive")
    return cuts[9], cuts[18]


def _connect(stack: Stack) -> list[str]:
    """Store a connection for each account and return a JWT of each."""
    own = stack.aws.client("secretsmanager")
    tokens = [f"1000.flood.{number}" for number in range(_ACCOUNTS)]
    control(stack, "PATCH", "config", {"refresh_tokens": ["1000.local.refresh", *tokens]})
    name = stack.state.outputs["ConnectionSecretName"]
    zoho = stack.state.zoho_url
    for number, token in enumerate(tokens):
        grant = {"refresh_token": token, "api_domain": zoho, "accounts_server": zoho}
        secret = name.replace("<account_id>", f"flood-{number}").replace("<owner>", "user-1")
        own.create_secret(Name=secret, SecretString=json.dumps({"token": grant, "token_invalidated": False}))
    return [_jwt(stack, f"flood-{number}") for number in range(_ACCOUNTS)]


def _jwt(stack: Stack, account: str) -> str:
    order = {"account": account, "owner": "user-1", "claims": {}, "expires_in": 3600}
    token: str = CLIENT.post(f"{stack.state.control_url}/token", json=order, timeout=10).json()["token"]
    return token


# --- exports ---------------------------------------------------------------------------------


def _flood_with_exports(stack: Stack, tokens: Sequence[str], load: int) -> tuple[int, list[float]]:
    """Start exports at once and wait for their ends. Returns how many are COMPLETED, and all latencies."""
    began = time.time()
    ids = _start(stack, tokens, load, "normal")
    sealed = _wait(stack, set(ids), "COMPLETED")
    return len(sealed), [_epoch(item["completed_at"]) - began for item in sealed.values()]


def _start(stack: Stack, tokens: Sequence[str], load: int, name: str) -> list[str]:
    with ThreadPoolExecutor(_CLIENTS) as clients:
        numbers = range(load)
        return list(clients.map(lambda n: _post(stack, tokens[n % len(tokens)], f"{name}-{n}"), numbers))


def _post(stack: Stack, token: str, key: str) -> str:
    """Start one export, with as many tries as a patient client has."""
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
    for _ in range(_TRIES):
        response = requests.post(stack.state.api_url + _URL, headers=headers, timeout=60)
        if response.status_code == requests.codes.accepted:
            export_id: str = response.json()["data"]["export_id"]
            return export_id
        time.sleep(_PAUSE_SECONDS)
    raise RuntimeError(f"The export {key} was not started: HTTP {response.status_code} {response.text}")


def _wait(stack: Stack, ids: set[str], state: str) -> dict[str, dict[str, str]]:
    """Return the items of exports (or of their first parts) once all are in a state."""
    client, deadline = stack.aws.client("dynamodb"), time.monotonic() + _GIVE_UP_SECONDS
    scan = partial(client.get_paginator("scan").paginate, TableName=stack.state.exports_table)
    while True:
        items = [item for page in scan(ConsistentRead=True) for item in page["Items"]]
        found = {
            item["pk"]["S"].removeprefix("EXPORT#"): {n: v["S"] for n, v in item.items() if "S" in v}
            for item in items
            if item.get("state", {}).get("S") == state
        }
        if ids <= found.keys():
            return {export_id: found[export_id] for export_id in ids}
        if time.monotonic() > deadline:
            states = Counter(item["state"]["S"] for item in items if "state" in item)
            raise RuntimeError(f"{len(ids - found.keys())} exports are not {state}: {dict(states)}")
        time.sleep(3)


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


# --- callbacks -------------------------------------------------------------------------------


def _flood_with_callbacks(stack: Stack, tokens: Sequence[str], load: int) -> list[Posted]:
    """Let jobs end without callbacks, then post `load` callbacks at once, with which all exports must end.

    Each part gets up to 20, the most that it may have, so that fewer exports are enough.
    """
    control(stack, "PATCH", "config", {"callback_mode": "never"})
    ids = set(_start(stack, tokens, ceil(load / _CALLBACKS_PER_PART), "silent"))
    _wait(stack, ids, "SUBMITTED")
    time.sleep(2)  # the jobs end
    jobs = control(stack, "GET", "jobs")["jobs"]
    wanted = {job["callback_url"]: job["id"] for job in jobs if job["callback_url"].split("/")[-3] in ids}
    with ThreadPoolExecutor(load) as clients:
        posted = list(clients.map(_call_back, islice(cycle(wanted.items()), load)))
    _wait(stack, ids, "COMPLETED")
    return posted


def _call_back(target: tuple[str, str]) -> Posted:
    url, job_id = target
    began = time.monotonic()
    body = {"data": [{"id": job_id, "state": "COMPLETED"}]}
    status = requests.post(url, json=body, timeout=60).status_code
    return status, time.monotonic() - began


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flood", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"loads of {QUICK_LOADS} instead of {LOADS}")
    parser.add_argument("--load", type=int, help="one load only")
    given = parser.parse_args()
    print(*COLUMNS, sep=" | ")
    for row in [_row(given.load)] if given.load else rows(given.quick):
        print(*(f"{cell:,.2f}".removesuffix(".00") for cell in row), sep=" | ", flush=True)


if __name__ == "__main__":
    main()
