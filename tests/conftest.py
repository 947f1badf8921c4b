"""For the whole suite: what its last tests look back on.

Every log line, read for secrets by test_logs.py; and every AWS call of a function, held against the
template's policies by test_privileges.py.
"""

import logging
from pathlib import Path

import pytest

from tests.support.recorder import Recorder

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
RECORDER = pytest.StashKey[Recorder]()
MISSING = pytest.StashKey[set[str]]()
_LOOK_BACK = ("test_privileges.py", "test_logs.py")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[KEPT] = KeepAll()
    logging.getLogger().addHandler(config.stash[KEPT])
    config.stash[RECORDER] = Recorder()
    config.stash[RECORDER].listen()
    # What of the functional tests has not passed in this run: files at first, then tests.
    config.stash[MISSING] = {path.name for path in (Path(__file__).parent / "functional").glob("test_*.py")}


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[RECORDER].stop()
    logging.getLogger().removeHandler(config.stash[KEPT])


def _is_functional(item: pytest.Item) -> bool:
    return item.path.parent.name == "functional"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The tests that look back come last: they read what all others made."""
    items.sort(key=lambda item: _LOOK_BACK.index(item.path.name) if item.path.name in _LOOK_BACK else -1)
    for item in filter(_is_functional, items):
        if not any("::" in argument for argument in config.args):  # else it is not its whole file
            config.stash[MISSING].discard(item.path.name)
        config.stash[MISSING].add(item.nodeid)


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in filter(_is_functional, items):
        item.config.stash[MISSING].add(item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):  # type: ignore[no-untyped-def]
    report = yield
    if report.when == "call" and report.passed:
        item.config.stash[MISSING].discard(item.nodeid)
    return report


@pytest.fixture
def kept_lines(pytestconfig: pytest.Config) -> list[str]:
    """All log lines of the run so far, of this process."""
    return pytestconfig.stash[KEPT].lines


@pytest.fixture(scope="session")
def recorder(pytestconfig: pytest.Config) -> Recorder:
    """Every AWS call of a function in the run so far, in this process."""
    return pytestconfig.stash[RECORDER]


@pytest.fixture
def functional_tests_missing(pytestconfig: pytest.Config) -> set[str]:
    """The functional tests that were not asked for, or have not passed in this run."""
    return pytestconfig.stash[MISSING]
