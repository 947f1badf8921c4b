"""Zoho's brakes: credits of the day, requests at once, downloads per minute."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from zoho_simulator.config import SimulatorConfig
from zoho_simulator.errors import too_many_requests
from zoho_simulator.wire import Request

_CONCURRENT = "Many requests fired in concurrent than the allowed limit"
_DOWNLOADS = (
    "All downloads will be unsuccessful as the limit is exceeded. "
    "Requests are processed only after one minute."
)


class Limits:
    """Counts requests of the organisation. All methods may be called from any thread."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._running = 0
        self._spent: deque[tuple[float, int]] = deque()
        self._used = 0
        self._downloads: deque[float] = deque()

    @contextmanager
    def one_request(self) -> Iterator[None]:
        """Hold one of the concurrent slots. Raises ZohoError when none is free."""
        with self._lock:
            if self._running >= self._config.concurrency:
                raise too_many_requests(_CONCURRENT)
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    def spend(self, cost: int) -> None:
        """Take credits. Raises ZohoError when they would not suffice."""
        with self._lock:
            now = self._config.clock()
            while self._spent and self._spent[0][0] <= now - self._config.credit_window_seconds:
                self._used -= self._spent.popleft()[1]
            if self._used + cost > self._config.credits:
                raise too_many_requests(self._config.too_many_requests_message)
            self._spent.append((now, cost))
            self._used += cost

    def headers(self) -> dict[str, str]:
        """X-API-CREDITS-REMAINING, which Zoho sends only once half of the credits are gone."""
        with self._lock:
            if self._used * 2 < self._config.credits:
                return {}
            return {"X-API-CREDITS-REMAINING": str(self._config.credits - self._used)}

    def download(self) -> None:
        """Count a download. Raises ZohoError when this minute has had enough."""
        limit = self._config.downloads_per_minute
        with self._lock:
            now = self._config.clock()
            while self._downloads and self._downloads[0] <= now - 60:
                self._downloads.popleft()
            if limit and len(self._downloads) >= limit:
                raise too_many_requests(_DOWNLOADS)
            self._downloads.append(now)


def cost_of(request: Request) -> int:
    """Credits of a request, by Zoho's list."""
    if request.method == "POST" and request.path.startswith("/crm/bulk/"):
        return 50
    if request.path.endswith("/deleted"):
        return 2
    return 3 if "cvid" in request.query else 1
