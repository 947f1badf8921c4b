"""AWS, played by moto, as a process of its own: `python -m local.stack.aws_server`.

A process apart, because moto is Python too: within ours it would hold the interpreter lock while it
copies megabytes of S3 parts, and every call of the gateway and the pollers would wait for it.
"""

import importlib
import os
from collections.abc import Iterable
from threading import Lock
from typing import TYPE_CHECKING

from werkzeug.serving import make_server

from local.stack.http import HOST, OneSend

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def one_at_a_time(app: "WSGIApplication") -> "WSGIApplication":
    """Serialize the calls of DynamoDB. moto puts a whole copy of a table back when a transaction's condition
    fails, and so loses what others wrote meanwhile; the real one never loses a write it has acknowledged.
    """
    lock = Lock()

    def serve(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        if not environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB_"):
            return app(environ, start_response)
        with lock:
            return list(app(environ, start_response))

    return serve


def main() -> None:
    """Serve every AWS API on a free loopback port, and print its URL."""
    # Any web page open in a browser could read the stack's secrets if moto answered its preflights.
    os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415 - moto reads its settings at import
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )

    class Handler(OneSend, MotoRequestHandler):
        """moto's own request handler, without the wait for acknowledgements."""

    app = one_at_a_time(DomainDispatcherApplication(create_backend_app))
    server = make_server(HOST, 0, app, threaded=True, request_handler=Handler)
    # moto signs and stores URLs of its own with this port.
    os.environ["MOTO_PORT"] = str(server.server_port)
    print(f"moto on http://{HOST}:{server.server_port}", flush=True)
    # Two seconds of imports; meanwhile the stack translates the template, and its first call waits in line.
    importlib.import_module("moto.cloudformation.parsing")
    server.serve_forever()


if __name__ == "__main__":
    main()
