"""A proxy between functions and AWS that breaks the requests its rules match."""

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

# hold: delay the request until it is released. refuse: respond HTTP 500 without forwarding it. cut: close the
# connection without forwarding it. lose: forward it, and close the connection after the first bytes of the
# response.
Action = Literal["hold", "refuse", "cut", "lose"]
UPLOAD_PART = r"PUT .*[?&]partNumber="
_HOPS = {"host", "connection", "expect", "transfer-encoding", "content-length"}


@dataclass
class Rule:
    """Acts on `times` requests (0: all) whose "METHOD /path?query target" matches; then `met` is set."""

    pattern: str
    action: Action
    times: int = 1
    used: int = 0
    met: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


class AwsProxy:
    """Listens on its own loopback port until it is closed."""

    def __init__(self, aws_url: str) -> None:
        """Start forwarding requests to `aws_url`."""
        self.target = urlsplit(aws_url).netloc
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Release all requests, and stop."""
        self.forget()
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def rule(self, pattern: str, action: Action, times: int = 1) -> Iterator[Rule]:
        """Break matching requests until the end of the context, at most `times` times."""
        rule = Rule(pattern, action, times)
        with self._lock:
            self._rules.append(rule)
        try:
            yield rule
        finally:
            self.forget(rule)

    def forget(self, *rules: Rule) -> None:
        """Remove these rules, or all, and release the requests they hold."""
        with self._lock:
            removed = list(rules or self._rules)
            self._rules = [rule for rule in self._rules if rule not in removed]
        for rule in removed:
            rule.released.set()

    def take_rule(self, request: str) -> Rule | None:
        """Return the first rule that acts on this request, and count its use."""
        with self._lock:
            for rule in self._rules:
                if (not rule.times or rule.used < rule.times) and re.search(rule.pattern, request):
                    rule.used += 1
                    rule.met.set()
                    return rule
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], proxy: AwsProxy) -> None:
        super().__init__(address, _Handler)
        self.proxy = proxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Write no traceback for a client that was killed."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 18
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        rule = self.server.proxy.take_rule(
            f"{self.command} {self.path} {self.headers.get('X-Amz-Target', '')}"
        )
        action = rule.action if rule else None
        if rule and action == "hold":
            rule.released.wait(120)
        if action == "refuse":
            self._respond(500, [], b"")
        elif action == "cut":
            self._hang_up()
        else:
            status, headers, content = self._forward(body)
            if action == "lose":
                self.wfile.write(b"HTTP/1.1 200")
                self.wfile.flush()
                self._hang_up()
            else:
                self._respond(status, headers, content)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOPS}
        with closing(HTTPConnection(self.server.proxy.target, timeout=120)) as connection:
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()

    def _respond(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _HOPS:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
