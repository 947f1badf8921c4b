"""How long this invocation may still run. Set by the handler, asked by whoever would wait."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_until: ContextVar[float] = ContextVar("until", default=math.inf)


@contextmanager
def ends_in(seconds: float) -> Iterator[None]:
    """What runs in this context ends in so many seconds."""
    token = _until.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _until.reset(token)


def remaining() -> float:
    """Seconds left; infinite outside an invocation."""
    return _until.get() - time.monotonic()
