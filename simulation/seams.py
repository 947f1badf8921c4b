"""Takes chance, time and threads out of the code under test: all of them come from the seed and its clock.

Modules of crm_export that import time, uuid, random or secrets see these instead, whichever they are.
"""

import random
import secrets
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import cache
from logging import Formatter, Handler, LogRecord, makeLogRecord
from random import Random
from threading import Thread
from types import SimpleNamespace
from typing import Any

from crm_export import telemetry
from crm_export.exports import records as read_records
from crm_export.zoho import records as record_pages
from simulation.calls import Calls
from simulation.scheduler import Scheduler

_PLAIN = {*vars(makeLogRecord({})), "message", "asctime", "taskName"}


class _InlineThread:
    def __init__(self, target: Callable[[], None], daemon: bool) -> None:
        self._target = target

    def start(self) -> None:
        self._target()


class InlineExecutor(Executor):
    """Runs work in `submit` itself. A BaseException passes: it ends the whole invocation."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*args, **kwargs))
        except Exception as error:  # as an executor does
            future.set_exception(error)
        return future


class KeptLog(Handler):
    """Log lines with all they carry, to be searched for secrets."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(Formatter())

    def emit(self, record: LogRecord) -> None:
        extra = {name: value for name, value in vars(record).items() if name not in _PLAIN}
        self.lines.append(f"{self.format(record)} {extra}")


@cache
def _places() -> list[tuple[Any, str, Any]]:
    return [
        (module, name, value)
        for module_name, module in sorted(sys.modules.items())
        if module_name.startswith("crm_export")
        for name, value in list(vars(module).items())
        if any(value is replaced for replaced in (time, uuid, random, secrets, Thread))
    ]


@contextmanager
def seams(scheduler: Scheduler, calls: Calls, rng: Random, *, page_records: int) -> Iterator[KeptLog]:
    """Within this context the code under test is the seed's."""
    log = KeptLog()
    replaced = {
        id(time): SimpleNamespace(monotonic=scheduler.monotonic, time=scheduler.epoch, sleep=calls.sleep),
        id(uuid): SimpleNamespace(uuid4=lambda: uuid.UUID(int=rng.getrandbits(128), version=4)),
        id(random): SimpleNamespace(uniform=rng.uniform, random=rng.random),
        id(secrets): SimpleNamespace(token_hex=lambda count: f"{rng.getrandbits(8 * count):0{2 * count}x}"),
        id(Thread): _InlineThread,
    }
    uncounted = SimpleNamespace(add_metric=lambda **metric: None)
    places = [
        *((module, name, old, replaced[id(old)]) for module, name, old in _places()),
        (record_pages, "PER_PAGE", record_pages.PER_PAGE, page_records),
        (read_records, "_PART_RECORDS", read_records._PART_RECORDS, page_records * 2),
        (telemetry, "metrics", telemetry.metrics, lambda: uncounted),
    ]
    powertools = telemetry.logger
    handlers, level = list(powertools._logger.handlers), powertools.log_level
    propagate = powertools._logger.propagate
    for module, name, _, new in places:
        setattr(module, name, new)
    powertools._logger.handlers[:], powertools._logger.propagate = [log], False
    powertools.setLevel("INFO")
    try:
        yield log
    finally:
        powertools.setLevel(level)
        powertools._logger.handlers[:], powertools._logger.propagate = handlers, propagate
        for module, name, old, _ in places:
            setattr(module, name, old)
