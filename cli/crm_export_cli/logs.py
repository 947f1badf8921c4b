"""Where log lines go: never to stdout, where a command writes its result."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crm_export.telemetry import logger, uncounted

_lines = logging.getLogger(logger.name)  # what Powertools' logger writes to
_LARGEST = 5_000_000  # bytes, after which the log begins again with an empty file


class _LogFile(logging.FileHandler):
    """A log that its owner alone can read. What cannot be written to a full disk is dropped."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Ignore the error: it concerns the log only."""


@contextmanager
def silenced() -> Iterator[None]:
    """Keep logs and metrics of the package off stdout."""
    usual = list(_lines.handlers)
    for handler in usual:
        _lines.removeHandler(handler)
    nowhere = logging.NullHandler()
    _lines.addHandler(nowhere)
    try:
        with uncounted():
            yield
    finally:
        _lines.removeHandler(nowhere)
        for handler in usual:
            _lines.addHandler(handler)


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Append the package's log lines to a file."""
    if path.exists() and path.stat().st_size > _LARGEST:
        path.unlink()
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    handler = _LogFile(path)
    handler.setFormatter(logger.registered_formatter)
    _lines.addHandler(handler)
    try:
        yield
    finally:
        _lines.removeHandler(handler)
        handler.close()


@contextmanager
def shown() -> Iterator[None]:
    """Show the package's log lines on stderr, too. Their formatter redacts secrets."""
    handler = logging.StreamHandler()
    handler.setFormatter(logger.registered_formatter)
    _lines.addHandler(handler)
    try:
        yield
    finally:
        _lines.removeHandler(handler)
