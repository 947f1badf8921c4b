"""Delivers the callback of a job that has ended: once, several times, late, early or never."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException

from zoho_simulator.bulk.jobs import Job
from zoho_simulator.config import Environment, SimulatorConfig
from zoho_simulator.errors import ZohoError
from zoho_simulator.faults import Faults
from zoho_simulator.wire import Json

_ENDED = ("COMPLETED", "FAILURE")

type Document = Callable[[Job, float], Json]  # (job, time) → the body of its callback


@dataclass
class Callbacks:
    """Schedules and posts callbacks."""

    _config: SimulatorConfig
    _environment: Environment
    _faults: Faults

    def arrange(self, job: Job, document: Document) -> None:
        """Schedule the callback of a new job.

        In the mode `early` the job ends at once and the first attempt is made before this returns, so that
        the callback reaches its receiver before the response to the create request does.
        """
        config = self._config
        if not job.callback_url or config.callback_mode == "never":
            return
        is_early = config.callback_mode == "early" or job.faults.is_early
        if is_early:
            job.end(self._environment.clock())
        wait = job.ended_at - job.created_at + config.callback_delay
        for _ in range(config.callback_copies):
            if is_early:
                self._attempt(job, document, 1)
            else:
                self._environment.after(wait, lambda: self._attempt(job, document, 1))

    def _attempt(self, job: Job, document: Document, attempt: int) -> None:
        now = max(self._environment.clock(), job.ended_at)  # a test's clock may stand still
        if job.state(now) not in _ENDED or not job.callback_url:
            return
        fault = self._faults.take("callback", "POST", job.callback_url)
        if fault.drop:
            job.callbacks.append({"attempt": attempt, "time": now, "dropped": True})
        elif fault.delay:
            self._environment.after(
                fault.delay, lambda: self._deliver(job, document, attempt, 1 + fault.duplicate)
            )
        else:
            self._deliver(job, document, attempt, 1 + fault.duplicate)

    def _deliver(self, job: Job, document: Document, attempt: int, copies: int) -> None:
        now = max(self._environment.clock(), job.ended_at)
        body = json.dumps(document(job, now), ensure_ascii=False).encode()
        outcomes = [self._post(str(job.callback_url), body) for _ in range(copies)]
        job.callbacks.extend({"attempt": attempt, "time": now, **outcome} for outcome in outcomes)
        if any(200 <= outcome.get("status", 0) < 300 for outcome in outcomes):
            return
        if attempt < self._config.callback_attempts:
            wait = self._config.callback_retry_seconds
            self._environment.after(wait, lambda: self._attempt(job, document, attempt + 1))
            return
        failure = ZohoError("CALLBACK_FAILURE", attempts=attempt)
        job.callbacks.append(
            {"attempt": attempt, "time": now, "code": failure.code, "message": failure.message}
        )

    def _post(self, url: str, body: bytes) -> Json:
        headers = {"Content-Type": self._config.callback_content_type, "User-Agent": "ZohoCRM"}
        try:
            return {"status": self._environment.post(url, headers, body)}
        except (OSError, HTTPException) as error:
            return {"error": f"{type(error).__name__}: {error}"}
