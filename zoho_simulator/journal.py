"""What the simulator received, for tests to read back. Secrets are masked, all else is kept as it came."""

import re
import threading
from collections import deque
from typing import Any

from zoho_simulator.wire import Request, Response

_BODY_LIMIT = 64 * 1024
_KEEP = 100_000
_SECRET = re.compile(r"((?:client_secret|refresh_token|access_token|code|token)=)([^&\s]+)")
_SECRET_PARAMETERS = frozenset({"client_secret", "refresh_token", "access_token", "code", "token"})


class Journal:
    """A bounded list of requests, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[dict[str, Any]] = deque(maxlen=_KEEP)

    def add(self, request: Request, response: Response, received: float, seconds: float) -> None:
        """Remember a request and how it was answered; a dropped connection has status 0."""
        form = "form-urlencoded" in (request.header("content-type") or "")
        body = request.body[:_BODY_LIMIT].decode("utf-8", "replace")
        entry = {
            "method": request.method,
            "path": request.path,
            "query": {k: masked(v) if k in _SECRET_PARAMETERS else v for k, v in request.query.items()},
            "headers": {k: _header(k, v) for k, v in request.headers.items()},
            "body": _SECRET.sub(lambda m: m[1] + masked(m[2]), body) if form else body,
            "status": 0 if response.drop else response.status,
            "time": received,
            "seconds": round(seconds, 6),
        }
        with self._lock:
            self._entries.append(entry)

    def requests(self, path: str | None = None, method: str | None = None) -> list[dict[str, Any]]:
        """The entries, those whose path matches the regular expression `path` if given."""
        with self._lock:
            entries = list(self._entries)
        if path:
            entries = [e for e in entries if re.search(path, e["path"])]
        return [e for e in entries if not method or e["method"] == method]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()


def masked(secret: str) -> str:
    """A secret, recognisable by its end only."""
    return "***" + secret[-4:]


def _header(name: str, value: str) -> str:
    if name != "authorization":
        return value
    scheme, _, token = value.partition(" ")
    return f"{scheme} {masked(token)}" if token else masked(scheme)
