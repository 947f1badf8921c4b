"""Logs and metrics of all functions. Never log a whole event, URL or body: they contain secrets."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from logging import LogRecord
from threading import RLock
from types import MappingProxyType
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from crm_export import deadline

type Event = dict[str, Any]
type Context = LambdaContext
type Handler = Callable[[Event, Context], dict[str, Any]]

logger = Logger()
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_about = ContextVar("about", default=_NOTHING)  # the keys of every log line


def note(**keys: Any) -> None:
    """Add keys to the log lines of this context from now on: account_id, owner, export_id, part, job_id.

    A key that is None is removed.
    """
    merged = {**_about.get(), **keys}
    _about.set({name: value for name, value in merged.items() if value is not None})


@contextmanager
def noting(**keys: Any) -> Iterator[None]:
    """Add keys to the log lines in this context; what `note` adds in it ends with it, too."""
    token = _about.set(_about.get())
    try:
        note(**keys)
        yield
    finally:
        _about.reset(token)


def _describe(record: LogRecord) -> bool:
    """Add the context's keys to a log record; those that its own call names stay as they are."""
    for name, value in _about.get().items():
        record.__dict__.setdefault(name, value)
    return True


logger.addFilter(_describe)


@cache
def metrics() -> Metrics:
    """Return this container's metrics. All functions share one `service`: an alarm needs one dimension."""
    namespace = os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "ZohoCrmExport")
    return Metrics(namespace=namespace, service="zoho-crm-export")


_is_counted = ContextVar("is_counted", default=True)


@contextmanager
def uncounted() -> Iterator[None]:
    """Count nothing in this context: Powertools prints metrics to stdout, which a command needs itself."""
    token = _is_counted.set(False)
    try:
        yield
    finally:
        _is_counted.reset(token)


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
    if not _is_counted.get():
        return
    with _lock:
        metrics().add_metric(name=name, unit=unit, value=value)


def observed(handler: Handler) -> Handler:
    """Wrap a handler: set its deadline, add the request id to log lines, flush its metrics at the end.

    The request id is API Gateway's, which error responses show, or else Lambda's.
    """

    @wraps(handler)
    def with_metrics(event: Event, context: Context) -> dict[str, Any]:
        request_id = event.get("requestContext", {}).get("requestId") or context.aws_request_id
        left = context.get_remaining_time_in_millis() / 1000
        with noting(request_id=request_id), deadline.ends_in(left):
            try:
                return handler(event, context)
            except Exception:
                logger.exception("invocation failed")  # Lambda's own line has none of our keys
                raise
            finally:
                if metrics().metric_set:  # flushing an empty set would log a warning
                    metrics().flush_metrics()

    entry: Handler = logger.inject_lambda_context(with_metrics, clear_state=True)
    return entry
