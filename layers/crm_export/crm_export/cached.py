"""Values that are read from outside and kept for a while: the stack's own secrets, connections."""

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


class CachedByKey[K, V]:
    """What `read` returns for each key, less than `seconds` old; 0 keeps nothing. A failure is not kept.

    At most `most` keys are kept, those that were used last. clock: seconds, monotonic.
    """

    def __init__(
        self, read: Callable[[K], V], clock: Callable[[], float], seconds: float, most: int = 1000
    ) -> None:
        self._read = read
        self._clock = clock
        self._seconds = seconds
        self._most = most
        self._kept: dict[K, tuple[V, float]] = {}  # with the time of the read, in the order of their use

    def get(self, key: K) -> V:
        """Return the value of a key. Raises what `read` raises."""
        kept = self._kept.pop(key, None)
        if kept is None or self._clock() - kept[1] >= self._seconds:
            kept = self._read_now(key)
        return self._keep(key, *kept)

    def again(self, key: K) -> V:
        """Return the value of a key, read now. Raises what `read` raises, and then keeps nothing."""
        self._kept.pop(key, None)
        return self._keep(key, *self._read_now(key))

    def _read_now(self, key: K) -> tuple[V, float]:
        now = self._clock()
        return self._read(key), now

    def _keep(self, key: K, value: V, read_at: float) -> V:
        if self._seconds > 0:
            self._kept[key] = (value, read_at)
            while len(self._kept) > self._most:
                self._kept.pop(next(iter(self._kept)), None)
        return value
