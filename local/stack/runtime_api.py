"""Lambda's Runtime API for one execution environment, as `awslambdaric` speaks it.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import time
from dataclasses import dataclass
from queue import SimpleQueue

from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from local.stack.functions import Function
from local.stack.http import Server
from local.stack.invocation import MAX_ANSWER_BYTES, Invocation, error_payload

_PREFIX = "/2018-06-01/runtime"
_ROUTES = Map(
    [
        Rule(f"{_PREFIX}/invocation/next", endpoint="next", methods=["GET"]),
        Rule(f"{_PREFIX}/invocation/<request_id>/response", endpoint="response", methods=["POST"]),
        Rule(f"{_PREFIX}/invocation/<request_id>/error", endpoint="error", methods=["POST"]),
        Rule(f"{_PREFIX}/init/error", endpoint="init_error", methods=["POST"]),
    ]
)


@dataclass(frozen=True)
class Ready:
    """The runtime asked for the next invocation: it is initialised, and idle."""


@dataclass(frozen=True)
class Answered:
    """The function returned (or, with `failed`, raised) for this request."""

    request_id: str
    payload: bytes
    failed: bool = False


@dataclass(frozen=True)
class InitFailed:
    """The runtime could not load the handler."""

    payload: bytes


@dataclass(frozen=True)
class Exited:
    """The runtime's process ended; a negative status is the signal that ended it."""

    status: int


Signal = Ready | Answered | InitFailed | Exited


class RuntimeApi:
    """An HTTP server for the runtime; a queue of what it says, and one of what it is to do, for us."""

    def __init__(self, function: Function) -> None:
        """Start listening on a free loopback port."""
        self.signals: SimpleQueue[Signal] = SimpleQueue()
        self._function = function
        self._invocations: SimpleQueue[tuple[Invocation, float] | None] = SimpleQueue()
        self._server = Server(self._handle)
        self.address = self._server.url.removeprefix("http://")

    def hand_over(self, invocation: Invocation) -> None:
        """Give the runtime its next invocation, with the function's timeout from now."""
        self._invocations.put((invocation, time.time() + self._function.timeout))

    def close(self) -> None:
        """Let go of a runtime that waits, and stop listening."""
        self._invocations.put(None)
        self._server.close()

    def _handle(self, request: Request) -> Response:
        endpoint, values = _ROUTES.bind_to_environ(request.environ).match()
        if endpoint == "next":
            return self._next()
        body = request.get_data()
        if endpoint == "init_error":
            self.signals.put(InitFailed(body))
        elif endpoint == "error":
            self.signals.put(Answered(values["request_id"], body, failed=True))
        else:
            self.signals.put(_answer(values["request_id"], body))
        return _accepted()

    def _next(self) -> Response:
        self.signals.put(Ready())
        if (item := self._invocations.get()) is None:
            return Response("the environment is being shut down", 410)
        invocation, deadline = item
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": self._function.arn,
            "Lambda-Runtime-Trace-Id": invocation.trace_id,
        }
        return Response(invocation.event, headers=headers, content_type="application/json")


def _answer(request_id: str, body: bytes) -> Answered:
    if len(body) <= MAX_ANSWER_BYTES:
        return Answered(request_id, body)
    message = f"Response payload size exceeded maximum allowed payload size ({MAX_ANSWER_BYTES} bytes)."
    return Answered(request_id, error_payload("Function.ResponseSizeTooLarge", message), failed=True)


def _accepted() -> Response:
    return Response('{"status":"OK"}\n', 202, content_type="application/json")
