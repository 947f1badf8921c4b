"""The HTTP server around the simulator, in a background thread: start_simulator is the way in."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from zoho_simulator.app import handle
from zoho_simulator.config import SimulatorConfig
from zoho_simulator.journal import Journal
from zoho_simulator.simulation import Simulation
from zoho_simulator.wire import Request, Response

__all__ = ["Simulator", "SimulatorConfig", "start_simulator"]

_NO_BODY = (204, 304)


class Simulator:
    """A running simulator. Use it as a context manager, or call close()."""

    def __init__(self, config: SimulatorConfig, host: str, port: int) -> None:
        self._simulation = Simulation(config)
        self._server = _Server((host, port), self._simulation)
        self.url = self._simulation.url = f"http://{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="zoho-simulator", daemon=True
        )
        self._thread.start()

    @property
    def config(self) -> SimulatorConfig:
        """The settings; changing them takes effect with the next request."""
        return self._simulation.config

    @property
    def journal(self) -> Journal:
        """What was received."""
        return self._simulation.journal

    @property
    def simulation(self) -> Simulation:
        """Everything inside: faults, jobs, tokens."""
        return self._simulation

    def fault(self, **rule: Any) -> None:
        """Add a fault rule, as POST /__sim__/faults does. Raises ValueError if it makes no sense."""
        self._simulation.faults.add(rule)

    def close(self) -> None:
        """Stop serving, end open connections and pending callbacks."""
        self._simulation.close()
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


def start_simulator(config: SimulatorConfig, host: str = "127.0.0.1", port: int = 0) -> Simulator:
    """Start a simulator that serves from a background thread; port 0 takes any free one."""
    return Simulator(config, host, port)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], simulation: Simulation) -> None:
        super().__init__(address, _Handler)
        self.simulation = simulation
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
        """A client that goes away is no event worth a traceback."""

    def end_connections(self) -> None:
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "ZGS"
    sys_version = ""
    disable_nagle_algorithm = True  # otherwise a small answer may wait 40 ms for an ACK
    server: _Server

    def _serve(self) -> None:
        response = handle(self.server.simulation, self._read())
        if response.drop:
            self.close_connection = True
        else:
            self._send(response)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _read(self) -> Request:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, unquote(parts.path), query, headers, self._read_body(headers))

    def _read_body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(headers.get("content-length") or 0))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _send(self, response: Response) -> None:
        body = response.body
        if isinstance(body, bytes):
            if response.cut_after is not None:
                self.close_connection = True
            # One write, so that a small answer is one packet.
            self.wfile.write(self._head(response, len(body)) + body[: response.cut_after])
            return
        self.wfile.write(self._head(response, response.length))
        if response.cut_after is not None:
            body = _first(body, response.cut_after)
            self.close_connection = True
        self._stream(body, chunked=response.length is None, whole=response.cut_after is None)

    def _stream(self, parts: Iterator[bytes], *, chunked: bool, whole: bool) -> None:
        for part in parts:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
        if chunked and whole:
            self.wfile.write(b"0\r\n\r\n")

    def _head(self, response: Response, length: int | None) -> bytes:
        lines = [f"HTTP/1.1 {response.status} {_reason(response.status)}", f"Date: {self.date_time_string()}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        if response.status not in _NO_BODY:
            lines.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the journal knows."""


def _reason(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus else "Status"


def _first(parts: Iterator[bytes], limit: int) -> Iterator[bytes]:
    for part in parts:
        piece = part[:limit]
        if piece:
            yield piece
        limit -= len(piece)
        if not limit:
            return
