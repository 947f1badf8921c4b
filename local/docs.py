"""`python -m local.docs`: docs/openapi.yaml as a page to browse, with Swagger UI. Called by `make docs`.

The viewer's files come from the package flask-swagger-ui, of which nothing else is used. The page loads
nothing from elsewhere, and its content security policy keeps the browser to that.
https://swagger.io/docs/open-source-tools/swagger-ui/usage/installation/
"""

import argparse
import mimetypes
import signal
import sys
from collections.abc import Sequence
from importlib.resources import files

from werkzeug.wrappers import Request, Response

from local.stack.http import Server, bind
from local.stack.processes import REPOSITORY

_DOCUMENT = REPOSITORY / "docs/openapi.yaml"
_VIEWER = files("flask_swagger_ui") / "dist"
_VIEWER_FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
# Swagger UI writes style attributes and draws its icons from data URLs.
_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>zoho-crm-export: HTTP API</title>
<link rel="icon" href="favicon-32x32.png">
<link rel="stylesheet" href="swagger-ui.css">
</head>
<body>
<div id="viewer"></div>
<script src="swagger-ui-bundle.js"></script>
<script src="start.js"></script>
</body>
</html>
"""
# Without a validator of somebody else's, and without "Try it out": the API allows no other origin.
_START = """SwaggerUIBundle({
  url: "openapi.yaml",
  dom_id: "#viewer",
  deepLinking: true,
  defaultModelExpandDepth: 3,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: false,
  supportedSubmitMethods: [],
  validatorUrl: null,
});
"""


def answer(request: Request) -> Response:
    """Answer with the page, one of its files, or the document as it is now."""
    name = request.path.removeprefix("/")
    if request.method not in {"GET", "HEAD"}:
        return Response("Method Not Allowed\n", 405, {"Allow": "GET, HEAD"})
    if name == "":
        return _file(_PAGE.encode(), "text/html; charset=utf-8")
    if name == "start.js":
        return _file(_START.encode(), "text/javascript; charset=utf-8")
    if name == "openapi.yaml":
        return _file(_DOCUMENT.read_bytes(), "application/yaml; charset=utf-8")
    if name in _VIEWER_FILES:
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return _file(_VIEWER.joinpath(name).read_bytes(), kind)
    return Response("Not Found\n", 404)


def _file(content: bytes, kind: str) -> Response:
    headers = {
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
    }
    return Response(content, 200, headers, content_type=kind)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m local.docs", description="The HTTP API's documentation.")
    parser.add_argument("--port", type=int, default=0, help="port of the page; 0 is any free one")
    options = parser.parse_args(arguments)
    # Blocked before the server's thread starts, so that a signal at any moment is waited for below.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        server = Server(answer, bind(options.port))
    except OSError as error:
        print(f"error: port {options.port}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"The HTTP API's documentation: {server.url}/\nCtrl-C stops it.", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
