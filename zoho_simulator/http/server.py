"""The HTTP server around an organisation, in background threads, on the real clock: start_simulator.

Also the real versions of what an organisation needs from outside: delayed actions and callbacks.
"""

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from zoho_simulator.config import Environment, SimulatorConfig
from zoho_simulator.errors import ZohoError
from zoho_simulator.http.control import respond
from zoho_simulator.http.journal import Journal
from zoho_simulator.http.organisation import Organisation
from zoho_simulator.wire import Request, Response, json_response

__all__ = ["Simulator", "SimulatorConfig", "start_simulator"]

_NO_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


@dataclass(frozen=True)
class Simulator:
    """A running simulator."""

    url: str
    organisation: Organisation

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


@contextmanager
def start_simulator(
    config: SimulatorConfig, host: str = "127.0.0.1", port: int = 0, clock: Callable[[], float] = time.time
) -> Iterator[Simulator]:
    """Serve from background threads until the context ends; port 0 takes any free port."""
    timers = _Timers()
    with _Server((host, port), _Handler) as server:
        url = f"http://{host}:{server.server_address[1]}"
        environment = Environment(
            timers.after, lambda url, headers, body: _post(url, headers, body, config.callback_timeout), clock
        )
        server.organisation = Organisation(config, environment, url=url)
        thread = threading.Thread(
            target=server.serve_forever, args=(0.02,), name="zoho-simulator", daemon=True
        )
        thread.start()
        try:
            yield Simulator(url, server.organisation)
        finally:
            timers.cancel()
            server.shutdown()
            thread.join()


class _Timers:
    """Runs actions after real seconds, each in a thread of its own, until they are cancelled."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[threading.Timer] = []

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        timer = threading.Timer(max(0.0, seconds), action)
        timer.daemon = True
        with self._lock:
            timer.start()
            self._pending = [*(pending for pending in self._pending if pending.is_alive()), timer]

    def cancel(self) -> None:
        with self._lock:
            for timer in self._pending:
                timer.cancel()


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

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a client that disconnects needs no traceback."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "ZGS"
    sys_version = ""
    disable_nagle_algorithm = True  # otherwise a small response may wait 40 ms for an ACK
    server: _Server

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request.of(self.command, self.path, dict(self.headers.items()), body)
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
        lines = [f"HTTP/1.1 {status:d} {reason}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        if status not in _NO_BODY:
            lines.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the journal has the requests."""
