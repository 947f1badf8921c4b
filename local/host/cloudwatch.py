"""CloudWatch in moto's process: the metrics of queues, and the state of alarms, which moto does not evaluate.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
"""

import json
import math
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Thread
from typing import Any

from local.host.metric_math import Value, calculate

# AWS evaluates every minute and measures queues every minute.
_EVALUATE_SECONDS = 1.0
_QUEUE_SECONDS = 5.0
_KEPT_SECONDS = 3 * 3600.0
_KEPT_BY_MOTO = 50_000

_STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "Sum": sum,
    "Average": lambda values: sum(values) / len(values),
    "Minimum": min,
    "Maximum": max,
    "SampleCount": len,
}
_BREACHES: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}


@dataclass(frozen=True)
class Metric:
    """The identity of a metric. A metric with other dimensions is another metric."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]


class Samples:
    """The values of all metrics with their times, in seconds since 1970."""

    def __init__(self) -> None:
        self._times: dict[Metric, list[float]] = defaultdict(list)
        self._values: dict[Metric, list[float]] = defaultdict(list)

    def add(self, metric: Metric, moment: float, value: float) -> None:
        """Add one value."""
        at = bisect_right(self._times[metric], moment)
        self._times[metric].insert(at, moment)
        self._values[metric].insert(at, value)

    def between(self, metric: Metric, begin: float, end: float) -> list[float]:
        """Return the values after `begin`, up to and including `end`."""
        times = self._times.get(metric, [])
        return self._values.get(metric, [])[bisect_right(times, begin) : bisect_right(times, end)]

    def forget(self, before: float) -> None:
        """Remove the values of earlier times."""
        for metric, times in self._times.items():
            at = bisect_right(times, before)
            del times[:at], self._values[metric][:at]


@dataclass(frozen=True)
class Alarm:
    """The definition of an alarm. `missing` is TreatMissingData.

    `expression` is metric math over `operands`: metrics and their statistics, by id.
    """

    operands: Mapping[str, tuple[Metric, str]]
    expression: str
    comparison: str
    threshold: float
    period: float
    periods: int
    datapoints: int
    missing: str


def next_state(alarm: Alarm, samples: Samples, now: float, state: str) -> str:
    """Return the state of an alarm: OK, ALARM or INSUFFICIENT_DATA. Its periods end at `now`."""
    breaching, missing = 0, 0
    for index in range(alarm.periods):
        end = now - index * alarm.period
        value = _value(alarm, samples, end)
        if value is None:
            missing += 1
        elif _BREACHES[alarm.comparison](value, alarm.threshold):
            breaching += 1
    if alarm.missing == "breaching":
        breaching += missing
    if breaching >= alarm.datapoints:
        return "ALARM"
    if alarm.missing == "ignore" and breaching + missing >= alarm.datapoints:
        return state
    return "INSUFFICIENT_DATA" if alarm.missing == "missing" and missing == alarm.periods else "OK"


def _value(alarm: Alarm, samples: Samples, end: float) -> Value:
    """Return the value of an alarm's expression in the period that ends at `end`; None if it has no data."""
    found = {}
    for name, (metric, kind) in alarm.operands.items():
        values = samples.between(metric, end - alarm.period, end)
        found[name] = statistic(kind, values) if values else None
    return calculate(alarm.expression, found)


def statistic(name: str, values: Sequence[float]) -> float:
    """Return a statistic of values; "p99" is the 99th percentile (nearest rank)."""
    if (plain := _STATISTICS.get(name)) is not None:
        return plain(values)
    rank = math.ceil(float(name.removeprefix("p")) / 100 * len(values))
    return sorted(values)[max(rank, 1) - 1]


def watch(account: str, region: str) -> None:
    """Measure queues and evaluate alarms, in a background thread, until the process ends."""
    Thread(target=_CloudWatch(account, region).run, name="cloudwatch", daemon=True).start()


