"""The HTTP server around an organisation, in background threads, on the real clock: start_simulator.

Also the real versions of what an organisation needs from outside: delayed actions and callbacks.
"""

import contextlib
import heapq
import itertools
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from zoho_simulator.config import Environment, SimulatorConfig
from zoho_simulator.errors import ZohoError
from zoho_simulator.http.control import respond
from zoho_simulator.http.journal import Journal
from zoho_simulator.http.organisation import Organisation
from zoho_simulator.wire import Request, Response, json_response

__all__ = ["Simulator", "SimulatorConfig", "start_simulator"]

_NO_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class Simulator:
    """A running simulator. Use it as a context manager, or call close()."""

    def __init__(
        self, config: SimulatorConfig, host: str, port: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._timer = _Timer()
        self._server = _Server((host, port))
        self.url = f"http://{host}:{self._server.server_address[1]}"
        environment = Environment(
            self._timer.after,
            lambda url, headers, body: _post(url, headers, body, config.callback_timeout),
            clock,
        )
        self.organisation = self._server.organisation = Organisation(config, environment, url=self.url)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="zoho-simulator", daemon=True
        )
        self._thread.start()

    @property
    def config(self) -> SimulatorConfig:
        """The settings; a change takes effect with the next request."""
        return self.organisation.config

    @property
    def journal(self) -> Journal:
        """The requests received."""
        return self.organisation.journal

    def fault(self, **rule: Any) -> None:
        """Add a fault rule, as POST /__sim__/faults does. Raises ValueError for a malformed one."""
        self.organisation.faults.add(rule)

    def close(self) -> None:
        """Stop serving, close open connections and drop pending callbacks."""
        self._timer.close()
        self._server.shutdown()
        self._server.end_connections()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start_simulator(
    config: SimulatorConfig, host: str = "127.0.0.1", port: int = 0, clock: Callable[[], float] = time.time
) -> Simulator:
    """Start a simulator that serves from background threads; port 0 takes any free port."""
    return Simulator(config, host, port, clock)


class _Timer:
    """Runs actions after real seconds until it is closed: one thread waits, each action has its own."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="zoho-simulator-timer", daemon=True)
        self._thread.start()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Run `action` once, that many seconds from now."""
        with self._wake:
            heapq.heappush(self._due, (time.monotonic() + max(0.0, seconds), next(self._order), action))
            self._wake.notify()

    def close(self) -> None:
        """Drop the actions that have not begun."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                if self._closed:
                    return
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is None or wait > 0:
                    self._wake.wait(wait)
                    continue
                action = heapq.heappop(self._due)[2]
            threading.Thread(target=action, name="zoho-simulator-callback", daemon=True).start()


def _post(url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> int:
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with closing(kind(parts.hostname or "", parts.port, timeout=timeout)) as connection:
        connection.request("POST", path, body, dict(headers))
        response = connection.getresponse()
        response.read()
        return response.status


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    organisation: Organisation

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, _Handler)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a client that disconnects needs no traceback."""

    def end_connections(self) -> None:
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "ZGS"
    sys_version = ""
    disable_nagle_algorithm = True  # otherwise a small response may wait 40 ms for an ACK
    server: _Server

    def _serve(self) -> None:
        request = Request.of(self.command, self.path, dict(self.headers.items()), self._read_body())
        try:
            response = respond(self.server.organisation, request)
        except Exception:  # the server must survive a mistake in the simulator, and show it
            traceback.print_exc(file=sys.stderr)
            error = ZohoError("INTERNAL_ERROR")
            response = json_response(error.status, error.body())
        time.sleep(response.delay)
        if response.drop:
            self.close_connection = True
        else:
            self._send(response)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _send(self, response: Response) -> None:
        is_cut = response.cut_after is not None
        self.close_connection = self.close_connection or is_cut
        if isinstance(response.body, bytes):
            # One write, so that a small response is one packet.
            self.wfile.write(self._head(response, len(response.body)) + response.content())
            return
        self.wfile.write(self._head(response, response.length))
        is_chunked = response.length is None
        for chunk in response.chunks():
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if is_chunked else chunk)
        if is_chunked and not is_cut:
            self.wfile.write(b"0\r\n\r\n")

    def _head(self, response: Response, length: int | None) -> bytes:
        status = response.status
        reason = HTTPStatus(status).phrase if status in HTTPStatus else "Status"
        lines = [f"HTTP/1.1 {status:d} {reason}", f"Date: {self.date_time_string()}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        if status not in _NO_BODY:
            lines.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the journal has the requests."""
