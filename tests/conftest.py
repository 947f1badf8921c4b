"""For the whole suite: every log line is kept, and read for secrets by the last test (test_logs.py)."""

import logging

import pytest

_PLAIN = set(vars(logging.makeLogRecord({})))


class KeepAll(logging.Handler):
    """Keeps each record as it would be written: its message, its extra keys, its exception."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        extra = {name: value for name, value in vars(record).items() if name not in _PLAIN}
        self.lines.append(f"{record.name}: {self.format(record)} {extra}")


KEPT = pytest.StashKey[KeepAll]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[KEPT] = KeepAll()
    logging.getLogger().addHandler(config.stash[KEPT])


def pytest_unconfigure(config: pytest.Config) -> None:
    logging.getLogger().removeHandler(config.stash[KEPT])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The test of the logs comes last: it reads what all others made."""
    items.sort(key=lambda item: item.path.name == "test_logs.py")


@pytest.fixture
def kept_lines(pytestconfig: pytest.Config) -> list[str]:
    """All log lines of the run so far, of this process."""
    return pytestconfig.stash[KEPT].lines
