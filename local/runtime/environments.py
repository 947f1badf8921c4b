"""An execution environment: one process of one function, under `awslambdaric`."""

import os
import re
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty
from threading import Thread

from local.cloudformation.resources import Function
from local.host.aws import REGION, LocalAws
from local.host.processes import Child, clean_environment
from local.runtime.runtime_api import Invocation, Outcome, Report, RuntimeApi, Signal, error_payload

_INIT_SECONDS = 10
_EXIT_SECONDS = 5
_SIGNALS = {9: "killed", 15: "terminated", 11: "segmentation fault", 6: "aborted"}


def lambda_variables(function: Function, log_stream: str, runtime_api: str, region: str) -> dict[str, str]:
    """Return the function's environment variables and those that Lambda itself sets."""
    return {
        **function.environment,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_LAMBDA_LOG_FORMAT": function.log_format,
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "LAMBDA_TASK_ROOT": str(function.folder),
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "_HANDLER": function.handler,
        "TZ": ":UTC",
        "PYTHONPATH": os.pathsep.join(map(str, [function.folder, *function.layers])),
    }


class Environment:
    """One process of one function. It runs one invocation at a time."""

    def __init__(self, function: Function, aws: LocalAws, log: Path) -> None:
        self.function = function
        self._aws, self._log = aws, log
        self._api = RuntimeApi(function)
        self._child: Child | None = None
        self.alive = True

    def invoke(self, invocation: Invocation) -> Outcome:
        """Run one invocation until the function returns, raises, exits or exceeds its timeout."""
        init_ms, duration_ms, limit = None, 0.0, float(_INIT_SECONDS)
        signal: Signal | None = Signal("next")
        if self._child is None:
            started = time.perf_counter()
            self._child = self._start()
            signal = self._wait(limit, "next", "init_error", "exit")
            init_ms = _milliseconds_since(started)
        if signal and signal.kind == "next":
            self._write(f"START RequestId: {invocation.request_id} Version: $LATEST")
            limit, started = self.function.timeout, time.perf_counter()
            self._api.hand_over(invocation)
            signal = self._wait(limit, "response", "too_large", "error", "exit")
            duration_ms = _milliseconds_since(started)
        if signal and signal.kind == "too_large":
            self._wait(_EXIT_SECONDS, "exit")  # the runtime logs the refusal, and exits
        payload, status = self._result(invocation.request_id, signal, limit)
        report = Report(
            function=self.function.logical_id,
            request_id=invocation.request_id,
            duration_ms=duration_ms,
            memory_mb=self.function.memory_mb,
            max_memory_mb=_peak_memory_mb(self._child.pid),
            init_ms=init_ms,
            status=status,
        )
        self._write(f"END RequestId: {invocation.request_id}\n{report.line()}")
        if signal is None or signal.kind in ("init_error", "too_large", "exit"):
            self.kill()
        return Outcome(payload, report, failed=bool(status))

    def running(self) -> bool:
        """Return whether the process still runs. It may have exited between two invocations."""
        return self.alive and self._child is not None and self._child.process.poll() is None

    def kill(self) -> None:
        """Kill the process. An invocation in progress ends like a crash."""
        self.alive = False
        if self._child:
            self._child.kill()
        self._api.close()

    def _start(self) -> Child:
        stream = f"{datetime.now(UTC):%Y/%m/%d}/[$LATEST]{secrets.token_hex(16)}"
        variables = lambda_variables(self.function, stream, self._api.address, REGION)
        child = Child(
            "awslambdaric",
            [self.function.handler],
            log=self._log,
            environment=clean_environment({"AWS_ENDPOINT_URL": self._aws.url, **variables}),
            folder=self.function.folder,
        )

        def watch() -> None:
            self._api.signals.put(Signal("exit", status=child.process.wait()))
            if child.process.stdin:
                child.process.stdin.close()

        Thread(target=watch, daemon=True).start()
        return child

    def _wait(self, seconds: float, *kinds: str) -> Signal | None:
        """Return the next signal of one of `kinds`, or None if none arrives in time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                signal = self._api.signals.get(timeout=left)
            except Empty:
                break
            if signal.kind in kinds:
                return signal
        return None

    def _result(self, request_id: str, signal: Signal | None, limit: float) -> tuple[bytes, str]:
        """Return the payload and the report's status; failures are described in Lambda's words."""
        if signal is None:
            reason = f"Task timed out after {limit:.2f} seconds"
            self._write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ} {request_id} {reason}")
            return error_payload("Sandbox.Timedout", f"RequestId: {request_id} Error: {reason}"), "timeout"
        if signal.kind == "exit":
            message = f"RequestId: {request_id} Error: {_exit_reason(signal.status)}"
            self._write(f"{message}\nRuntime.ExitError")
            return error_payload("Runtime.ExitError", message), "error"
        return signal.payload, "" if signal.kind == "response" else "error"

    def _write(self, line: str) -> None:
        with self._log.open("a") as log:
            log.write(line + "\n")


def _milliseconds_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def _exit_reason(status: int) -> str:
    if status < 0:
        return f"Runtime exited with error: signal: {_SIGNALS.get(-status, -status)}"
    if status:
        return f"Runtime exited with error: exit status {status}"
    return "Runtime exited without providing a reason"


def _peak_memory_mb(pid: int) -> int | None:
    """Return the most memory the process has held so far, or None on a system without /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    match = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return round(int(match[1]) / 1024) if match else None