class _CloudWatch:
    def __init__(self, account: str, region: str) -> None:
        self._account, self._region = account, region
        self._samples = Samples()
        self._read = 0  # how many of moto's data are among the samples
        self._measured = 0.0

    def run(self) -> None:
        while True:
            time.sleep(_EVALUATE_SECONDS)
            try:
                self._run_once(time.time())
            except Exception as error:  # a rare race with a request that moto serves meanwhile
                print(f"alarms were not evaluated: {error!r}", flush=True)

    def _run_once(self, now: float) -> None:
        from moto.cloudwatch.models import cloudwatch_backends  # noqa: PLC0415 - moto reads its settings at import

        backend: Any = cloudwatch_backends[self._account][self._region]
        if now >= self._measured + _QUEUE_SECONDS:
            self._measured = now
            self._measure_queues(backend, now)
        self._take_over(backend.metric_data)
        alarms = [(item, alarm) for item in list(backend.alarms.values()) if (alarm := _definition(item))]
        longest = max([_KEPT_SECONDS, *(alarm.period * alarm.periods for _, alarm in alarms)])
        self._samples.forget(now - longest)
        for item, alarm in alarms:
            try:
                state = next_state(alarm, self._samples, now, item.state_value)
            except ValueError as error:
                state, reason = "INSUFFICIENT_DATA", str(error)
            else:
                reason = f"Threshold Crossed: {alarm.comparison} {alarm.threshold:g}"
            if state != item.state_value:
                self._change(item, state, reason)

    def _take_over(self, data: list[Any]) -> None:
        """Add moto's new data to the samples. moto itself keeps all data in one list, so it is shortened."""
        if self._read > len(data):  # moto was reset
            self._read = 0
        for item in data[self._read :]:
            moment = item.timestamp.replace(tzinfo=item.timestamp.tzinfo or UTC).timestamp()
            value = item.value if hasattr(item, "value") else item.sum
            self._samples.add(_metric(item, item.name), moment, value)
            self._read += 1
        if len(data) > _KEPT_BY_MOTO:
            self._read -= len(data) // 2
            del data[: len(data) // 2]

    def _measure_queues(self, backend: Any, now: float) -> None:
        """Put the metrics of AWS/SQS that alarms use."""
        from moto.sqs.models import sqs_backends  # noqa: PLC0415 - as above

        for queue in list(sqs_backends[self._account][self._region].queues.values()):
            messages: list[Any] = list(queue._messages)
            sent = [message.sent_timestamp / 1000 for message in messages]
            figures = {
                "ApproximateNumberOfMessagesVisible": queue.approximate_number_of_messages,
                "ApproximateNumberOfMessagesNotVisible": queue.approximate_number_of_messages_not_visible,
                "ApproximateAgeOfOldestMessage": max(0.0, now - min(sent, default=now)),
            }
            dimensions = [{"Name": "QueueName", "Value": queue.name}]
            entries = [
                {"MetricName": name, "Value": value, "Dimensions": dimensions}
                for name, value in figures.items()
            ]
            backend.put_metric_data("AWS/SQS", entries)

    def _change(self, item: Any, state: str, reason: str) -> None:
        """Set the state of one of moto's alarms, and publish to the topics of its actions."""
        before = item.state_value
        item.update_state(reason, "{}", state)
        print(f"alarm {item.name}: {before} -> {state}", flush=True)
        actions = {
            "ALARM": item.alarm_actions,
            "OK": item.ok_actions,
            "INSUFFICIENT_DATA": item.insufficient_data_actions,
        }
        if item.actions_enabled:
            for topic in actions[state] or []:
                self._publish(topic, item, before, state)

    def _publish(self, topic: str, item: Any, before: str, state: str) -> None:
        from moto.sns.models import sns_backends  # noqa: PLC0415 - as above

        message = {
            "AlarmName": item.name,
            "AlarmDescription": item.description,
            "AWSAccountId": self._account,
            "NewStateValue": state,
            "NewStateReason": item.state_reason,
            "StateChangeTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "+0000",
            "Region": self._region,
            "OldStateValue": before,
        }
        subject = f'{state}: "{item.name}" in {self._region}'
        sns_backends[self._account][self._region].publish(json.dumps(message), arn=topic, subject=subject)


def _definition(item: Any) -> Alarm | None:
    """Return the definition of one of moto's alarms; None for composite alarms."""
    if item.rule:
        return None
    expression, period = "metric", item.period
    if queries := item.metric_data_queries:
        stats = {query.id: query.metric_stat for query in queries if query.metric_stat}
        operands = {name: (_metric(stat.metric), stat.stat) for name, stat in stats.items()}
        expressions = [query.expression for query in queries if query.expression]
        expression = expressions[0] if expressions else next(iter(operands))
        period = next(iter(stats.values())).period
    else:
        operands = {"metric": (_metric(item, item.metric_name), item.statistic or item.extended_statistic)}
    periods = int(item.evaluation_periods)
    return Alarm(
        operands=operands,
        expression=expression,
        comparison=item.comparison_operator,
        threshold=float(item.threshold),
        period=float(period),
        periods=periods,
        datapoints=int(item.datapoints_to_alarm or periods),
        missing=item.treat_missing_data or "missing",
    )


def _metric(item: Any, name: str = "") -> Metric:
    """Return the metric of one of moto's alarms, data or queries."""
    dimensions = frozenset((dimension.name, dimension.value) for dimension in item.dimensions)
    return Metric(item.namespace, name or item.metric_name, dimensions)
