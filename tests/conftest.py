"""For the whole suite: the checks at its end; no test sees the secrets, metrics and log keys of another."""

import signal
from collections.abc import Iterator

import pytest

from crm_export import redaction
from crm_export.telemetry import metrics, noting
from tests.support.look_back import LookBack, search_log_files

__all__ = ["search_log_files"]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(LookBack(config), "look_back")
    # A shell starts `make test &` with SIGINT ignored, and commands that tests interrupt would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    metrics().metric_set.clear()
    with noting():
        yield
    redaction._known.clear()
