"""Zoho's token endpoint: exchanges a grant for an access token.

https://www.zoho.com/crm/developer/docs/api/v8/refresh.html
"""

import math
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeGuard

import requests

from crm_export.cached import Cached
from crm_export.errors import TokenInvalidated, ZohoClientRejected, ZohoError, ZohoThrottled, ZohoUnavailable
from crm_export.redaction import remember
from crm_export.system import MACHINE, System
from crm_export.zoho.grants import Grant, ZohoClientCredentials
from crm_export.zoho.refusals import clean_text, error_object, retry_after_seconds
from crm_export.zoho.transport import ZohoResponse, exchange

_THROTTLED_SECONDS = 120
_LONGEST_THROTTLED_SECONDS = 900  # one response must not stop an account for a day
_HOUR = 3600.0  # the lifetime that Zoho documents, and the longest we accept
_LONGEST_REFRESH = 10.0  # seconds: a page needs the rest of API Gateway's 30
_TOKEN = re.compile(r"[!-~]{1,4096}")
_CODE = re.compile(r"[a-z]+(_[a-z]+)*")
# Zoho writes some of these codes with capitals, so they are compared without regard to case.
_OUR_CLIENT = {"invalid_client", "invalid_client_secret", "invalid_redirect_uri"}
_THE_GRANT = {
    "invalid_code", "invalid_grant", "invalid_token", "invalid_request", "unauthorized_client",
    "access_denied", "inactive_user", "invalid_scope", "missing_org_info", "invalid_org",
}  # fmt: skip
_FINAL, _REDIRECT = (2, 4), 3  # first digits of a status


@dataclass(frozen=True)
class AccessToken:
    """An access token and its lifetime in seconds, counted from its issue.

    api_domain: the URL at which it is valid, scopes: what it may do; None if Zoho does not say so.
    refresh_token: the new one that an authorization code was exchanged for.
    """

    value: str = field(repr=False)
    expires_in: float
    api_domain: str | None = None
    scopes: frozenset[str] | None = None
    refresh_token: str | None = field(default=None, repr=False)


def request_with_current_client(
    session: requests.Session,
    accounts_server: str,
    client: Cached[ZohoClientCredentials],
    grant: Grant,
    system: System = MACHINE,
) -> AccessToken:
    """Request a new access token; once more with newer credentials if Zoho rejects those in use.

    Raises what `request_access_token` and `client` raise.
    """
    credentials = client.get()
    try:
        return request_access_token(session, accounts_server, credentials, grant, system)
    except ZohoClientRejected:
        newer = client.again()
        if newer is None or newer == credentials:
            raise
    return request_access_token(session, accounts_server, newer, grant, system)


def request_access_token(
    session: requests.Session,
    accounts_server: str,
    credentials: ZohoClientCredentials,
    grant: Grant,
    system: System = MACHINE,
) -> AccessToken:
    """Request a new access token.

    Raises TokenInvalidated (Zoho refuses the grant), ZohoClientRejected (the client id or secret),
    ZohoThrottled (10 tokens in 10 minutes), ZohoUnavailable, ZohoTimeout.
    """
    for secret in (credentials.client_secret, *grant.secrets()):
        remember(secret)
    response = exchange(
        session,
        "POST",
        f"{accounts_server}/oauth/v2/token",
        longest=_LONGEST_REFRESH,
        system=system,
        repeatable=True,  # the worst that can come of it is one token too many
        # In the body, not in the query string, where proxies would log the secret.
        data={
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret,
            **grant.parameters(),
        },
    )
    body = error_object(response.body)
    issued = issued_token(body) if response.status == HTTPStatus.OK else None
    if issued is None:
        raise _token_error(response, body, accounts_server, grant)
    return issued


def issued_token(body: dict[str, Any]) -> AccessToken | None:
    """Return the tokens in a response of Zoho, or None if it has no usable access token."""
    token, domain, scope = (body.get(name) for name in ("access_token", "api_domain", "scope"))
    if not _is_token(token):
        return None
    refresh_token = body.get("refresh_token")
    for secret in filter(_is_token, (token, refresh_token)):
        remember(secret)
    return AccessToken(
        token,
        _lifetime(body),
        domain if isinstance(domain, str) else None,
        frozenset(re.split(r"[\s,]+", scope.strip())) if isinstance(scope, str) and scope.strip() else None,
        refresh_token if _is_token(refresh_token) else None,
    )


def _is_token(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and bool(_TOKEN.fullmatch(value))


def throttled(seconds: int, **more: Any) -> ZohoThrottled:
    """Return the error for "no new tokens for that many seconds"; `more` are arguments of ZohoError."""
    return ZohoThrottled(
        "Zoho refuses new access tokens for this connection (at most 10 in 10 minutes); "
        f"retry in {seconds} seconds.",
        retry_after=seconds,
        **more,
    )


def _lifetime(body: dict[str, Any]) -> float:
    """Return the lifetime in seconds: `expires_in` is milliseconds if `expires_in_sec` is present."""
    try:
        lifetime = float(body.get("expires_in_sec", body.get("expires_in", _HOUR)))
    except (TypeError, ValueError, OverflowError):
        return _HOUR
    return min(max(lifetime, 0.0), _HOUR) if math.isfinite(lifetime) else _HOUR


def _token_error(
    response: ZohoResponse, body: dict[str, Any], accounts_server: str, grant: Grant
) -> ZohoError | TokenInvalidated:
    """Choose by the body's code: errors also come with HTTP 200, and Zoho translates the messages.

    Nothing that comes with a 5xx or a redirect is final: it may be an outage.
    """
    status, error = response.status, body.get("error")
    text = clean_text(error, 100) if isinstance(error, str) else ""
    code, facts = str(error).lower(), dict[str, Any](zoho_code=text or None, http_status=status)
    asked = f"Zoho's token endpoint ({accounts_server})"
    # Codes are words with underscores; throttling comes as "Access Denied", translated.
    is_sentence = bool(text) and not _CODE.fullmatch(str(error)) and code not in _THE_GRANT | _OUR_CLIENT
    is_final = status != HTTPStatus.TOO_MANY_REQUESTS and status // 100 in _FINAL
    if code in _THE_GRANT and is_final:
        return TokenInvalidated(f"{asked} refused its {grant.name} ({text}).", zoho_code=text)
    if code in _OUR_CLIENT and is_final:
        return ZohoClientRejected(
            f"{asked} rejected this deployment's client id or secret ({text}).", **facts
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS or body.get("status") == "failure" or is_sentence:
        wait = min(retry_after_seconds(response.headers) or _THROTTLED_SECONDS, _LONGEST_THROTTLED_SECONDS)
        return throttled(wait, **facts)
    why = "a redirect, which is never followed" if status // 100 == _REDIRECT else text or "no error code"
    return ZohoUnavailable(f"{asked} responded with HTTP {status} ({why}).", **facts)
