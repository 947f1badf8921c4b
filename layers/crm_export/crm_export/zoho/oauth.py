"""Zoho's token endpoint: a refresh token becomes an access token.

https://www.zoho.com/crm/developer/docs/api/v8/refresh.html
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any

import requests

from crm_export.errors import TokenInvalidated, ZohoClientRejected, ZohoError, ZohoThrottled, ZohoUnavailable
from crm_export.zoho.refusals import clean_text, error_object, retry_after_seconds
from crm_export.zoho.transport import Answer, exchange

_THROTTLED_SECONDS = 120
# A longer Retry-After is asked again meanwhile: one answer shall not stop an account for a day.
_LONGEST_THROTTLED_SECONDS = 900
_OK = 200
_HOUR = 3600.0  # what Zoho documents, and the most that is believed
_TOKEN = re.compile(r"[!-~]{1,4096}")
_CODE = re.compile(r"[a-z]+(_[a-z]+)*")


@dataclass(frozen=True)
class ZohoClientCredentials:
    """Client id and secret of the API client registered at Zoho."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True)
class AccessToken:
    """An access token and the seconds it lives, counted from its issue."""

    value: str = field(repr=False)
    expires_in: float


def refresh_access_token(
    session: requests.Session, accounts_server: str, credentials: ZohoClientCredentials, refresh_token: str
) -> AccessToken:
    """Ask for a new access token.

    Raises TokenInvalidated (the refresh token is dead), ZohoClientRejected (our client id or secret),
    ZohoThrottled (10 tokens in 10 minutes), ZohoUnavailable, ZohoTimeout.
    """
    answer = exchange(
        session,
        "POST",
        f"{accounts_server}/oauth/v2/token",
        # In the body, not the query string, where proxies would log the secret.
        data={
            "grant_type": "refresh_token",
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret,
            "refresh_token": refresh_token,
        },
    )
    body = error_object(answer.body)
    token = body.get("access_token")
    if answer.status == _OK and isinstance(token, str) and _TOKEN.fullmatch(token):
        return AccessToken(token, _lifetime(body))
    raise _token_error(answer, body)


def _lifetime(body: dict[str, Any]) -> float:
    """`expires_in` is seconds, or milliseconds beside `expires_in_sec`."""
    seconds = body.get("expires_in_sec", body.get("expires_in", _HOUR))
    try:
        lifetime = float(seconds)
    except (TypeError, ValueError, OverflowError):
        return _HOUR
    return min(max(lifetime, 0.0), _HOUR) if math.isfinite(lifetime) else _HOUR


def _token_error(answer: Answer, body: dict[str, Any]) -> ZohoError | TokenInvalidated:
    """Zoho gives errors as HTTP 200 too, so the body decides; by its code, as its words are translated."""
    status, code = answer.status, body.get("error")
    known = clean_text(code, 100) if isinstance(code, str) else None
    if known == "invalid_code":
        return TokenInvalidated("TOKEN_INVALIDATED")
    if known in {"invalid_client", "invalid_client_secret", "invalid_redirect_uri"}:
        return ZohoClientRejected(
            f"Zoho's token endpoint rejected this deployment's client id or secret ({known}).",
            zoho_code=known,
            http_status=status,
        )
    # Codes are lower-case words with underscores; "Access Denied" is a text, and a translated one elsewhere.
    if (
        status == requests.codes.too_many_requests
        or body.get("status") == "failure"
        or (known and not _CODE.fullmatch(known))
    ):
        return ZohoThrottled(
            "Zoho gives no more access tokens for this connection for now (too many requests continuously).",
            zoho_code=known,
            http_status=status,
            retry_after=min(
                retry_after_seconds(answer.headers) or _THROTTLED_SECONDS, _LONGEST_THROTTLED_SECONDS
            ),
        )
    return ZohoUnavailable(
        f"Zoho's token endpoint answered HTTP {status} ({known or 'no error code'}).",
        zoho_code=known,
        http_status=status,
    )
