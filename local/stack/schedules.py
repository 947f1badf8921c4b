"""EventBridge Scheduler: functions that run at a rate, or at the interval of `--tick`."""

import json
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any

from local.stack.aws import ACCOUNT_ID, REGION
from local.stack.errors import LocalStackError
from local.stack.invocation import Outcome

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}


def interval_seconds(expression: str) -> float | None:
    """Return the interval of a rate() expression; None for cron() and at(), which only `--tick` fires."""
    match = _RATE.fullmatch(expression.strip())
    return int(match[1]) * _SECONDS[match[2]] if match else None


def build_event(schedule: Mapping[str, Any]) -> bytes:
    """Return what Scheduler sends to its target: the target's Input, or else its own envelope."""
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    name = schedule.get("Name", "schedule")
    arn = f"arn:aws:scheduler:{REGION}:{ACCOUNT_ID}:schedule/default/{name}"
    execution = str(uuid.uuid4())
    if (text := schedule["Target"].get("Input")) is not None:
        values = {
            "schedule-arn": arn,
            "scheduled-time": now,
            "execution-id": execution,
            "attempt-number": "1",
        }
        for key, value in values.items():
            text = text.replace(f"<aws.scheduler.{key}>", value)
        return str(text).encode()
    envelope = {
        "version": "0",
        "id": execution,
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
        """Prepare; `tick` seconds, where given, replace the schedule's own rate."""
        self._schedule, self._invoke = schedule, invoke
        self.interval = tick if tick is not None else interval_seconds(schedule["ScheduleExpression"])
        self._stopped = Event()

    def start(self) -> None:
        """Fire from now on, the first time after one interval. A run that is late delays the next."""
        if self.interval is not None and self._schedule.get("State", "ENABLED") == "ENABLED":
            Thread(target=self._run, name="schedule", daemon=True).start()

    def stop(self) -> None:
        """Fire no more."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self.interval):
            try:
                self._invoke(self._schedule["Target"]["Arn"], build_event(self._schedule))
            except LocalStackError:
                return
