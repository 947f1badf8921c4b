"""Metrics for moto's CloudWatch: those that AWS's services put, and those in log lines (EMF).

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.cloudformation.resources import Function
from local.host.aws import LocalAws
from local.runtime.log_files import LogFiles
from local.runtime.runtime_api import Report

_PUT_SECONDS = 0.5
_DATA_PER_CALL = 500


@dataclass(frozen=True)
class Datum:
    """One value of a metric. `moment`: seconds since 1970."""

    namespace: str
    name: str
    value: float
    dimensions: Mapping[str, str]
    unit: str = "Count"
    moment: float = field(default_factory=time.time)

    def entry(self) -> dict[str, Any]:
        """Return the argument of PutMetricData."""
        return {
            "MetricName": self.name,
            "Value": self.value,
            "Unit": self.unit,
            "Timestamp": self.moment,
            "Dimensions": [{"Name": name, "Value": value} for name, value in self.dimensions.items()],
        }


def emf_data(line: str) -> Iterator[Datum]:
    """Yield the metrics in a log line of the Embedded Metric Format; nothing for another line."""
    if '"_aws"' not in line:
        return
    try:
        document = json.loads(line)
        moment = document["_aws"]["Timestamp"] / 1000
        directives = document["_aws"]["CloudWatchMetrics"]
    except (ValueError, TypeError, KeyError):
        return
    for directive in directives:
        for names in directive.get("Dimensions") or [[]]:
            dimensions = {name: str(document[name]) for name in names}
            for metric in directive["Metrics"]:
                values = document.get(metric["Name"], [])
                for value in values if isinstance(values, list) else [values]:
                    unit = metric.get("Unit", "None")
                    yield Datum(directive["Namespace"], metric["Name"], value, dimensions, unit, moment)


def invocation_data(report: Report, function: str, concurrent: int) -> Iterator[Datum]:
    """Yield what Lambda puts for one invocation. `concurrent`: the account's invocations at its start."""
    figures = {
        "Invocations": 1.0,
        "Errors": float(bool(report.status)),
        "Throttles": 0.0,
        "Duration": report.duration_ms,
    }
    for name, value in figures.items():
        unit = "Milliseconds" if name == "Duration" else "Count"
        yield Datum("AWS/Lambda", name, value, {"FunctionName": function}, unit)
    for name in ("ConcurrentExecutions", "ClaimedAccountConcurrency"):
        yield Datum("AWS/Lambda", name, concurrent, {})


def request_data(api_id: str, status: int, milliseconds: float) -> Iterator[Datum]:
    """Yield what API Gateway puts for one request of an HTTP API."""
    figures = {"Count": 1.0, "4xx": float(400 <= status < 500), "5xx": float(status >= 500)}
    for name, value in figures.items():
        yield Datum("AWS/ApiGateway", name, value, {"ApiId": api_id})
    yield Datum("AWS/ApiGateway", "Latency", milliseconds, {"ApiId": api_id}, "Milliseconds")


class Metrics:
    """Collects metrics, and puts them in CloudWatch from a background thread."""

    def __init__(self, aws: LocalAws, functions: Mapping[str, Function], api_id: str, logs: Path) -> None:
        """`functions` are found by logical id; `logs` is the folder of their log files."""
        self._cloudwatch = aws.client("cloudwatch")
        self._functions, self._api_id = functions, api_id
        self._logs = LogFiles(logs)
        self._waiting: SimpleQueue[Datum] = SimpleQueue()
        self._stopped = Event()

    def start(self) -> None:
        """Start to read the log files and to put metrics."""
        Thread(target=self._run, name="metrics", daemon=True).start()

    def stop(self) -> None:
        """Stop. Metrics that were not put yet are lost."""
        self._stopped.set()

    def invoked(self, report: Report, concurrent: int) -> None:
        """Count an invocation."""
        self._add(invocation_data(report, self._functions[report.function].name, concurrent))

    def requested(self, status: int, milliseconds: float) -> None:
        """Count a request of the HTTP API."""
        self._add(request_data(self._api_id, status, milliseconds))

    def _add(self, data: Iterator[Datum]) -> None:
        for datum in data:
            self._waiting.put(datum)

    def _run(self) -> None:
        while not self._stopped.wait(_PUT_SECONDS):
            for _, line in self._logs.new_lines():
                self._add(emf_data(line))
            try:
                self._put()
            except (BotoCoreError, ClientError) as error:
                if not self._stopped.is_set():
                    print(f"metrics were lost: {error}", flush=True)

    def _put(self) -> None:
        by_namespace: dict[str, list[dict[str, Any]]] = defaultdict(list)
        try:
            while True:
                datum = self._waiting.get_nowait()
                by_namespace[datum.namespace].append(datum.entry())
        except Empty:
            pass
        for namespace, entries in by_namespace.items():
            for start in range(0, len(entries), _DATA_PER_CALL):
                data = entries[start : start + _DATA_PER_CALL]
                self._cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)
