"""What a run changes in its process: where the functions' log lines go, and that metrics are not printed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from logging import Formatter, Handler, LogRecord, makeLogRecord
from unittest.mock import patch

from crm_export.telemetry import logger

_PLAIN = {*vars(makeLogRecord({})), "message", "asctime", "taskName"}


class KeptLog(Handler):
    """Keeps log lines with all their keys, so that they can be searched for secrets."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(Formatter())

    def emit(self, record: LogRecord) -> None:
        """See Handler."""
        extra = {name: value for name, value in vars(record).items() if name not in _PLAIN}
        self.lines.append(f"{self.format(record)} {extra}")


@contextmanager
def captured_output() -> Iterator[KeptLog]:
    """Keep the log lines of the functions, and disable Powertools' metrics."""
    log, inner = KeptLog(), logger._logger
    handlers, level, propagate = list(inner.handlers), logger.log_level, inner.propagate
    inner.handlers[:], inner.propagate = [log], False
    logger.setLevel("INFO")
    try:
        with patch.dict(os.environ, {"POWERTOOLS_METRICS_DISABLED": "true"}):
            yield log
    finally:
        logger.setLevel(level)
        inner.handlers[:], inner.propagate = handlers, propagate
