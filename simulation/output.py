"""What a run changes in its process: log lines and metrics of the functions are kept instead of printed."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from logging import Formatter, Handler, LogRecord, makeLogRecord

from crm_export.telemetry import logger

_PLAIN = {*vars(makeLogRecord({})), "message", "asctime", "taskName"}


class KeptOutput(Handler):
    """Keeps log lines with all their keys, and what is printed, so that they can be searched for secrets."""

    def __init__(self) -> None:
        super().__init__()
        self.printed = io.StringIO()
        self._lines: list[str] = []
        self.setFormatter(Formatter())

    def emit(self, record: LogRecord) -> None:
        """See Handler."""
        extra = {name: value for name, value in vars(record).items() if name not in _PLAIN}
        self._lines.append(f"{self.format(record)} {extra}")

    @property
    def lines(self) -> list[str]:
        """All lines: of the log, and metrics."""
        return [*self._lines, *self.printed.getvalue().splitlines()]


@contextmanager
def kept_output() -> Iterator[KeptOutput]:
    """Keep the output of the functions that run in this context."""
    kept, inner = KeptOutput(), logger._logger
    handlers, level, propagate = list(inner.handlers), logger.log_level, inner.propagate
    inner.handlers[:], inner.propagate = [kept], False
    logger.setLevel("INFO")
    try:
        with redirect_stdout(kept.printed):
            yield kept
    finally:
        logger.setLevel(level)
        inner.handlers[:], inner.propagate = handlers, propagate
