"""Posts the callback of a job when it has ended: once, several times, late, early or never."""

import json
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from time import sleep
from typing import Any
from urllib.parse import urlsplit

from zoho_simulator.faults import Fault
from zoho_simulator.job_document import callback_document
from zoho_simulator.jobs import Job
from zoho_simulator.simulation import Simulation

_ENDED = ("COMPLETED", "FAILURE")


def arrange_callback(sim: Simulation, job: Job) -> None:
    """See to it that the job's callback is sent when its time has come.

    In the mode `early` the job is over at once and the first attempt is made before this returns, so that
    the callback reaches its receiver before the answer to the create request does.
    """
    config = sim.config
    if not job.callback_url or config.callback_mode == "never":
        return
    if config.callback_mode == "early":
        job.end_now(config.clock())
        for _ in range(config.callback_copies):
            _deliver(sim, job, 1)
        return
    wait = job.ended_at - job.created_at + config.callback_delay
    for _ in range(config.callback_copies):
        sim.scheduler.after(wait, lambda: _deliver(sim, job, 1))


def _deliver(sim: Simulation, job: Job, attempt: int) -> None:
    # A test's clock may stand still while this thread's does not.
    now = max(sim.config.clock(), job.ended_at)
    if job.state(now) not in _ENDED or not job.callback_url:
        return
    fault = sim.faults.take("callback", "POST", job.callback_url) or Fault()
    sleep(fault.delay)
    if fault.drop:
        job.callbacks.append({"attempt": attempt, "time": now, "dropped": True})
        return
    body = json.dumps(callback_document(sim, job, now), ensure_ascii=False).encode()
    outcomes = [_post(sim, job.callback_url, body) for _ in range(1 + fault.duplicate)]
    job.callbacks.extend({"attempt": attempt, "time": now, **outcome} for outcome in outcomes)
    if any(200 <= outcome.get("status", 0) < 300 for outcome in outcomes):
        return
    if attempt < sim.config.callback_attempts:
        sim.scheduler.after(sim.config.callback_retry_seconds, lambda: _deliver(sim, job, attempt + 1))
    else:
        message = f"Callback failed after {attempt} attempts."
        job.callbacks.append(
            {"attempt": attempt, "time": now, "code": "CALLBACK_FAILURE", "message": message}
        )


def _post(sim: Simulation, url: str, body: bytes) -> dict[str, Any]:
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Content-Type": sim.config.callback_content_type, "User-Agent": "ZohoCRM"}
    try:
        with closing(
            kind(parts.hostname or "", parts.port, timeout=sim.config.callback_timeout)
        ) as connection:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read()
            return {"status": answer.status}
    except (OSError, HTTPException) as error:
        return {"error": f"{type(error).__name__}: {error}"}
