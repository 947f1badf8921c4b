"""Small HTTP servers: the gateway and moto, which `up --host` binds elsewhere, and others on loopback."""

import socket
from collections.abc import Callable
from threading import Thread
from typing import Any

import requests
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

HOST = "127.0.0.1"
# A client for the loopback interface: without the proxies and credentials of the environment.
CLIENT = requests.Session()
CLIENT.trust_env = False


class OneSend(WSGIRequestHandler):
    """A request handler that sends each response in one piece and logs nothing.

    Werkzeug writes head and body separately. The body can then wait some 40 ms for the client's delayed
    acknowledgement of the head.
    """

    wbufsize = 1 << 18
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """Serve the request. `Expect: 100-continue` gets its response at once, ahead of the buffered one."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            del self.headers["Expect"]
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.wfile.flush()
        super().run_wsgi()

    def log(self, _type: str, _message: str, *_args: Any) -> None:
        """Write nothing: the functions' own logs are enough."""


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
        """Stop accepting requests. Requests in progress are left to their daemon threads."""
        self._server.shutdown()
        self._server.server_close()
