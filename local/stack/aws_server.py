"""AWS, played by moto, as a process of its own: `python -m local.stack.aws_server`.

A process apart, because moto is Python too: within ours it would hold the interpreter lock while it
copies megabytes of S3 parts, and every call of the gateway and the pollers would wait for it.
"""

import importlib
import os

from werkzeug.serving import make_server

from local.stack.http import HOST, OneSend


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

    app = DomainDispatcherApplication(create_backend_app)
    server = make_server(HOST, 0, app, threaded=True, request_handler=Handler)
    # moto signs and stores URLs of its own with this port.
    os.environ["MOTO_PORT"] = str(server.server_port)
    print(f"moto on http://{HOST}:{server.server_port}", flush=True)
    # Two seconds of imports; meanwhile the stack translates the template, and its first call waits in line.
    importlib.import_module("moto.cloudformation.parsing")
    server.serve_forever()


if __name__ == "__main__":
    main()
