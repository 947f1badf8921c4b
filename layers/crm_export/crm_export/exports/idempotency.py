"""The header Idempotency-Key: a request that is sent twice starts one export. Called by `start`.

The key is bound to its export in the transaction that writes the export, so neither exists without the other.
"""

import hashlib
import json
import re
from datetime import datetime, timedelta
from typing import Any

from crm_export.errors import IdempotencyConflict, InvalidRequest
from crm_export.exports.model import BoundKey, Caller, Export, ExportState, RequestKey
from crm_export.exports.pipeline import Pipeline

_KEPT = timedelta(hours=24)
_KEY = re.compile(r"[!-~]{1,255}")
_SHOWN = 60  # characters of a key in a message


def request_key(caller: Caller, key: str, request: Any, now: datetime) -> RequestKey:
    """Return the caller's key as it is stored. request: JSON that identifies the request.

    Raises InvalidRequest for an unusable key.
    """
    if not _KEY.fullmatch(key):
        raise InvalidRequest(
            f"Idempotency-Key is {key[:_SHOWN]!r}; it must be 1 to 255 visible ASCII characters."
        )
    return RequestKey(
        account_id=caller.account_id,
        shown=repr(key[:_SHOWN]),
        key_hash=_hash([caller.owner, key]),
        request_hash=_hash(request),
        expires_at=now + _KEPT,
    )


def export_of(pipeline: Pipeline, key: RequestKey, bound: BoundKey | None) -> Export | None:
    """Return the export that a key is bound to, or None if the key is free.

    A key is free after 24 hours, and if its export is FAILED or deleted. Raises IdempotencyConflict if the
    key was used for a different request.
    """
    if bound is None or bound.expires_at <= pipeline.clock():
        return None
    export = pipeline.table.get(bound.export_id)
    if export is None or export.state is ExportState.FAILED:
        return None
    if bound.request_hash != key.request_hash:
        raise IdempotencyConflict(
            f"Idempotency-Key {key.shown} was used for a different request within 24 hours; send the same "
            "request again, or use another key."
        )
    return export


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
