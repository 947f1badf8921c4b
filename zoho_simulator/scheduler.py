"""Runs things later: one thread waits, each thing runs in a thread of its own."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable


class Scheduler:
    """Calls functions after real seconds until it is closed."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="zoho-simulator-scheduler", daemon=True)
        self._thread.start()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Run `action` once, that many seconds from now."""
        with self._wake:
            heapq.heappush(self._due, (time.monotonic() + max(0.0, seconds), next(self._order), action))
            self._wake.notify()

    def close(self) -> None:
        """Drop what has not begun."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                if self._closed:
                    return
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is None or wait > 0:
                    self._wake.wait(wait)
                    continue
                action = heapq.heappop(self._due)[2]
            threading.Thread(target=action, name="zoho-simulator-callback", daemon=True).start()
