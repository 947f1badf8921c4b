"""Logs and metrics of all functions. Never log a whole event, URL or body: they contain secrets."""

import os
from collections.abc import Callable
from functools import cache, wraps
from threading import RLock
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from crm_export import deadline

type Event = dict[str, Any]
type Context = LambdaContext
type Handler = Callable[[Event, Context], dict[str, Any]]

logger = Logger()


@cache
def metrics() -> Metrics:
    """Return this container's metrics. All functions share one `service`: an alarm needs one dimension."""
    namespace = os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "ZohoCrmExport")
    return Metrics(namespace=namespace, service="zoho-crm-export")


_lock = RLock()  # Powertools' metrics are not safe for threads, and the reconciler counts in ten


def count(name: str, value: float = 1) -> None:
    """Add to a metric that counts."""
    _add(name, MetricUnit.Count, value)


def count_bytes(name: str, value: float) -> None:
    """Add to a metric in bytes."""
    _add(name, MetricUnit.Bytes, value)


def gauge(name: str, value: float) -> None:
    """Set a metric that is a level; an invocation reports the last value."""
    with _lock:
        metrics().metric_set.pop(name, None)
        _add(name, MetricUnit.Count, value)


def _add(name: str, unit: MetricUnit, value: float) -> None:
    with _lock:
        metrics().add_metric(name=name, unit=unit, value=value)


def observed(handler: Handler) -> Handler:
    """Wrap a handler: set its deadline, add the request id to log lines, flush its metrics at the end."""

    @wraps(handler)
    def with_metrics(event: Event, context: Context) -> dict[str, Any]:
        try:
            with deadline.ends_in(context.get_remaining_time_in_millis() / 1000):
                return handler(event, context)
        finally:
            if metrics().metric_set:  # flushing an empty set would log a warning
                metrics().flush_metrics()

    entry: Handler = logger.inject_lambda_context(with_metrics, clear_state=True)
    return entry
