"""For the whole suite: the checks at its end, and no secret of one test is blanked in another's text."""

from collections.abc import Iterator

import pytest

from crm_export import redaction
from tests.support.look_back import LookBack, search_log_files

__all__ = ["search_log_files"]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(LookBack(config), "look_back")


@pytest.fixture(autouse=True)
def forget_secrets() -> Iterator[None]:
    yield
    redaction._known.clear()
