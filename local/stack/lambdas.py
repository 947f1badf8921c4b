"""All functions of the stack: invoked by name, their logs and reports in one place."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from threading import Thread

from local.stack.aws import LocalAws
from local.stack.environments import Environment, Pool
from local.stack.errors import LocalStackError
from local.stack.functions import Function
from local.stack.invocation import Outcome, Report

_REPORTS_KEPT = 10_000


class Lambdas:
    """The Lambda service: pools of environments, found by logical id, name or ARN."""

    def __init__(
        self, functions: Iterable[Function], limits: Mapping[str, int], aws: LocalAws, logs: Path
    ) -> None:
        """Prepare pools; `limits` is by logical id, 1 where there is none."""
        self.reports: deque[Report] = deque(maxlen=_REPORTS_KEPT)
        self._pools: dict[str, Pool] = {}
        self._logs = logs
        for function in functions:
            pool = Pool(function, limits.get(function.logical_id, 1), self._maker(function.logical_id, aws))
            self._pools |= dict.fromkeys((function.logical_id, function.name, function.arn), pool)

    def _maker(self, logical_id: str, aws: LocalAws) -> Callable[[Function], Environment]:
        log = self.log_file(logical_id)
        return lambda function: Environment(function, aws, log)

    def log_file(self, logical_id: str) -> Path:
        """Return the file all environments of a function write to."""
        return self._logs / f"{logical_id}.log"

    def function(self, name: str) -> Function:
        """Return the function of that logical id, name or ARN; LocalStackError when there is none."""
        return self._pool(name).function

    def configure(self, name: str, timeout: float | None, environment: Mapping[str, str] | None) -> Function:
        """Run a function with another timeout or other variables from now on; returns what it is then."""
        pool = self._pool(name)
        function = replace(
            pool.function,
            timeout=pool.function.timeout if timeout is None else timeout,
            environment=pool.function.environment if environment is None else dict(environment),
        )
        if function != pool.function:
            pool.replace(function)
        return function

    def invoke(self, name: str, event: bytes) -> Outcome:
        """Invoke a function and wait for its end."""
        outcome = self._pool(name).invoke(event)
        self.reports.append(outcome.report)
        return outcome

    def start(self, name: str, event: bytes) -> "Future[Outcome]":
        """Invoke a function without waiting."""
        future: Future[Outcome] = Future()

        def run() -> None:
            try:
                future.set_result(self.invoke(name, event))
            except Exception as error:  # noqa: BLE001 - it is raised where the result is asked for
                future.set_exception(error)

        Thread(target=run, name=f"invoke-{name}", daemon=True).start()
        return future

    def close(self) -> None:
        """End all environments."""
        for pool in set(self._pools.values()):
            pool.close()

    def _pool(self, name: str) -> Pool:
        if name not in self._pools:
            known = sorted({pool.function.logical_id for pool in self._pools.values()})
            raise LocalStackError(f"there is no function {name}; there are {', '.join(known)}")
        return self._pools[name]
