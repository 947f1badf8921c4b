"""Processes, as `ps` lists them."""

import subprocess
import time
from collections.abc import Collection


def parents() -> dict[int, int]:
    """Return the parent of every running process; zombies do not run."""
    command = ["ps", "-eo", "pid=,ppid=,stat="]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in listing.splitlines())
    return {int(pid): int(parent) for pid, parent, state in rows if not state.startswith("Z")}


def still_running(pids: Collection[int], seconds: float = 5) -> set[int]:
    """Return those of `pids` that still run after up to `seconds`."""
    deadline = time.monotonic() + seconds
    while (running := parents().keys() & set(pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return running
