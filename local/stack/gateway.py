"""API Gateway's HTTP API: routes, the JWT authorizer, and its own answers when a function has none."""

import json
import socket
from collections.abc import Sequence
from concurrent.futures import TimeoutError as StillRunning
from typing import Any, Protocol

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Request, Response

from local.stack.errors import LocalStackError
from local.stack.http import Server
from local.stack.http_events import BadAnswerError, build_event, build_response, raw_path
from local.stack.invocation import Invocation, Outcome
from local.stack.routes import Route, find_route
from local.stack.tokens import ForbiddenError, UnauthorizedError

INTEGRATION_SECONDS = 30.0
MAX_BODY_BYTES = 10 * 1024 * 1024


class Running(Protocol):
    """An invocation under way."""

    def result(self, timeout: float | None = None) -> Outcome:
        """Wait for its outcome; raises TimeoutError."""
        ...


class Starter(Protocol):
    """What the gateway needs of the Lambda service."""

    def start(self, name: str, event: bytes) -> Running:
        """Invoke a function without waiting."""
        ...


class Gateway:
    """The HTTP API on a socket that was bound before its routes were known."""

    def __init__(self, listener: socket.socket, integration_seconds: float = INTEGRATION_SECONDS) -> None:
        """Keep `listener`: its port is part of what gets deployed. Nothing is answered before `serve`."""
        self.url = "http://{}:{}".format(*listener.getsockname()[:2])
        self._listener = listener
        self._integration_seconds = integration_seconds
        self._server: Server | None = None
        self._routes: Sequence[Route] = ()

    def serve(self, routes: Sequence[Route], lambdas: Starter) -> None:
        """Start answering."""
        self._routes, self._lambdas = routes, lambdas
        self._server = Server(self._handle, self._listener)

    def close(self) -> None:
        """Stop answering and free the port."""
        if self._server:
            self._server.close()
        self._listener.close()

    def _handle(self, request: Request) -> Response:
        invocation = Invocation(b"")  # for its ids
        response = self._answer(request, invocation)
        response.headers["apigw-requestid"] = invocation.request_id
        return response

    def _answer(self, request: Request, ids: Invocation) -> Response:
        request.max_content_length = MAX_BODY_BYTES
        match = find_route(self._routes, request.method, raw_path(request))
        if match is None:
            return _message(404, "Not Found")
        authorizer: dict[str, Any] | None = None
        if match.route.authorizer:
            headers = {name.lower(): value for name, value in request.headers.items()}
            try:
                authorizer = match.route.authorizer.authorize(headers, match.route.scopes)
            except UnauthorizedError:
                return _message(401, "Unauthorized", {"www-authenticate": "Bearer"})
            except ForbiddenError:
                return _message(403, "Forbidden")
        try:
            event = build_event(request, match, authorizer, ids.request_id, ids.trace_id)
        except RequestEntityTooLarge:
            return _message(413, "Request Entity Too Large")
        return self._integrate(match.route.function, event)

    def _integrate(self, function: str, event: dict[str, Any]) -> Response:
        try:
            running = self._lambdas.start(function, json.dumps(event).encode())
            outcome = running.result(timeout=self._integration_seconds)
            if not outcome.failed:
                return build_response(outcome.payload)
        except StillRunning:
            return _message(503, "Service Unavailable")
        except (BadAnswerError, LocalStackError):
            pass
        return _message(500, "Internal Server Error")


def _message(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps({"message": message}), status, headers, content_type="application/json")
