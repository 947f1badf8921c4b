"""The virtual clock and its tasks, of which only one runs at a time, until it waits.

A task runs in a thread of its own, so that the code under test needs no change. The times of the events alone
decide which task continues, so the same seed gives the same run.
"""

import heapq
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from threading import Lock, Thread

EPOCH = datetime(2026, 11, 22, 13, 0, tzinfo=UTC)


class LambdaKilled(BaseException):
    """The invocation has died. `except Exception` does not catch it; later calls have no effect."""


class Stopped(BaseException):
    """The run is over: an invariant does not hold."""


class _Worker:
    """A thread that runs one task after the other."""

    def __init__(self) -> None:
        self.go = Lock()
        self.go.acquire()
        self.work: Callable[[], None] = lambda: None
        Thread(target=self._loop, daemon=True).start()

    def _loop(self) -> None:
        while True:
            self.go.acquire()
            self.work()


_idle: list[_Worker] = []


class Task:
    """One invocation of a function, or a client's request. Its clock may go wrong by `skew` seconds."""

    def __init__(self, name: str, target: tuple[str, int] | None, *, ends_at: float, skew: float) -> None:
        self.name = name
        self.target = target
        self.ends_at = ends_at
        self.skew = skew
        self.calls = 0
        self.kill_at: tuple[int, bool] | None = None  # the call, and whether it takes effect first
        self.dead = False
        self.ended = False
        self.frozen_until = 0.0
        self.worker: _Worker | None = None


current: ContextVar[Task | None] = ContextVar("current", default=None)


class Scheduler:
    """Events in the order of their times; ties in the order they were made."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._main = Lock()
        self._main.acquire()
        self.stopped = False
        self.waiting: set[Task] = set()

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Run the action at that time, or now if it has passed."""
        self._count += 1
        heapq.heappush(self._events, (max(time, self.now), self._count, action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Run the action that many seconds from now."""
        self.at(self.now + seconds, action)

    def run(self, until: float) -> None:
        """Run events until there are none, the time is over, or the run is stopped."""
        while self._events and not self.stopped and self._events[0][0] <= until:
            time, _, action = heapq.heappop(self._events)
            self.now = time
            action()
        for task in sorted(self.waiting, key=lambda task: task.name) if self.stopped else ():
            self._resume(task)

    def start(self, task: Task, body: Callable[[], None]) -> None:
        """Run a task until it first waits. `body` raises nothing but LambdaKilled and Stopped."""
        worker = task.worker = _idle.pop() if _idle else _Worker()

        def work() -> None:
            token = current.set(task)
            try:
                body()
            except (LambdaKilled, Stopped):
                pass
            except BaseException as error:  # a defect of the simulation itself
                self.failure = error
                self.stopped = True
            finally:
                current.reset(token)
                _idle.append(worker)
                self._main.release()

        worker.work = work
        self._resume(task)

    def repeat(self, seconds: float, work: Callable[[], bool]) -> Callable[[], None]:
        """Do what `crm_export.system.repeat` does: in tasks beside the running one, which end with it."""
        parent = current.get()
        assert parent is not None
        stopped = False

        def stop() -> None:
            nonlocal stopped
            stopped = True

        def beat() -> None:
            if stopped or parent.dead or parent.ended:
                return
            if self.now < parent.frozen_until:
                self.at(parent.frozen_until, beat)
                return
            task = Task(f"{parent.name} beside", parent.target, ends_at=parent.ends_at, skew=parent.skew)
            self.start(task, lambda: self.after(seconds, beat) if work() else None)

        self.after(seconds, beat)
        return stop

    failure: BaseException | None = None

    def _resume(self, task: Task) -> None:
        assert task.worker is not None
        task.worker.go.release()
        self._main.acquire()

    def wait(self, seconds: float) -> None:
        """Let virtual time pass in the running task, while others run."""
        task, time = current.get(), self.now + seconds
        assert task is not None
        assert task.worker is not None
        if self.stopped:
            raise Stopped
        if not self._events or self._events[0][0] > time:
            self.now = time  # no other event comes before
            return
        self.waiting.add(task)
        self.at(time, lambda: self._resume(task))
        self._main.release()
        task.worker.go.acquire()
        self.waiting.discard(task)
        if self.stopped:
            raise Stopped

    def monotonic(self) -> float:
        """Return what `time.monotonic` returns."""
        return self.now

    def utc_now(self) -> datetime:
        """Return the time as the running task's clock shows it."""
        task = current.get()
        return EPOCH + timedelta(seconds=self.now + (task.skew if task else 0.0))

    def epoch(self) -> float:
        """Return what `time.time` returns to the running task."""
        return self.utc_now().timestamp()
