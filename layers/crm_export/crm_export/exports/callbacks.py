"""The signature in a callback URL: HMAC-SHA256 of "<export_id>/<part>" under the stack's own key.

Zoho signs nothing, so the URL itself proves that we gave it to Zoho for this part. The key is rotated
while URLs are in flight: the current one signs, the one before it is good for checking, too.
"""
# Takes a callback of Zoho: a hint that a job is done. Called by functions/callback_receiver.

import hashlib
import hmac
import json
import time
from collections.abc import Callable

from crm_export.errors import ConfigurationError, InvalidRequest, InvalidSignature
from crm_export.exports.model import Export, is_export_id
from crm_export.exports.pipeline import ExportStore, PartQueue
from crm_export.strict_json import whole_number
from crm_export.telemetry import logger
from crm_export.zoho.bulk_read import callback_job_id

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
    number = whole_number(part, len(str(_LARGEST_PART))) or 0
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


def receive_callback(
    store: ExportStore, download_queue: PartQueue, export_id: str, part: int, body: bytes
) -> None:
    """Queue the part, to be read from Zoho; nothing else of the body is believed.

    The signature is the caller's business and comes first. Raises InvalidRequest for a body that
    names no job; the part is queued all the same, as the signed URL says which it is.
    """
    job_id = _job_id(body)
    if job_id:
        store.note_job(export_id, part, job_id)
    download_queue.send(export_id, part)
    logger.info("callback received", export_id=export_id, part=part, job_id=job_id)
    if not job_id:
        raise InvalidRequest(
            "The body of the callback is not a Bulk Read job: it must be JSON with data[0].id or job_id."
        )


def _job_id(body: bytes) -> str | None:
    try:
        return callback_job_id(json.loads(body))
    except (ValueError, RecursionError):
        return None
