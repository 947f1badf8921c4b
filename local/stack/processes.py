"""Processes of the stack: started in a process group of their own, ended without leftovers."""

import contextlib
import os
import re
import signal
import subprocess  # nosec B404 # the local stack is processes
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.stack.errors import StartError

REPOSITORY = Path(__file__).resolve().parents[2]
_CHILD = Path(__file__).with_name("child.py")
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "SYSTEMROOT", "LD_LIBRARY_PATH")
_URL = re.compile(r"http://127\.0\.0\.1:\d+")

TEST_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_SESSION_TOKEN": "test",
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with test credentials and `extra`, and next to nothing of the caller's own."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**passed_on, **TEST_CREDENTIALS, **extra}


def isolate_from_aws() -> None:
    """Make this process unable to find real AWS credentials, profiles or endpoints."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(TEST_CREDENTIALS)


class Child:
    """One child process, with its output appended to a log file."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path = REPOSITORY,
    ) -> None:
        """Start `python -m module arguments` in `folder`; without `environment`, one that imports `local`."""
        self.log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        if environment is None:
            environment = clean_environment({"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"})
        with log.open("ab") as output:
            self.process = subprocess.Popen(  # nosec B603 # our own modules, no shell
                [sys.executable, "-P", str(_CHILD), module, *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=dict(environment),
                start_new_session=True,
            )
        self.pid = self.process.pid

    def wait_for_url(self, seconds: float = 30) -> str:
        """Return the first loopback URL the process prints; StartError when it ends or takes longer."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            output = self.log.read_bytes()[self._log_start :].decode(errors="replace")
            if match := _URL.search(output):
                return match[0]
            if ended:
                raise StartError(f"{self.log.stem} ended at once; the last of {self.log}:\n{output[-2000:]}")
            time.sleep(0.02)
        raise StartError(f"{self.log.stem} did not start within {seconds:.0f} s; see {self.log}")

    def kill(self) -> None:
        """End the process and everything it started, now."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def stop(self, grace: float = 2) -> None:
        """Ask the process to end, insist after `grace` seconds, and collect it."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()
            self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()
