"""Zoho's callbacks: the signed URL we give Zoho, and what happens when Zoho posts to it.

Zoho does not sign its callbacks, so the URL itself proves that we gave it to Zoho for this part: it ends with
the HMAC-SHA256 of "<export_id>/<part>-<group>" under the stack's own key, and with the group, by which the
queue is fair between accounts. The key can be rotated while URLs are in use: the current key signs, and the
previous one still verifies.

The URL can be reached by anyone, so the function behind it has no access to the table: it verifies and sends
one message. `heed_callback` is the rest, in the function that receives the message.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Callable

from crm_export.cached import Cached
from crm_export.errors import ConfigurationError, InvalidRequest, InvalidSignature
from crm_export.exports.model import LARGEST_PART, Export, PartState, is_export_id
from crm_export.exports.pipeline import Callback, Pipeline
from crm_export.strict_json import whole_number
from crm_export.telemetry import logger, note
from crm_export.zoho.bulk_read import callback_job_id

_SHORTEST_KEY = 32  # characters
_MOST_CALLBACKS = 20  # of a part: one per job and a few repetitions are usual


def sign(key: bytes, export_id: str, part: int, group: str = "") -> str:
    """Return the signature of a part as "<64 hex digits>-<group>".

    Without a group it is only the digits: the URLs of earlier versions end so, and are accepted.
    """
    suffix = f"-{group}" if group else ""
    message = f"{export_id}/{part}{suffix}".encode("utf-8", "surrogatepass")
    return hmac.new(key, message, hashlib.sha256).hexdigest() + suffix


def verify(keys: tuple[bytes, ...], export_id: str, part: str, signature: str) -> int:
    """Return the part's number if one of the keys made the signature, else raise InvalidSignature.

    Takes constant time: every key is tried, even after a match.
    """
    number = whole_number(part, len(str(LARGEST_PART))) or 0
    group = _group_of(signature)
    given = signature.encode("utf-8", "surrogatepass")
    rights = [sign(key, export_id, number, group).encode("utf-8", "surrogatepass") for key in keys]
    matches = [hmac.compare_digest(right, given) for right in rights]
    if not (any(matches) and number and is_export_id(export_id)):
        raise InvalidSignature("The signature in the callback URL does not match its export and part.")
    return number


def _group_of(signature: str) -> str:
    return signature.partition("-")[2]


def callback_url(key: bytes, export: Export, part: int) -> str:
    """Return the URL that Zoho calls when the job of a part is done."""
    signature = sign(key, export.export_id, part, export.group)
    return f"{export.callback_base_url}/v1/e/zoho/bulk-read/callback/{export.export_id}/{part}/{signature}"


class KeyRing:
    """The keys of callback URLs. `read` returns the current key and the previous one, or None."""

    def __init__(
        self, read: Callable[[], tuple[str, str | None]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = Cached(lambda: _usable_keys(*read()), clock)

    def current(self) -> bytes:
        """Return the key that signs. Raises what `read` raises, or ConfigurationError if it is too short."""
        return self._keys.get()[0]

    def verify(self, export_id: str, part: str, signature: str) -> int:
        """Verify as the function `verify` does. If no key matches, read the keys again: one may be newer."""
        try:
            return verify(self._keys.get(), export_id, part, signature)
        except InvalidSignature:
            newer = self._keys.again()
            if newer is None:
                raise
        return verify(newer, export_id, part, signature)


def _usable_keys(current: str, previous: str | None) -> tuple[bytes, ...]:
    if len(current) < _SHORTEST_KEY:
        raise ConfigurationError(
            f"The key of callback URLs has {len(current)} characters; it needs {_SHORTEST_KEY} or more."
        )
    keys = [current] if previous is None or len(previous) < _SHORTEST_KEY else [current, previous]
    return tuple(key.encode() for key in keys)


def receive_callback(pipeline: Pipeline, export_id: str, part: str, signature: str, body: bytes) -> None:
    """Verify a callback and queue its part, with the job id of the body.

    Called by functions/callback_receiver. Raises InvalidSignature, before the body is parsed, and
    QueueUnavailable. Raises InvalidRequest if the body names no job; the part is queued even then, because
    the signed URL names it.
    """
    number = pipeline.callback_keys.verify(export_id, part, signature)
    job_id = _job_id(body)
    note(export_id=export_id, part=number, job_id=job_id)
    group = _group_of(signature) or export_id
    pipeline.download_queue.send(export_id, number, group=group, callback=Callback(job_id))
    logger.info("callback received")
    if not job_id:
        raise InvalidRequest(
            "The body of the callback is not a Bulk Read job: it must be JSON with data[0].id or job_id."
        )


def _job_id(body: bytes) -> str | None:
    try:
        return callback_job_id(json.loads(body))
    except (ValueError, RecursionError):
        return None


def heed_callback(pipeline: Pipeline, export_id: str, part: int, callback: Callback) -> bool:
    """Count a callback, and keep its job id as a hint if the part is PENDING; False: ignore the callback.

    Called by `download.advance_part`, which then reads the job from Zoho. A part's callbacks beyond the first
    20 are ignored, so that a leaked URL does not use up Zoho's credits: the reconciler continues the part. A
    message that is received again was counted the first time.
    """
    if callback.is_new:
        counted = pipeline.table.count_callback(export_id, part, _MOST_CALLBACKS)
        if counted is None:
            logger.warning("callback ignored: too many, or no such part", export_id=export_id, part=part)
            return False
        if counted.state is not PartState.PENDING:
            return True
    if callback.job_id:
        pipeline.table.note_hint(export_id, part, callback.job_id)
    return True
