"""How long this invocation may still run. Entry points set it; code that would wait asks for it."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_monotonic: ContextVar[Callable[[], float]] = ContextVar("monotonic", default=time.monotonic)
_ends_at: ContextVar[float] = ContextVar("ends_at", default=math.inf)


@contextmanager
def clocked_by(monotonic: Callable[[], float]) -> Iterator[None]:
    """Measure deadlines with this clock (in seconds) instead of the machine's."""
    token = _monotonic.set(monotonic)
    try:
        yield
    finally:
        _monotonic.reset(token)


@contextmanager
def ends_in(seconds: float) -> Iterator[None]:
    """Set the deadline of the code in this context to `seconds` from now."""
    token = _ends_at.set(_monotonic.get()() + seconds)
    try:
        yield
    finally:
        _ends_at.reset(token)


@contextmanager
def reserving(seconds: float) -> Iterator[None]:
    """Keep `seconds` of what is left for the code after this context."""
    with ends_in(remaining() - seconds):
        yield


def remaining() -> float:
    """Return the seconds left; infinite outside an invocation."""
    return _ends_at.get() - _monotonic.get()()
