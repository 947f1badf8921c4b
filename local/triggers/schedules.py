"""EventBridge Scheduler: invokes functions at a rate, or at the interval given by `--tick`."""

import json
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any

from local.host.aws import ACCOUNT_ID, REGION
from local.host.processes import LocalStackError
from local.runtime.runtime_api import Outcome

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}


def interval_seconds(expression: str) -> float | None:
    """Return the interval of a rate() expression; None for cron() and at(), which only `--tick` fires."""
    match = _RATE.fullmatch(expression.strip())
    return int(match[1]) * _SECONDS[match[2]] if match else None


def build_event(schedule: Mapping[str, Any]) -> bytes:
    """Return the event for the target: its Input or, without one, Scheduler's envelope."""
    if (given := schedule["Target"].get("Input")) is not None:
        return str(given).encode()
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    arn = f"arn:aws:scheduler:{REGION}:{ACCOUNT_ID}:schedule/default/{schedule.get('Name', 'schedule')}"
    envelope = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": ACCOUNT_ID,
        "time": now,
        "region": REGION,
        "resources": [arn],
        "detail": "{}",
    }
    return json.dumps(envelope).encode()


class Ticker:
    """Fires one schedule."""

    def __init__(
        self, schedule: Mapping[str, Any], invoke: Callable[[str, bytes], Outcome], tick: float | None
    ) -> None:
        """Prepare to fire `schedule` every `tick` seconds, or at its own rate if `tick` is None."""
        self._schedule, self._invoke = schedule, invoke
        self._interval = tick if tick is not None else interval_seconds(schedule["ScheduleExpression"])
        self._stopped = Event()

    def start(self) -> None:
        """Start firing in a background thread, first after one interval. A slow run delays the next one."""
        if self._interval is not None and self._schedule.get("State", "ENABLED") == "ENABLED":
            Thread(target=self._run, name="schedule", daemon=True).start()

    def stop(self) -> None:
        """Stop firing."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            try:
                self._invoke(self._schedule["Target"]["Arn"], build_event(self._schedule))
            except LocalStackError:
                return
