"""Every call that a function makes: it takes time, may kill the function, and boto3 may repeat it."""

from collections.abc import Callable
from random import Random
from typing import Any, NoReturn

from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from simulation.faults import Faults
from simulation.scheduler import LambdaKilled, Scheduler, Task, current

_URL = "https://aws.example"
_MOST_CALLS = 1000  # of one invocation: ten times what any needs
_STALLS = (3.0, 20.0, 70.0, 100.0, 400.0)
# After that many seconds the client gives up, and its next try succeeds.
_LONGEST_STALLS = {
    "dynamodb": 8.0, "sqs": 8.0, "secretsmanager": 8.0, "events": 8.0, "s3": 180.0, "zoho": 9.0,
}  # fmt: skip


class Calls:
    """Makes the calls of all functions. runaway: called with a description of a busy loop."""

    def __init__(self, rng: Random, scheduler: Scheduler, faults: Faults) -> None:
        self._rng = rng
        self._scheduler = scheduler
        self.faults = faults
        self.trace: Callable[[str], None] = lambda line: None
        self.verbose = False
        self.most = _MOST_CALLS
        self.runaway: Callable[[str], None] = lambda what: None

    def sleep(self, seconds: float) -> None:
        """Sleep as `time.sleep` does, on the virtual clock."""
        task = current.get()
        assert task is not None
        self._pass(task, seconds)

    def make[T](self, what: str, effect: Callable[[], T], *, seconds: float) -> T:
        """Make one call, whose `effect` happens at one moment or never, and return its result."""
        task = current.get()
        assert task is not None
        if task.dead:
            raise LambdaKilled
        task.calls += 1
        if task.calls == self.most:
            self.runaway(f"busy loop: {task.calls} calls in {task.name}")
        self._pass(task, self._time(what, seconds))
        if task.kill_at == (task.calls, False):
            self._kill(task, "function killed before a call", what)
        try:
            result = effect()
        except Exception as error:
            self.trace(f"{task.name} {what} -> {type(error).__name__}: {error}")
            raise
        self.trace(f"{task.name} {what}{f' -> {_brief(result)}' if self.verbose else ''}")
        if task.kill_at == (task.calls, True):
            self._kill(task, "function killed after a call", what)
        self._pass(task, self._time(what, seconds / 3))
        return result

    def aws[T](
        self, what: str, effect: Callable[[bool], T], *, seconds: float, refused: str, twice: str = "",
        lost: str = "",
    ) -> T:  # fmt: skip
        """Make one call as boto3 does, which retries. `effect(again)`: True if it may have happened before.

        refused, twice, lost: the kinds of faults that apply; by default `refused` stands for all three.
        """
        if what.startswith("s3") and self.faults.happens("S3 denies access"):
            self.make(what, lambda: _deny(what), seconds=seconds)
        if self.faults.happens(refused):
            self.make(what, lambda: _refuse(what), seconds=seconds * 20)
        if self.faults.happens(twice or refused):
            self._ignoring(what, lambda: effect(False), seconds)
            return self.make(f"{what} again", lambda: effect(True), seconds=seconds)
        if self.faults.happens(lost or refused):
            self._ignoring(what, lambda: effect(False), seconds)
            self.make(f"{what} again", lambda: _no_response(what), seconds=6.0)
        return self.make(what, lambda: effect(False), seconds=seconds)

    def _time(self, what: str, seconds: float) -> float:
        """Return how long a call takes. Other threads run while it stalls, but not in a frozen function."""
        takes = seconds * self._rng.uniform(0.5, 2.0)
        if self.faults.happens("function stalled"):
            takes += min(self._rng.choice(_STALLS), _LONGEST_STALLS[what.partition(" ")[0]])
        if self.faults.happens("function frozen") and (task := current.get()):
            takes += self._rng.choice(_STALLS)
            task.frozen_until = self._scheduler.now + takes
        return takes

    def _ignoring(self, what: str, effect: Callable[[], Any], seconds: float) -> None:
        try:
            self.make(f"{what} (response lost)", effect, seconds=seconds)
        except ClientError:
            return  # the refusal is lost, too

    def _pass(self, task: Task, seconds: float) -> None:
        if task.dead:
            raise LambdaKilled
        left = task.ends_at - self._scheduler.now
        self._scheduler.wait(max(min(seconds, left), 0.0))
        if seconds >= left:
            self._kill(task, "function killed at its time limit", "")

    def _kill(self, task: Task, kind: str, what: str) -> None:
        task.dead = True
        self.faults.note(kind)
        self.trace(f"{task.name} {kind} {what}")
        raise LambdaKilled


def refusal(code: str, operation: str, **more: Any) -> ClientError:
    """Return the ClientError for an AWS service's error code."""
    status = 400 if code not in {"SlowDown", "InternalError", "InternalServerError"} else 503
    response: Any = {
        "Error": {"Code": code, "Message": code},
        "ResponseMetadata": {"HTTPStatusCode": status},
        **more,
    }
    return ClientError(response, operation)


def _refuse(what: str) -> NoReturn:
    if what.startswith("dynamodb"):
        raise refusal("ThrottlingException", what)
    if what.startswith("s3"):
        raise refusal("SlowDown", what)
    raise EndpointConnectionError(endpoint_url=_URL)


def _deny(what: str) -> NoReturn:
    raise refusal("AccessDenied", what)


def _no_response(what: str) -> NoReturn:
    raise ReadTimeoutError(endpoint_url=_URL)


def _brief(result: Any) -> str:
    text = repr(result)
    return text if len(text) <= 300 else f"{text[:300]}…"
