"""Measures one call, and runs rows in fresh processes: CPU seconds, wall seconds, peak memory."""

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
_SECONDS = 3600


def measured[T](run: Callable[[], T]) -> tuple[T, dict[str, float]]:
    """Return the outcome of a call and its figures: cpu and wall in seconds, peak in MB above idle.

    cpu is user and system time of this process and all of its threads.
    """
    _reset_peak()
    idle, cpu, began = peak_bytes(), _cpu_seconds(), time.perf_counter()
    outcome = run()
    wall, used = time.perf_counter() - began, _cpu_seconds() - cpu
    return outcome, {"cpu": used, "wall": wall, "peak": (peak_bytes() - idle) / 1e6}


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _reset_peak() -> None:
    """Make the kernel forget the peak so far, where it can (Linux)."""
    with suppress(OSError):
        _CLEAR_REFS.write_text(_RESET_PEAK)


def peak_bytes() -> int:
    """Return the largest resident set since the last reset, or else of the process's life."""
    if _STATUS.exists():
        found = re.search(r"^VmHWM:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def run_row(
    module: str, arguments: Mapping[str, Any], env: Mapping[str, str], checkout: Path | None = None
) -> dict[str, Any]:
    """Run a module of this package in a fresh process; JSON is its argument and what it prints.

    checkout: another checkout of this project whose package is used instead of ours.
    """
    paths = [str(checkout / "layers" / "crm_export")] if checkout else []
    environment = {
        "BOTO_DISABLE_CRT": "true",  # awscrt may be here for the SAM CLI; boto3 does not require it
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        **env,
        "PYTHONPATH": os.pathsep.join(paths),
    }
    finished = subprocess.run(
        [sys.executable, "-m", module, json.dumps(arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if finished.returncode:
        raise RuntimeError(f"{module} {json.dumps(arguments)} failed:\n{finished.stderr}")
    outcome: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return outcome
