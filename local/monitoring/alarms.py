"""Watches the alarms. moto's process evaluates them (local/host/cloudwatch.py)."""

from collections.abc import Callable
from datetime import datetime
from threading import Event, Thread

from botocore.exceptions import BotoCoreError, ClientError

from local.host.aws import LocalAws

_POLL_SECONDS = 1


class AlarmWatch:
    """Reports as a line of text when an alarm goes off, and when it ends."""

    def __init__(self, aws: LocalAws, report: Callable[[str], None]) -> None:
        self._cloudwatch, self._report = aws.client("cloudwatch"), report
        self._stopped = Event()
        self._states: dict[str, str] = {}

    def start(self) -> None:
        """Start watching in a background thread."""
        Thread(target=self._run, name="alarms", daemon=True).start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(_POLL_SECONDS):
            try:
                self._look()
            except (BotoCoreError, ClientError):
                continue  # the stack is being stopped

    def _look(self) -> None:
        for page in self._cloudwatch.get_paginator("describe_alarms").paginate():
            for alarm in page["MetricAlarms"]:
                name, state = alarm["AlarmName"], alarm["StateValue"]
                before = self._states.get(name, "OK")
                self._states[name] = state
                if state != before and "ALARM" in (state, before):
                    self._report(f"{datetime.now():%H:%M:%S}  {name}: {before} -> {state}")
