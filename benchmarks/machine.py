"""What the figures depend on: the machine, the interpreter, the commit and the time."""

import os
import platform
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

_CPU_INFO, _MEMORY = Path("/proc/cpuinfo"), Path("/proc/meminfo")
_ROOT = Path(__file__).resolve().parents[1]


def facts(now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> dict[str, str]:
    """Return the facts by name, in the order in which they are shown."""
    return {
        "Date": f"{now():%Y-%m-%d %H:%M} UTC",
        "Commit": commit(),
        "CPU": f"{cpu_model()}, {os.cpu_count()} cores, {platform.machine()}",
        "Memory": memory(),
        "System": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def cpu_model(info: Path = _CPU_INFO) -> str:
    """Return the name of the processor, as far as the system says it."""
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return found[1] if found else platform.processor() or "unknown processor"


def memory(info: Path = _MEMORY) -> str:
    """Return the size of the memory."""
    found = re.search(r"^MemTotal:\s*(\d+) kB$", info.read_text(), re.MULTILINE) if info.exists() else None
    return f"{int(found[1]) / 1024**2:.0f} GiB" if found else "unknown"


def load() -> str:
    """Return the load averages of the last 1, 5 and 15 minutes, where the system counts them."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"


def commit(folder: Path = _ROOT) -> str:
    """Return the short hash of the checked-out commit, and whether files differ from it."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S607

    # The report itself is written by this command.
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/benchmarks*")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if changed else "")
