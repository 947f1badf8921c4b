"""For all unit tests: one that starts a process carries the mark `process`, which `make unit` leaves out."""

import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any, NoReturn

import pytest


def _refuse(*_: Any, **__: Any) -> NoReturn:
    pytest.fail(
        "This test starts a process: mark it with @pytest.mark.process, so that `make unit` stays fast."
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    # pytest calls this hook for the tests of all folders.
    if item.get_closest_marker("process") or Path(__file__).parent not in item.path.parents:
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "_execute_child", _refuse)
        return (yield)
