"""For the whole suite: the checks at its end."""

import pytest

from tests.support.look_back import LookBack, search_log_files

__all__ = ["search_log_files"]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(LookBack(config), "look_back")
