"""Who may call, and how often: authentication, and Zoho's limits.

https://www.zoho.com/crm/developer/docs/api/v8/api-limits.html
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Lock

from zoho_simulator.config import SimulatorConfig
from zoho_simulator.errors import ZohoError
from zoho_simulator.tokens import Grant, TokenStore
from zoho_simulator.wire import Request, Response, json_response

_CREDIT_WINDOW_SECONDS = 86_400
_OUT_OF_CREDITS = "too many requests. please try again after some time"  # [U]: not documented
_OUT_OF_DOWNLOADS = (
    "All downloads will be unsuccessful as the limit is exceeded. "
    "Requests are processed only after one minute."
)


def stale_token_response(config: SimulatorConfig) -> Response:
    """Return the response to an access token that is not valid, as `config.stale_token` says."""
    match config.stale_token:
        case "bare":
            return Response(HTTPStatus.UNAUTHORIZED)
        case "redirect":
            target = "https://accounts.zoho.com/signin?servicename=ZohoCRM"
            return Response(HTTPStatus.FOUND, {"Location": target})
        case "page":
            page = b"<!DOCTYPE html><html><title>Zoho Accounts</title><h1>Sign in</h1></html>"
            return Response(HTTPStatus.OK, {"Content-Type": "text/html;charset=UTF-8"}, page)
        case code:
            error = ZohoError(code)
            return json_response(error.status, error.body())


def authenticate(tokens: TokenStore, request: Request) -> Grant:
    """Return the grant of the Authorization header. Raises ZohoError with Zoho's 401 bodies."""
    scheme, _, token = (request.header("authorization") or "").partition(" ")
    if not token.strip():
        raise ZohoError("AUTHENTICATION_FAILURE")
    known = scheme.lower() in ("zoho-oauthtoken", "bearer")
    grant = tokens.find(token.strip()) if known else None
    if grant is None:
        raise ZohoError("INVALID_TOKEN")
    return grant


@dataclass
class Limits:
    """The organisation's limits: credits of a day, concurrent requests, downloads per minute. Thread-safe."""

    _config: SimulatorConfig
    _clock: Callable[[], float]
    _lock: Lock = field(default_factory=Lock)
    _running: int = 0
    _spent: deque[tuple[float, int]] = field(default_factory=deque)
    _used: int = 0
    _downloads: deque[float] = field(default_factory=deque)

    @contextmanager
    def one_request(self) -> Iterator[None]:
        """Occupy one of the concurrent slots. Raises ZohoError if none is free."""
        with self._lock:
            if self._running >= self._config.concurrency:
                raise ZohoError("TOO_MANY_REQUESTS")
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    def spend(self, request: Request) -> None:
        """Take the credits of a request. Raises ZohoError if too few are left."""
        cost = _credits(request)
        with self._lock:
            now = self._clock()
            while self._spent and self._spent[0][0] <= now - _CREDIT_WINDOW_SECONDS:
                self._used -= self._spent.popleft()[1]
            if self._used + cost > self._config.credits:
                raise ZohoError("TOO_MANY_REQUESTS", message=_OUT_OF_CREDITS)
            self._spent.append((now, cost))
            self._used += cost

    @property
    def used(self) -> int:
        """The credits used in the last 24 hours, as of the last request."""
        return self._used

    def headers(self) -> dict[str, str]:
        """Return X-API-CREDITS-REMAINING, which Zoho sends only after half of the credits are used."""
        if self._used * 2 < self._config.credits:
            return {}
        return {"X-API-CREDITS-REMAINING": str(self._config.credits - self._used)}

    def download(self) -> None:
        """Count a download. Raises ZohoError if the downloads of this minute are used up."""
        limit = self._config.downloads_per_minute
        with self._lock:
            now = self._clock()
            while self._downloads and self._downloads[0] <= now - 60:
                self._downloads.popleft()
            if limit and len(self._downloads) >= limit:
                raise ZohoError("TOO_MANY_REQUESTS", message=_OUT_OF_DOWNLOADS)
            self._downloads.append(now)


def _credits(request: Request) -> int:
    if request.method == "POST" and request.path.startswith("/crm/bulk/"):
        return 50
    if request.path.endswith("/deleted"):
        return 2
    return 3 if "cvid" in request.query else 1
