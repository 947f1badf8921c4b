"""For the whole suite: the checks at its end; no test sees the secrets, metrics and log keys of another."""

from collections.abc import Iterator

import pytest

from crm_export import redaction
from crm_export.telemetry import metrics, noting
from tests.support.look_back import LookBack, search_log_files

__all__ = ["search_log_files"]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(LookBack(config), "look_back")


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    metrics().metric_set.clear()
    with noting():
        yield
    redaction._known.clear()
