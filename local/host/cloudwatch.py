"""CloudWatch in moto's process: the metrics of queues, and the state of alarms, which moto does not evaluate.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
"""

import json
import math
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Thread
from typing import Any

# AWS evaluates every minute and measures queues every minute.
_EVALUATE_SECONDS = 1.0
_QUEUE_SECONDS = 5.0
_KEPT_SECONDS = 3 * 3600.0
_KEPT_BY_MOTO = 50_000

type Dimensions = Iterable[Mapping[str, str]]

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
    """The definition of an alarm on one metric. `missing` is TreatMissingData."""

    metric: Metric
    statistic: str
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
        values = samples.between(alarm.metric, end - alarm.period, end)
        if not values:
            missing += 1
        elif _BREACHES[alarm.comparison](statistic(alarm.statistic, values), alarm.threshold):
            breaching += 1
    if alarm.missing == "breaching":
        breaching += missing
    if breaching >= alarm.datapoints:
        return "ALARM"
    if alarm.missing == "ignore" and breaching + missing >= alarm.datapoints:
        return state
    return "INSUFFICIENT_DATA" if alarm.missing == "missing" and missing == alarm.periods else "OK"


def statistic(name: str, values: Sequence[float]) -> float:
    """Return a statistic of values; "p99" is the 99th percentile (nearest rank)."""
    if (plain := _STATISTICS.get(name)) is not None:
        return plain(values)
    rank = math.ceil(float(name.removeprefix("p")) / 100 * len(values))
    return sorted(values)[max(rank, 1) - 1]


def metric_of(namespace: str, name: str, dimensions: Dimensions) -> Metric:
    """Return the metric with dimensions as the API has them: [{"Name": ..., "Value": ...}]."""
    return Metric(namespace, name, frozenset((item["Name"], item["Value"]) for item in dimensions))


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
            state = next_state(alarm, self._samples, now, item.state_value)
            if state != item.state_value:
                self._change(item, alarm, state)

    def _take_over(self, data: list[Any]) -> None:
        """Add moto's new data to the samples. moto itself keeps all data in one list, so it is shortened."""
        if self._read > len(data):  # moto was reset
            self._read = 0
        for item in data[self._read :]:
            dimensions = [{"Name": dimension.name, "Value": dimension.value} for dimension in item.dimensions]
            moment = item.timestamp.replace(tzinfo=item.timestamp.tzinfo or UTC).timestamp()
            value = item.value if hasattr(item, "value") else item.sum
            self._samples.add(metric_of(item.namespace, item.name, dimensions), moment, value)
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

    def _change(self, item: Any, alarm: Alarm, state: str) -> None:
        """Set the state of one of moto's alarms, and publish to the topics of its actions."""
        before = item.state_value
        reason = f"{alarm.statistic} of {alarm.metric.name}: {alarm.comparison} {alarm.threshold:g}"
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
    """Return the definition of one of moto's alarms; None for composite alarms and metric math."""
    if item.rule or item.metric_data_queries or not item.metric_name:
        return None
    dimensions = [{"Name": dimension.name, "Value": dimension.value} for dimension in item.dimensions]
    periods = int(item.evaluation_periods)
    return Alarm(
        metric=metric_of(item.namespace, item.metric_name, dimensions),
        statistic=item.statistic or item.extended_statistic,
        comparison=item.comparison_operator,
        threshold=float(item.threshold),
        period=float(item.period),
        periods=periods,
        datapoints=int(item.datapoints_to_alarm or periods),
        missing=item.treat_missing_data or "missing",
    )
