"""The signature in a callback URL: HMAC-SHA256 of "<export_id>/<part>" under the stack's own key.

Zoho signs nothing, so the URL itself proves that we gave it to Zoho for this part.
"""

import hashlib
import hmac

from crm_export.errors import InvalidSignature
from crm_export.exports.model import Export, is_export_id

_LARGEST_PART = 99_999


def sign(key: bytes, export_id: str, part: int) -> str:
    """The signature of a part, as 64 hex digits."""
    return hmac.new(key, f"{export_id}/{part}".encode(), hashlib.sha256).hexdigest()


def verify(key: bytes, export_id: str, part: str, signature: str) -> int:
    """The part's number, where the signature is right; else InvalidSignature. In constant time."""
    number = int(part) if part.isascii() and part.isdigit() and len(part) <= len(str(_LARGEST_PART)) else 0
    expected = sign(key, export_id, number)
    right = hmac.compare_digest(expected.encode(), signature.encode())
    if not (right and number and is_export_id(export_id)):
        raise InvalidSignature("The signature of the callback URL does not belong to this export and part.")
    return number


def callback_url(key: bytes, export: Export, part: int) -> str:
    """Where Zoho shall post when the job of a part is done."""
    signature = sign(key, export.export_id, part)
    return f"{export.callback_base_url}/v1/e/zoho/bulk-read/callback/{export.export_id}/{part}/{signature}"
