"""Lambda's Runtime API for one execution environment, and what passes through it.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
import math
import secrets
import time
import uuid
from dataclasses import dataclass, field
from http import HTTPStatus
from queue import SimpleQueue
from typing import Literal

from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from local.cloudformation.resources import Function
from local.host.http import Server

MAX_RESPONSE_BYTES = 6 * 1024 * 1024 + 100  # 6,291,556
TOO_LARGE = "Function.ResponseSizeTooLarge"
_PREFIX = "/2018-06-01/runtime"
_ROUTES = Map(
    [
        Rule(f"{_PREFIX}/invocation/next", endpoint="next", methods=["GET"]),
        Rule(f"{_PREFIX}/invocation/<request_id>/response", endpoint="response", methods=["POST"]),
        Rule(f"{_PREFIX}/invocation/<request_id>/error", endpoint="error", methods=["POST"]),
        Rule(f"{_PREFIX}/init/error", endpoint="init_error", methods=["POST"]),
    ]
)


def new_trace_id(root: str = "") -> str:
    """Return a trace header for an invocation, in the trace `root` ("Root=...") or in a new one."""
    # Sampled=0: the X-Ray SDK then sends nothing.
    root = root or f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    return f"{root};Parent={secrets.token_hex(8)};Sampled=0"


@dataclass(frozen=True)
class Invocation:
    """An event for a function, with the ids that Lambda gives it."""

    event: bytes
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    trace_id: str = field(default_factory=new_trace_id)


@dataclass(frozen=True)
class Report:
    """The figures of one invocation. `max_memory_mb` is the peak of the environment so far, as in Lambda."""

    function: str
    request_id: str
    duration_ms: float
    memory_mb: int
    max_memory_mb: int | None = None
    init_ms: float | None = None
    status: str = ""

    def line(self) -> str:
        """Return the REPORT line that Lambda writes to the log."""
        billed_ms = math.ceil(self.duration_ms + (self.init_ms or 0))
        fields = [
            f"REPORT RequestId: {self.request_id}",
            f"Duration: {self.duration_ms:.2f} ms",
            f"Billed Duration: {billed_ms} ms",
            f"Memory Size: {self.memory_mb} MB",
        ]
        if self.max_memory_mb is not None:
            fields.append(f"Max Memory Used: {self.max_memory_mb} MB")
        if self.init_ms is not None:
            fields.append(f"Init Duration: {self.init_ms:.2f} ms")
        if self.status:
            fields.append(f"Status: {self.status}")
        return "\t".join(fields)


@dataclass(frozen=True)
class Outcome:
    """The result of an invocation: the function's JSON or, if `failed`, Lambda's error object."""

    payload: bytes
    report: Report
    failed: bool = False


def error_payload(error_type: str, message: str) -> bytes:
    """Return the error object of an invocation that the runtime did not respond to."""
    return json.dumps({"errorType": error_type, "errorMessage": message}).encode()


@dataclass(frozen=True)
class Signal:
    """What a runtime does next.

    "next": it is ready for an invocation. "response" and "error": its function returned or raised `payload`.
    "too_large": its function returned too much, and `payload` says so. "init_error": the handler cannot be
    loaded. "exit": the process ended with `status`, negative for a signal.
    """

    kind: Literal["next", "response", "too_large", "error", "init_error", "exit"]
    payload: bytes = b""
    status: int = 0


class RuntimeApi:
    """An HTTP server for one runtime. `signals` receives what the runtime reports."""

    def __init__(self, function: Function) -> None:
        self.signals: SimpleQueue[Signal] = SimpleQueue()
        self._function = function
        self._invocations: SimpleQueue[tuple[Invocation, float] | None] = SimpleQueue()
        self._server = Server(self._handle)
        self.address = self._server.url.removeprefix("http://")

    def hand_over(self, invocation: Invocation) -> None:
        """Give the runtime its next invocation; the function's timeout starts now."""
        self._invocations.put((invocation, time.time() + self._function.timeout))

    def close(self) -> None:
        """Release a waiting runtime and stop listening."""
        self._invocations.put(None)
        self._server.close()

    def _handle(self, request: Request) -> Response:
        endpoint, _ = _ROUTES.bind_to_environ(request.environ).match()
        signal = Signal(endpoint, request.get_data())
        if endpoint == "response" and len(signal.payload) > MAX_RESPONSE_BYTES:
            return self._refuse_response()
        self.signals.put(signal)
        if endpoint == "next":
            return self._next()
        return Response('{"status":"OK"}\n', HTTPStatus.ACCEPTED, content_type="application/json")

    def _refuse_response(self) -> Response:
        """Refuse a response over the limit. AWS's runtime then exits, and API Gateway returns 502."""
        message = f"Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
        self.signals.put(Signal("too_large", error_payload(TOO_LARGE, message)))
        body = json.dumps({"errorType": "RequestEntityTooLarge", "errorMessage": message})
        return Response(body, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, content_type="application/json")

    def _next(self) -> Response:
        if (item := self._invocations.get()) is None:
            return Response("the environment is being shut down", HTTPStatus.GONE)
        invocation, deadline = item
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": self._function.arn,
            "Lambda-Runtime-Trace-Id": invocation.trace_id,
        }
        return Response(invocation.event, headers=headers, content_type="application/json")
