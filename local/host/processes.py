"""Child processes that never outlive the stack, and environments without real AWS credentials.

This file is also the first code that every child runs (`processes.py MODULE [ARGUMENT…]`), in environments
that cannot import `local`: it imports the standard library only.
"""

import contextlib
import os
import re
import runpy
import signal
import subprocess  # nosec B404 # the local stack is processes
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread

REPOSITORY = Path(__file__).resolve().parents[2]
STATE_FILE = Path(".local/stack.json")
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "SYSTEMROOT", "LD_LIBRARY_PATH")
_START_SECONDS = 30
_URL = re.compile(r"http://[\d.]+:\d+")

TEST_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_SESSION_TOKEN": "test",
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


class LocalStackError(Exception):
    """The local stack cannot do what was asked. The command line prints the message without a traceback."""


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return `extra`, test credentials, and the few variables of the caller that a process needs to run."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**passed_on, **TEST_CREDENTIALS, **extra}


def isolate_from_aws() -> None:
    """Make this process unable to find real AWS credentials, profiles or endpoints."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(TEST_CREDENTIALS)


class Child:
    """A child process in its own process group. Its output is appended to a log file."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path = REPOSITORY,
    ) -> None:
        """Start `python -m module arguments` in `folder`. The default environment can import `local`."""
        self.log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        if environment is None:
            environment = clean_environment({"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"})
        with log.open("ab") as output:
            self.process = subprocess.Popen(  # nosec B603 # our own modules, no shell
                [sys.executable, "-P", __file__, module, *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=dict(environment),
                start_new_session=True,
            )
        self.pid = self.process.pid

    def wait_for_url(self) -> str:
        """Return the first URL the process prints.

        Raises LocalStackError if the process ends first or prints none within 30 seconds.
        """
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            exited = self.process.poll() is not None
            output = self.log.read_bytes()[self._log_start :].decode(errors="replace")
            if match := _URL.search(output):
                return match[0]
            if exited:
                raise LocalStackError(f"{self.log.stem} exited. The end of {self.log}:\n{output[-2000:]}")
            time.sleep(0.02)
        raise LocalStackError(f"{self.log.stem} did not start within {_START_SECONDS} s; see {self.log}")

    def kill(self) -> None:
        """Kill the process and everything it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Terminate the process, kill it if it still runs after two seconds, and wait for its end."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.kill()
            self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()


def hide_repository() -> None:
    """Remove from sys.path what an editable install adds: functions must import from their layers only."""
    allowed = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [
        entry
        for entry in sys.path
        if entry in allowed
        or Path(entry).is_relative_to(sys.prefix)
        or not Path(entry).is_relative_to(REPOSITORY)
    ]


def _end_with_parent() -> None:
    """Kill our process group when standard input closes: only the stack holds the other end of that pipe.

    Unlike PR_SET_PDEATHSIG, this works on any Unix and for parents that start children from a thread.
    """
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch() -> None:
        while os.read(pipe, 4096):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    Thread(target=watch, name="end-with-parent", daemon=True).start()


if __name__ == "__main__":
    _end_with_parent()
    hide_repository()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
