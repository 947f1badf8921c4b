"""The signature in a callback URL: HMAC-SHA256 of "<export_id>/<part>" under the stack's own key.

Zoho signs nothing, so the URL itself proves that we gave it to Zoho for this part. The key is rotated
while URLs are in flight: the current one signs, the one before it is good for checking, too.
"""

import hashlib
import hmac
import time
from collections.abc import Callable

from crm_export.errors import ConfigurationError, InvalidSignature
from crm_export.exports.model import Export, is_export_id

_LARGEST_PART = 99_999
_SHORTEST_KEY = 32
_KEPT_SECONDS = 300.0  # a key that was rotated away signs and opens nothing for longer
_SECONDS_BETWEEN_READS = 10.0  # forgeries cannot flood Secrets Manager


def sign(key: bytes, export_id: str, part: int) -> str:
    """The signature of a part, as 64 hex digits."""
    message = f"{export_id}/{part}".encode("utf-8", "surrogatepass")
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def verify(keys: tuple[bytes, ...], export_id: str, part: str, signature: str) -> int:
    """The part's number, where one of the keys made the signature; else InvalidSignature.

    In constant time: every key is tried, whichever fits.
    """
    number = int(part) if part.isascii() and part.isdigit() and len(part) <= len(str(_LARGEST_PART)) else 0
    given = signature.encode("utf-8", "surrogatepass")
    right = [hmac.compare_digest(sign(key, export_id, number).encode(), given) for key in keys]
    if not (any(right) and number and is_export_id(export_id)):
        raise InvalidSignature("The signature of the callback URL does not belong to this export and part.")
    return number


def callback_url(key: bytes, export: Export, part: int) -> str:
    """Where Zoho shall post when the job of a part is done."""
    signature = sign(key, export.export_id, part)
    return f"{export.callback_base_url}/v1/e/zoho/bulk-read/callback/{export.export_id}/{part}/{signature}"


class KeyRing:
    """The keys as a container keeps them. `read` gives the current one and the one before it, or None."""

    def __init__(
        self, read: Callable[[], tuple[str, str | None]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._keys: tuple[bytes, ...] = ()
        self._read_at = self._tried_at = 0.0

    def current(self) -> bytes:
        """The key that signs. Raises what `read` raises, and ConfigurationError for a key that is none."""
        return self._fresh()[0]

    def verify(self, export_id: str, part: str, signature: str) -> int:
        """As the function `verify`. A signature no key fits may be of a newer key: they are read again."""
        keys = self._fresh()
        try:
            return verify(keys, export_id, part, signature)
        except InvalidSignature:
            if self._clock() - self._tried_at < _SECONDS_BETWEEN_READS:
                raise
        return verify(self._load(), export_id, part, signature)

    def _fresh(self) -> tuple[bytes, ...]:
        if self._keys and self._clock() - self._read_at < _KEPT_SECONDS:
            return self._keys
        return self._load()

    def _load(self) -> tuple[bytes, ...]:
        now = self._tried_at = self._clock()
        current, previous = self._read()
        if len(current) < _SHORTEST_KEY:
            raise ConfigurationError(
                f"The key of callback URLs has {len(current)} characters; needed are {_SHORTEST_KEY} or more."
            )
        keys = [current] if previous is None or len(previous) < _SHORTEST_KEY else [current, previous]
        self._keys, self._read_at = tuple(key.encode() for key in keys), now
        return self._keys
