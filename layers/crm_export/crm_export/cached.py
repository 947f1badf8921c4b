"""A value that is read from outside and kept for a while: the stack's own secrets."""

import math
from collections.abc import Callable

_LONGEST_AGE = 300.0  # seconds
_BETWEEN_READS = 10.0  # so that whoever sends wrong credentials or signatures cannot flood what is read


class Cached[T]:
    """What `read` returns, at most five minutes old. clock: seconds, monotonic. A failure is not kept."""

    def __init__(self, read: Callable[[], T], clock: Callable[[], float]) -> None:
        self._read = read
        self._clock = clock
        self._value: tuple[T] | None = None
        self._read_at, self._asked_again_at = 0.0, -math.inf

    def get(self) -> T:
        """Return the value. Raises what `read` raises."""
        if self._value is not None and self._clock() - self._read_at < _LONGEST_AGE:
            return self._value[0]
        return self._load()

    def again(self) -> T | None:
        """Return the value, read now, because the one in use was refused.

        None, and nothing is read, less than ten seconds after the last such read. Raises what `read` raises.
        """
        if self._clock() - self._asked_again_at < _BETWEEN_READS:
            return None
        self._asked_again_at = self._clock()
        return self._load()

    def _load(self) -> T:
        now = self._clock()
        value = self._read()
        self._value, self._read_at = (value,), now
        return value
