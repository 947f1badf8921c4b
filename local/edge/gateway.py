"""API Gateway's HTTP API: routes, the JWT authorizer, and its own error responses."""

import json
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as StillRunning
from typing import Any

from werkzeug.exceptions import (
    BadGateway,
    HTTPException,
    InternalServerError,
    NotFound,
    ServiceUnavailable,
    Unauthorized,
)
from werkzeug.wrappers import Request, Response

from local.edge.events import InvalidResponseError, build_event, build_response, raw_path
from local.edge.routes import Route, find_route
from local.host.http import Server
from local.host.processes import LocalStackError
from local.runtime.lambdas import Lambdas
from local.runtime.runtime_api import TOO_LARGE, Invocation

INTEGRATION_SECONDS = 30.0
MAX_BODY_BYTES = 10 * 1024 * 1024

type Observe = Callable[[int, float], None]


class Gateway:
    """The HTTP API. Its socket is bound before its routes are known, because its port gets deployed."""

    def __init__(self, listener: socket.socket, integration_seconds: float = INTEGRATION_SECONDS) -> None:
        """Keep `listener`. No request is served before `serve`."""
        self._observe: Observe = lambda _status, _milliseconds: None
        self.url = "http://{}:{}".format(*listener.getsockname()[:2])
        self._listener = listener
        self._integration_seconds = integration_seconds
        self._server: Server | None = None

    def serve(self, routes: Sequence[Route], lambdas: Lambdas, observe: Observe | None = None) -> None:
        """Start serving requests; `observe` is called with the status and the milliseconds of each."""
        self._routes, self._lambdas = routes, lambdas
        self._observe = observe or self._observe
        self._server = Server(self._handle, self._listener)

    def close(self) -> None:
        """Stop serving and free the port."""
        if self._server:
            self._server.close()
        self._listener.close()

    def _handle(self, request: Request) -> Response:
        ids, started = Invocation(b""), time.perf_counter()
        try:
            response = self._respond(request, ids)
        except HTTPException as error:
            # API Gateway's own responses: the name of the status, without a reason.
            name = InternalServerError().name if error.code == BadGateway.code else error.name
            message = json.dumps({"message": name})
            response = Response(message, error.code, content_type="application/json")
            if isinstance(error, Unauthorized):
                response.headers["www-authenticate"] = "Bearer"
        response.headers["apigw-requestid"] = ids.request_id
        self._observe(response.status_code, (time.perf_counter() - started) * 1000)
        return response

    def _respond(self, request: Request, ids: Invocation) -> Response:
        request.max_content_length = MAX_BODY_BYTES
        match = find_route(self._routes, request.method, raw_path(request))
        if match is None:
            raise NotFound
        authorizer: dict[str, Any] | None = None
        if match.route.authorizer:
            headers = {name.lower(): value for name, value in request.headers.items()}
            authorizer = match.route.authorizer.authorize(headers, match.route.scopes)
        event = build_event(request, match, authorizer, ids.request_id, ids.trace_id)
        try:
            running = self._lambdas.start(match.route.function, json.dumps(event).encode())
            outcome = running.result(timeout=self._integration_seconds)
            if not outcome.failed:
                return build_response(outcome.payload)
            if json.loads(outcome.payload).get("errorType") == TOO_LARGE:
                raise BadGateway
        except StillRunning as error:
            raise ServiceUnavailable from error
        except (InvalidResponseError, LocalStackError):
            pass
        raise InternalServerError
