"""The functions of the stack: invoked by name, each in a pool of execution environments."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Condition

from local.cloudformation.resources import Function
from local.host.aws import LocalAws
from local.host.processes import LocalStackError
from local.runtime.environments import Environment
from local.runtime.recursion import trace_of
from local.runtime.runtime_api import Invocation, Outcome, Report, new_trace_id

_REPORTS_KEPT = 10_000
_THREADS = 64


class Pool:
    """The environments of one function: reused when idle, added up to a limit when invocations overlap."""

    def __init__(self, function: Function, limit: int, create: Callable[[Function], Environment]) -> None:
        """Prepare a pool of at most `limit` environments."""
        self.function = function
        self._limit, self._create = limit, create
        self._changed = Condition()
        self._all: list[Environment] = []
        self._idle: list[Environment] = []
        self._closed = False

    def invoke(self, event: bytes, trace_id: str = "") -> Outcome:
        """Run an invocation in an idle or new environment; waits for one if the limit is reached."""
        environment = self._take()
        try:
            return environment.invoke(Invocation(event, trace_id=trace_id or new_trace_id()))
        finally:
            self._give_back(environment)

    def busy(self) -> int:
        """Return how many environments run an invocation."""
        with self._changed:
            return len(self._all) - len(self._idle)

    def replace(self, function: Function) -> None:
        """Use `function` for new invocations. Those in progress finish in their old environments."""
        with self._changed:
            self.function = function
            idle, self._idle = self._idle, []
            self._all = [environment for environment in self._all if environment not in idle]
            self._changed.notify_all()
        for environment in idle:
            environment.kill()

    def close(self) -> None:
        """Kill all environments, including busy ones, and refuse new invocations."""
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
            environment = self._create(self.function)
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


class Lambdas:
    """The Lambda service. Functions are found by logical id, name or ARN."""

    def __init__(
        self,
        functions: Iterable[Function],
        limits: Mapping[str, int],
        aws: LocalAws,
        logs: Path,
        observe: Callable[[Report, int], None] = lambda _report, _concurrent: None,
    ) -> None:
        """Prepare a pool for each function; `limits` are their sizes by logical id.

        `observe` is called with the report of each invocation, and the number of those that ran at its start.
        """
        self._observe = observe
        self.reports: deque[Report] = deque(maxlen=_REPORTS_KEPT)
        self._pools: dict[str, Pool] = {}
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="invoke")

        def create(function: Function) -> Environment:
            return Environment(function, aws, logs / f"{function.logical_id}.log")

        for function in functions:
            pool = Pool(function, limits[function.logical_id], create)
            self._pools |= dict.fromkeys((function.logical_id, function.name, function.arn), pool)

    def configure(self, name: str, timeout: float | None, environment: Mapping[str, str] | None) -> Function:
        """Change a function's timeout and variables for new invocations; None keeps the current ones.

        Returns the function as it is then.
        """
        pool = self._pool(name)
        function = replace(
            pool.function,
            timeout=pool.function.timeout if timeout is None else timeout,
            environment=pool.function.environment if environment is None else dict(environment),
        )
        if function != pool.function:
            pool.replace(function)
        return function

    def invoke(self, name: str, event: bytes, headers: Iterable[str] = ()) -> Outcome:
        """Invoke a function and wait for its outcome. `headers`: the trace headers of the event's messages.

        Raises LocalStackError if there is no such function, and RecursiveLoopError.
        """
        pool = self._pool(name)
        trace_id = trace_of(pool.function, headers)
        concurrent = 1 + sum(each.busy() for each in set(self._pools.values()))
        outcome = pool.invoke(event, trace_id)
        self.reports.append(outcome.report)
        self._observe(outcome.report, concurrent)
        return outcome

    def require(self, name: str) -> None:
        """Raise LocalStackError if there is no such function."""
        self._pool(name)

    def start(self, name: str, event: bytes) -> "Future[Outcome]":
        """Invoke a function without waiting."""
        return self._executor.submit(self.invoke, name, event)

    def close(self) -> None:
        """Kill all environments."""
        for pool in set(self._pools.values()):
            pool.close()

    def _pool(self, name: str) -> Pool:
        if name not in self._pools:
            known = sorted({pool.function.logical_id for pool in self._pools.values()})
            raise LocalStackError(f"there is no function {name}; there are {', '.join(known)}")
        return self._pools[name]
