"""Small HTTP servers: the gateway and moto, which `up --host` binds elsewhere, and others on loopback."""

import io
import socket
import traceback
from collections.abc import Callable
from threading import Thread
from typing import TYPE_CHECKING, Any

import requests
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

HOST = "127.0.0.1"
# A client for the loopback interface: without the proxies and credentials of the environment.
CLIENT = requests.Session()
CLIENT.trust_env = False


class OneSend(WSGIRequestHandler):
    """A request handler that sends each response in one piece, keeps connections open, and logs no requests.

    Werkzeug's own writes head and body separately: the body can then wait some 40 ms for the client's delayed
    acknowledgement of the head. And it closes each connection.
    """

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 18
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """Serve the request; 500 if the application fails."""
        environ = self.make_environ()
        if (body := _body(environ)) is None:
            self.send_error(400)
            return
        environ |= {"wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True}
        try:
            content, status, headers = run_wsgi_app(self.server.app, environ, buffered=True)
        except Exception as error:  # as any server does: the next request is another one's
            self.server.log("error", "".join(traceback.format_exception(error)))
            content, status, headers = [], "500 Internal Server Error", Headers()
        self._send(status, headers, b"".join(content))

    def handle_expect_100(self) -> bool:
        """Answer `Expect: 100-continue` at once, ahead of the buffered response."""
        go_on = super().handle_expect_100()
        self.wfile.flush()
        return go_on

    def _send(self, status: str, headers: Headers, content: bytes) -> None:
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        has_content = self.command != "HEAD" and code not in ("204", "304")
        if has_content and "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if has_content:
            self.wfile.write(content)
        self.wfile.flush()

    def log(self, _type: str, _message: str, *_args: Any) -> None:
        """Write nothing: the functions' own logs are enough."""


def _body(environ: "WSGIEnvironment") -> bytes | None:
    """Read all of a request's body: what an application leaves unread would be taken for the next request.

    Return None if it ends early, or has no proper length.
    """
    source = environ["wsgi.input"]
    try:
        if environ.get("wsgi.input_terminated"):  # chunked
            return bytes(source.read())
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body: bytes = source.read(length) if length > 0 else b""
    except (OSError, ValueError):
        return None
    return body if len(body) == length else None


def bind(port: int = 0, host: str = HOST) -> socket.socket:
    """Return a listening socket on `port` (0: any free one). Raises OSError if `host:port` cannot be used."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


class Server:
    """A threaded WSGI server that runs in a background thread until it is closed."""

    def __init__(self, handler: Callable[[Request], Response], listener: socket.socket | None = None) -> None:
        """Serve every request with `handler`, on `listener` or on any free port."""

        def app(environ: dict[str, Any], start_response: Any) -> Any:
            try:
                response = handler(Request(environ))
            except HTTPException as error:
                return error(environ, start_response)
            return response(environ, start_response)

        listener = listener or bind()
        host, self.port = listener.getsockname()
        self.url = f"http://{host}:{self.port}"
        self._server: BaseWSGIServer = make_server(
            host, self.port, app, threaded=True, request_handler=OneSend, fd=listener.fileno()
        )
        listener.close()  # the server works on a duplicate
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def close(self) -> None:
        """Stop accepting connections. Those that are open are left to their daemon threads."""
        self._server.shutdown()
        self._server.server_close()
