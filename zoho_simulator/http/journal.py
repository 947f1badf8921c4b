"""The requests that the simulator received, for tests to read. Secrets are masked."""

import re
from collections import deque

from zoho_simulator.wire import Json, Request, Response

_BODY_LIMIT = 64 * 1024
_ENTRIES_KEPT = 100_000
_SECRETS = frozenset({"client_secret", "refresh_token", "access_token", "code", "token"})
_SECRET = re.compile(rf"((?:{'|'.join(sorted(_SECRETS))})=)([^&\s]+)")


class Journal:
    """A bounded list of requests, oldest first. Thread-safe."""

    def __init__(self) -> None:
        self._entries: deque[tuple[Request, int, float]] = deque(maxlen=_ENTRIES_KEPT)

    def add(self, request: Request, response: Response, received: float) -> None:
        """Note a request and its response; a dropped connection has status 0."""
        self._entries.append((request, 0 if response.drop else response.status, received))

    def requests(self, path: str | None = None, method: str | None = None) -> list[Json]:
        """Return the entries with this method whose path matches the regular expression `path`; None: any."""
        return [
            _shown(request, status, received)
            for request, status, received in self._entries.copy()  # others may append meanwhile
            if (not path or re.search(path, request.path)) and (not method or request.method == method)
        ]

    def clear(self) -> None:
        """Remove all entries."""
        self._entries.clear()


def _shown(request: Request, status: int, received: float) -> Json:
    body = request.body[:_BODY_LIMIT].decode("utf-8", "replace")
    if request.form():
        body = _SECRET.sub(lambda m: m[1] + _masked(m[2]), body)
    return {
        "method": request.method,
        "path": request.path,
        "query": {k: _masked(v) if k in _SECRETS else v for k, v in request.query.items()},
        "headers": {k: _header(k, v) for k, v in request.headers.items()},
        "body": body,
        "status": status,
        "time": received,
    }


def _masked(secret: str) -> str:
    return "***" + secret[-4:]


def _header(name: str, value: str) -> str:
    if name != "authorization":
        return value
    scheme, _, token = value.partition(" ")
    return f"{scheme} {_masked(token)}" if token else _masked(scheme)
