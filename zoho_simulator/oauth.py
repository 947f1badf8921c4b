"""Zoho Accounts: access tokens with their limits, and the token, revoke and serverinfo endpoints."""

import secrets
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from zoho_simulator.config import SimulatorConfig
from zoho_simulator.errors import authentication_failure, invalid_token, scope_mismatch
from zoho_simulator.wire import Json, Request, Response, html_response, json_response

_THROTTLED = {
    "error_description": "You have made too many requests continuously. Please try again after some time.",
    "error": "Access Denied",
    "status": "failure",
}


@dataclass(frozen=True)
class Grant:
    """An issued access token."""

    access_token: str
    refresh_token: str
    expires_at: float
    scopes: frozenset[str]


class TokenStore:
    """Issued access tokens, per refresh token, as Zoho limits them."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._grants: dict[str, Grant] = {}
        self._active: dict[str, deque[str]] = {}
        self._issued: dict[str, deque[float]] = {}

    def issue(self, refresh_token: str) -> Grant | None:
        """A new access token, or None when this refresh token has had its share of the window."""
        config, now = self._config, self._config.clock()
        with self._lock:
            issued = self._issued.setdefault(refresh_token, deque())
            while issued and issued[0] <= now - config.token_window_seconds:
                issued.popleft()
            if len(issued) >= config.tokens_per_window:
                return None
            issued.append(now)
            token = f"1000.{secrets.token_hex(16)}.{secrets.token_hex(16)}"
            scopes = frozenset(s.strip().lower() for s in config.scopes.split(",") if s.strip())
            grant = Grant(token, refresh_token, now + config.access_token_seconds, scopes)
            self._grants[token] = grant
            active = self._active.setdefault(refresh_token, deque())
            active.append(token)
            while len(active) > config.active_tokens:
                self._grants.pop(active.popleft(), None)
            return grant

    def find(self, access_token: str) -> Grant | None:
        """The grant of a token that is still good, or None."""
        with self._lock:
            grant = self._grants.get(access_token)
        good = (
            grant
            and grant.expires_at > self._config.clock()
            and grant.refresh_token in self._config.refresh_tokens
        )
        return grant if good else None

    def revoke(self, refresh_token: str) -> bool:
        """Forget a refresh token and its access tokens. False if it is not known."""
        with self._lock:
            if refresh_token not in self._config.refresh_tokens:
                return False
            self._config.refresh_tokens.discard(refresh_token)
            for token in self._active.pop(refresh_token, ()):
                self._grants.pop(token, None)
            return True

    def expire_all(self) -> int:
        """Invalidate every access token at once, as when a user's session is reset."""
        with self._lock:
            count = len(self._grants)
            self._grants.clear()
            self._active.clear()
            return count


def token_endpoint(config: SimulatorConfig, tokens: TokenStore, request: Request, own_url: str) -> Response:
    """POST /oauth/v2/token. Parameters come in the query or as a form; most errors are HTTP 200."""
    if request.method != "POST":
        return html_response(400, "Invalid request")
    parameters = {**request.form(), **request.query}
    error = _token_error(config, parameters)
    if error:
        return json_response(200, {"error": error})
    grant = tokens.issue(parameters["refresh_token"])
    if grant is None:
        return json_response(config.throttle_status, _THROTTLED)
    return json_response(200, _token_body(config, grant, own_url))


def _token_error(config: SimulatorConfig, parameters: Mapping[str, str]) -> str | None:
    if parameters.get("client_id") != config.client_id:
        return "invalid_client"
    if parameters.get("client_secret") != config.client_secret:
        return "invalid_client_secret"
    # Zoho has no invalid_grant: whatever is wrong with code or refresh token is an invalid_code.
    is_refresh = parameters.get("grant_type") == "refresh_token"
    known = parameters.get("refresh_token") in config.refresh_tokens
    return None if is_refresh and known else "invalid_code"


def _token_body(config: SimulatorConfig, grant: Grant, own_url: str) -> Json:
    seconds = int(config.access_token_seconds)
    body: Json = {"access_token": grant.access_token}
    if config.expires_in_style == "expires_in_sec":
        body |= {"expires_in_sec": seconds, "expires_in": seconds * 1000}
    else:
        body |= {"expires_in": seconds}
    if config.token_scope_in_answer:
        body["scope"] = config.scopes.replace(",", " ")
    return {**body, "api_domain": config.api_domain or own_url, "token_type": "Bearer"}


def revoke_endpoint(tokens: TokenStore, request: Request) -> Response:
    """POST /oauth/v2/token/revoke. A token that is not known gets an HTML page."""
    token = request.query.get("token") or request.form().get("token") or ""
    if request.method == "POST" and tokens.revoke(token):
        return json_response(200, {"status": "success"})
    return html_response(400, "Invalid token")


def server_info(own_url: str) -> Response:
    """GET /oauth/serverinfo: every data centre is this simulator."""
    return json_response(200, {"result": "success", "locations": dict.fromkeys(("us", "eu", "in"), own_url)})


def authenticate(tokens: TokenStore, request: Request) -> Grant:
    """The grant behind the Authorization header. Raises ZohoError with Zoho's 401 bodies."""
    scheme, _, token = (request.header("authorization") or "").partition(" ")
    if not token.strip():
        raise authentication_failure()
    if scheme.lower() not in ("zoho-oauthtoken", "bearer"):
        raise invalid_token()
    grant = tokens.find(token.strip())
    if grant is None:
        raise invalid_token()
    return grant


def require_scope(grant: Grant, *parts: str) -> None:
    """Ask for ZohoCRM.<parts>.READ or wider. Raises the scope ZohoError."""
    wanted = {
        "zohocrm." + ".".join((*parts[:n], kind)).lower()
        for n in range(1, len(parts) + 1)
        for kind in ("all", "read")
    }
    if not wanted & grant.scopes:
        raise scope_mismatch()
