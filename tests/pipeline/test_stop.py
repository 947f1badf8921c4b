"""A stack that is stopped or killed while it works leaves no process behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.host.processes import REPOSITORY
from tests.pipeline.conftest import RunningStack, running_stack
from tests.support.processes import still_running


def busy(stack: RunningStack) -> set[int]:
    """Make the stack work on a slow download; return its processes."""
    stack.zoho("PATCH", "config", {"added_seconds": 0, "queued_seconds": 0, "in_progress_seconds": 0})
    stack.zoho("POST", "faults", {"method": "GET", "path": "/result$", "delay": 60})
    export_id = stack.start()
    deadline = time.monotonic() + 20
    while stack.export(export_id)["parts"][0]["state"] != "STORING":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return stack.descendants()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_stopped_stack_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    with running_stack(tmp_path) as stack:
        processes = busy(stack)
        assert len(processes) >= 5, "moto, the simulator, and three functions"
        os.kill(stack.process.pid, number)
        code = stack.process.wait(timeout=10)
    assert still_running(processes) == set()
    if number is not signal.SIGKILL:
        assert code == 0
        assert not (tmp_path / "stack.json").exists()


def test_second_stack_refuses_the_state_file_of_the_first(tmp_path: Path) -> None:
    with running_stack(tmp_path) as stack:
        command = [sys.executable, "-m", "local", "up", "--state-file", str(tmp_path / "stack.json")]
        second = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
        )
        assert second.returncode == 1
        assert f"belongs to a running stack (process {stack.process.pid}" in second.stderr
