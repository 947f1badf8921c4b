"""A stack that is stopped, or killed, in the middle of its work leaves nothing running behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.host.processes import REPOSITORY
from tests.pipeline.conftest import RunningStack, running_stack


def alive(pids: set[int]) -> set[int]:
    """Return those of `pids` that still run, after giving them two seconds."""
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        listing = subprocess.run(
            ["ps", "-eo", "pid=,stat="], capture_output=True, text=True, check=True
        ).stdout
        states = dict(line.split() for line in listing.splitlines())
        left = {pid for pid in pids if str(pid) in states and not states[str(pid)].startswith("Z")}
        if not left:
            break
        time.sleep(0.1)
    return left


def busy(stack: RunningStack) -> set[int]:
    """Put the stack to work on a download that takes its time; returns its processes."""
    stack.zoho("PATCH", "config", {"added_seconds": 0, "queued_seconds": 0, "in_progress_seconds": 0})
    stack.zoho("POST", "faults", {"method": "GET", "path": "/result$", "delay": 60})
    export_id = stack.start()
    deadline = time.monotonic() + 20
    while stack.export(export_id)["parts"][0]["state"] != "READY":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return stack.descendants()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left(tmp_path: Path, number: signal.Signals) -> None:
    with running_stack(tmp_path) as stack:
        processes = busy(stack)
        assert len(processes) >= 5, "moto, the simulator, and three functions"
        os.kill(stack.process.pid, number)
        code = stack.process.wait(timeout=10)
    assert alive(processes) == set()
    if number is not signal.SIGKILL:
        assert code == 0
        assert not (tmp_path / "stack.json").exists()


def test_a_second_stack_does_not_take_over_the_state_file(tmp_path: Path) -> None:
    with running_stack(tmp_path) as stack:
        command = [sys.executable, "-m", "local", "up", "--state-file", str(tmp_path / "stack.json")]
        second = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
        )
        assert second.returncode == 1
        assert f"belongs to a running stack (process {stack.process.pid}" in second.stderr
