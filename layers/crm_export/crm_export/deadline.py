"""How long this invocation may still run. Set by the handler, asked by whoever would wait."""

import math
import time
from contextvars import ContextVar

_until: ContextVar[float] = ContextVar("until", default=math.inf)


def start(seconds: float) -> None:
    """The invocation ends in so many seconds."""
    _until.set(time.monotonic() + seconds)


def remaining() -> float:
    """Seconds left; infinite outside an invocation."""
    return _until.get() - time.monotonic()
