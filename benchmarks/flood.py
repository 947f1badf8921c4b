"""Floods on the local stack: many exports requested at once, and as many callbacks at once.

The exports belong to 20 accounts, each with a connection of its own, so that neither `MaxOpenExports` nor
Zoho's limits per user decide. The latency of an export is counted from the moment at which all clients begin
to the seal of the export, and so contains its wait for a free client, function or worker. Clients send with
an Idempotency-Key and repeat a request that got 5xx.

On two cores the limit is their CPU, of which moto uses most; it also keeps several GB. So 1,000 exports at
once are played on the virtual clock only: `benchmarks.flood_model`.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import cycle, islice
from math import ceil
from statistics import quantiles

import requests

from benchmarks.module import control, stack_with
from benchmarks.report import Plot, Report, Table
from local.host.http import CLIENT
from local.serving import Stack

EXPORT_COLUMNS = ("exports at once", "completed", "p50 s", "p95 s", "exports/s")
CALLBACK_COLUMNS = ("callbacks at once", "2xx", "other", "p50 s", "p95 s", "callbacks/s")
LOADS, QUICK_LOADS = (10, 30, 100), (10, 40)
CALLBACK_LOADS, QUICK_CALLBACK_LOADS = (100, 1000), (100,)
_ACCOUNTS = 20
_CLIENTS = 64
_CALLBACKS_PER_PART = 20
_CALLBACK_TIMEOUT = 300.0
_TRIES, _PAUSE_SECONDS = 20, 1.0
_GIVE_UP_SECONDS = 1200.0
_URL = "/v1/e/zoho/bulk-read/contacts"
_TEXT = f"""\
Many exports requested at once, and as many callbacks at once, on the local stack: the template's functions,
moto and the simulated Zoho share this machine's cores, and moto uses most of them. So this shows that nothing
fails or is lost, and not how fast AWS is. The exports belong to {_ACCOUNTS} accounts. The latency of an
export counts from the moment at which all clients begin to the moment at which all its parts are stored.
"""

_CALLBACK_NOTE = """\
Each callback is posted by a client of its own, up to 20 for one part. The latency contains the wait for one
of the environments that the local stack has for the function, and would be answered with 503 after 30
seconds, as API Gateway does. Meanwhile the messages of the callbacks are handled on the same cores. All of
the exports are COMPLETED at the end.
"""

type Posted = tuple[int, float]  # status and seconds


def run(quick: bool) -> Report:
    """Measure all loads, each on a new stack. Raises RuntimeError if an export is lost."""
    exports = [exports_at_once(load) for load in (QUICK_LOADS if quick else LOADS)]
    callbacks = [callbacks_at_once(load) for load in (QUICK_CALLBACK_LOADS if quick else CALLBACK_LOADS)]
    return Report(
        "Floods",
        [
            Table("Exports at once", EXPORT_COLUMNS, exports),
            Table("Callbacks at once", CALLBACK_COLUMNS, callbacks, _CALLBACK_NOTE),
        ],
        [_plot(exports)],
        text=_TEXT,
    )


def _plot(found: Sequence[Sequence[float]]) -> Plot:
    return Plot(
        name="flood",
        title="Latency of exports that are requested at once",
        x=[f"{row[0]:.0f}" for row in found],
        series={name: [row[EXPORT_COLUMNS.index(name)] for row in found] for name in ("p50 s", "p95 s")},
        x_title="exports at once",
        y_title="s",
        kind="line",
    )


def exports_at_once(load: int) -> tuple[float, ...]:
    """Return one row of EXPORT_COLUMNS. Raises RuntimeError unless all exports are COMPLETED."""
    with _stack() as stack:
        completed, latencies = _flood_with_exports(stack, _connect(stack), load)
    return load, completed, *_percentiles(latencies), load / max(latencies)


def callbacks_at_once(load: int) -> tuple[float, ...]:
    """Return one row of CALLBACK_COLUMNS. Raises RuntimeError unless all of their exports are COMPLETED."""
    with _stack() as stack:
        posted, took = _flood_with_callbacks(stack, _connect(stack), load)
    accepted = sum(200 <= status < 300 for status, _ in posted)
    waits = [seconds for _, seconds in posted]
    return load, accepted, load - accepted, *_percentiles(waits), load / took


@contextmanager
def _stack() -> Iterator[Stack]:
    with stack_with({"DownloadsPerMinute": "1000"}) as stack:
        control(stack, "PATCH", "config", {"records": {"Contacts": 10}, "in_progress_seconds": 1})
        yield stack


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


def _flood_with_callbacks(stack: Stack, tokens: Sequence[str], load: int) -> tuple[list[Posted], float]:
    """Let jobs end without callbacks, then post `load` callbacks at once, with which all exports must end.

    Each part gets up to 20, the most that it may have, so that fewer exports are enough.
    """
    control(stack, "PATCH", "config", {"callback_mode": "never"})
    ids = set(_start(stack, tokens, ceil(load / _CALLBACKS_PER_PART), "silent"))
    _wait(stack, ids, "SUBMITTED")
    time.sleep(2)  # the jobs end
    jobs = control(stack, "GET", "jobs")["jobs"]
    wanted = {job["callback_url"]: job["id"] for job in jobs if job["callback_url"].split("/")[-3] in ids}
    began = time.monotonic()
    with ThreadPoolExecutor(load) as clients:
        posted = list(clients.map(_call_back, islice(cycle(wanted.items()), load)))
    took = time.monotonic() - began
    _wait(stack, ids, "COMPLETED")
    return posted, took


def _call_back(target: tuple[str, str]) -> Posted:
    url, job_id = target
    began = time.monotonic()
    body = {"data": [{"id": job_id, "state": "COMPLETED"}]}
    status = requests.post(url, json=body, timeout=_CALLBACK_TIMEOUT).status_code
    return status, time.monotonic() - began
