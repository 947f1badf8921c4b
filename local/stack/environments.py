"""Execution environments: a function's process under `awslambdaric`, and the pool they are reused from."""

import re
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty
from threading import Condition, Thread

from local.stack.aws import LocalAws
from local.stack.errors import LocalStackError
from local.stack.functions import Function, lambda_variables
from local.stack.invocation import Invocation, Outcome, Report, error_payload
from local.stack.processes import Child, clean_environment
from local.stack.runtime_api import Answered, Exited, InitFailed, Ready, RuntimeApi, Signal

_INIT_SECONDS = 10
_SIGNALS = {9: "killed", 15: "terminated", 11: "segmentation fault", 6: "aborted"}


class Environment:
    """One process of one function. It takes one invocation at a time."""

    def __init__(self, function: Function, aws: LocalAws, log: Path) -> None:
        """Prepare; the process starts with the first invocation."""
        self.function = function
        self._aws, self._log = aws, log
        self._api = RuntimeApi(function)
        self._child: Child | None = None
        self.alive = True

    def invoke(self, invocation: Invocation) -> Outcome:
        """Run one invocation to its end, be that an answer, an error, a crash or a timeout."""
        init_ms = None
        if self._child is None:
            started = time.perf_counter()
            self._start()
            signal = self._wait(_INIT_SECONDS, Ready, InitFailed, Exited)
            init_ms = (time.perf_counter() - started) * 1000
            if not isinstance(signal, Ready):
                return self._lost(invocation, signal, 0.0, init_ms)
        self._write(f"START RequestId: {invocation.request_id} Version: $LATEST")
        started = time.perf_counter()
        self._api.hand_over(invocation)
        signal = self._wait(self.function.timeout, Answered, Exited)
        duration_ms = (time.perf_counter() - started) * 1000
        if not isinstance(signal, Answered):
            return self._lost(invocation, signal, duration_ms, init_ms)
        return self._end(invocation, signal.payload, duration_ms, init_ms, "error" if signal.failed else "")

    def running(self) -> bool:
        """Tell whether the process is there; one that ended between two invocations is not."""
        return self.alive and self._child is not None and self._child.process.poll() is None

    def kill(self) -> None:
        """End the process; an invocation under way comes back as a crash."""
        self.alive = False
        if self._child:
            self._child.kill()
        self._api.close()

    def _start(self) -> None:
        stream = f"{datetime.now(UTC):%Y/%m/%d}/[$LATEST]{secrets.token_hex(16)}"
        variables = lambda_variables(self.function, stream, self._api.address, self._aws.region)
        child = Child(
            "awslambdaric",
            [self.function.handler],
            log=self._log,
            environment=clean_environment({"AWS_ENDPOINT_URL": self._aws.url, **variables}),
            folder=self.function.folder,
        )
        self._child = child

        def watch() -> None:
            self._api.signals.put(Exited(child.process.wait()))
            if child.process.stdin:
                child.process.stdin.close()

        Thread(target=watch, daemon=True).start()

    def _wait(self, seconds: float, *kinds: type[Signal]) -> Signal | None:
        """Return the next signal of one of `kinds`; None when none comes in time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                signal = self._api.signals.get(timeout=left)
            except Empty:
                break
            if isinstance(signal, kinds):
                return signal
        return None

    def _lost(
        self, invocation: Invocation, signal: Signal | None, duration_ms: float, init_ms: float | None
    ) -> Outcome:
        """The environment is of no more use: name why as Lambda does, and end it."""
        status = "error"
        if isinstance(signal, InitFailed):
            payload = signal.payload
        elif isinstance(signal, Exited):
            what = _exit_reason(signal.status)
            payload = error_payload("Runtime.ExitError", f"RequestId: {invocation.request_id} Error: {what}")
            self._write(f"RequestId: {invocation.request_id} Error: {what}\nRuntime.ExitError")
        else:
            limit = _INIT_SECONDS if not duration_ms else self.function.timeout
            what = f"Task timed out after {limit:.2f} seconds"
            payload = error_payload("Sandbox.Timedout", f"RequestId: {invocation.request_id} Error: {what}")
            self._write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ} {invocation.request_id} {what}")
            status = "timeout"
        outcome = self._end(invocation, payload, duration_ms, init_ms, status)
        self.kill()
        return outcome

    def _end(
        self, invocation: Invocation, payload: bytes, duration_ms: float, init_ms: float | None, status: str
    ) -> Outcome:
        report = Report(
            function=self.function.logical_id,
            request_id=invocation.request_id,
            duration_ms=duration_ms,
            memory_mb=self.function.memory_mb,
            max_memory_mb=peak_memory_mb(self._child.pid) if self._child else None,
            init_ms=init_ms,
            status=status,
        )
        self._write(f"END RequestId: {invocation.request_id}\n{report.line()}")
        return Outcome(payload, report, failed=bool(status))

    def _write(self, line: str) -> None:
        with self._log.open("a") as log:
            log.write(line + "\n")


def _exit_reason(status: int) -> str:
    if status < 0:
        return f"Runtime exited with error: signal: {_SIGNALS.get(-status, -status)}"
    if status:
        return f"Runtime exited with error: exit status {status}"
    return "Runtime exited without providing a reason"


def peak_memory_mb(pid: int) -> int | None:
    """Return the most memory the process has held so far; None where there is no /proc to tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    match = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return round(int(match[1]) / 1024) if match else None


class Pool:
    """The environments of one function: reused when idle, added up to a limit when calls overlap."""

    def __init__(self, function: Function, limit: int, make: Callable[[Function], Environment]) -> None:
        """Prepare a pool of at most `limit` environments."""
        self.function = function
        self._limit, self._make = limit, make
        self._changed = Condition()
        self._all: list[Environment] = []
        self._idle: list[Environment] = []
        self._closed = False

    def invoke(self, event: bytes) -> Outcome:
        """Run an invocation in an idle or new environment, waiting for one where the limit is reached."""
        environment = self._take()
        try:
            return environment.invoke(Invocation(event))
        finally:
            self._give_back(environment)

    def replace(self, function: Function) -> None:
        """Run this from now on. What is under way ends in its old environment, which is not used again."""
        with self._changed:
            self.function = function
            idle, self._idle = self._idle, []
            self._all = [environment for environment in self._all if environment not in idle]
            self._changed.notify_all()
        for environment in idle:
            environment.kill()

    def close(self) -> None:
        """End all environments, with what they are at, and start no more."""
        with self._changed:
            self._closed = True
            environments, self._all = self._all, []
            self._changed.notify_all()
        for environment in environments:
            environment.kill()

    def _take(self) -> Environment:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._idle or len(self._all) < self._limit)
            if self._closed:
                raise LocalStackError("the stack is being stopped")
            while self._idle:
                environment = self._idle.pop()
                if environment.running():
                    return environment
                self._all.remove(environment)
                environment.kill()
            environment = self._make(self.function)
            self._all.append(environment)
            return environment

    def _give_back(self, environment: Environment) -> None:
        with self._changed:
            if environment.function is not self.function:
                environment.kill()
            if environment.alive:
                self._idle.append(environment)
            elif environment in self._all:
                self._all.remove(environment)
            self._changed.notify()
