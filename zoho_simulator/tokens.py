"""Opaque tokens that expire: access tokens of OAuth, and page tokens of the records API and of Bulk Read."""

from collections import defaultdict, deque
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

from zoho_simulator.config import Environment, SimulatorConfig
from zoho_simulator.errors import ZohoError
from zoho_simulator.wire import Request


@dataclass(frozen=True)
class Grant:
    """An issued access token. The refresh token, or the soid of client credentials, stands for the user."""

    access_token: str
    refresh_token: str
    expires_at: float
    names: frozenset[str]  # of its scopes

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes in lower case, because Zoho ignores the case."""
        return frozenset(map(str.lower, self.names))

    def require(self, *parts: str) -> None:
        """Raise ZohoError unless ZohoCRM.<parts>.READ or a wider scope is granted."""
        enough = {
            "zohocrm." + ".".join((*parts[:n], kind)).lower()
            for n in range(1, len(parts) + 1)
            for kind in ("all", "read")
        }
        if not enough & self.scopes:
            raise ZohoError("OAUTH_SCOPE_MISMATCH")


def scope_set(names: str) -> frozenset[str]:
    """Return the scopes of a list with commas or spaces."""
    return frozenset(names.replace(",", " ").split())


def granted_scopes(requested: str, allowed: str) -> frozenset[str]:
    """Return the requested scopes that an allowed one includes: ZohoCRM.modules.ALL includes each READ."""
    wider = {scope.lower() for scope in scope_set(allowed)}

    def is_allowed(scope: str) -> bool:
        *path, kind = scope.lower().split(".")
        paths = (".".join(path[:n]) for n in range(1, len(path) + 1))
        return any(f"{above}.{k}" in wider for above in paths for k in (kind, "all"))

    return frozenset(scope for scope in scope_set(requested) if is_allowed(scope))


@dataclass(frozen=True)
class Call:
    """An authenticated request to one version of the CRM's API."""

    version: str
    grant: Grant
    request: Request


@dataclass
class TokenStore:
    """Access tokens by user (see Grant), within Zoho's limits. Thread-safe."""

    _config: SimulatorConfig
    _environment: Environment
    _lock: Lock = field(default_factory=Lock)
    _grants: dict[str, Grant] = field(default_factory=dict)
    _active: defaultdict[str, deque[str]] = field(default_factory=lambda: defaultdict(deque))
    _scopes: dict[str, frozenset[str]] = field(
        default_factory=dict
    )  # of grants that have scopes of their own
    _issued: defaultdict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def issue(self, refresh_token: str, scopes: frozenset[str] | None = None) -> Grant | None:
        """Return a new access token, or None if the grant has used up its tokens of this window.

        scopes: what this grant may do from now on; None: as before, and otherwise as the settings say.
        """
        config, now = self._config, self._environment.clock()
        with self._lock:
            issued, active = self._issued[refresh_token], self._active[refresh_token]
            while issued and issued[0] <= now - config.token_window_seconds:
                issued.popleft()
            if len(issued) >= config.tokens_per_window:
                return None
            issued.append(now)
            token = f"1000.{self._environment.token(16)}.{self._environment.token(16)}"
            if scopes is not None:
                self._scopes[refresh_token] = scopes
            names = self._scopes.get(refresh_token) or scope_set(config.scopes)
            grant = Grant(token, refresh_token, now + config.access_token_seconds, names)
            self._grants[token] = grant
            active.append(token)
            while len(active) > config.active_tokens:
                self._grants.pop(active.popleft(), None)
            return grant

    def find(self, access_token: str) -> Grant | None:
        """Return the grant of a valid access token, or None."""
        grant = self._grants.get(access_token)
        if not grant or grant.refresh_token not in {*self._config.refresh_tokens, self._config.soid}:
            return None
        return grant if grant.expires_at > self._environment.clock() else None

    def expire(self, access_token: str) -> None:
        """Invalidate an access token."""
        self._grants.pop(access_token, None)

    def expire_all(self) -> int:
        """Invalidate every access token and return their number."""
        with self._lock:
            count = len(self._grants)
            self._grants.clear()
            self._active.clear()
            return count


@dataclass(frozen=True)
class PageToken:
    """The meaning of a page token; `payload` belongs to the API that issued it."""

    user: str
    payload: Any
    expires_at: float


@dataclass
class PageTokens:
    """Issued page tokens. The caller checks user and expiry, because the two APIs report them differently."""

    _config: SimulatorConfig
    _environment: Environment
    _tokens: dict[str, PageToken] = field(default_factory=dict)

    def issue(self, user: str, payload: Any, start: float | None = None) -> tuple[str, PageToken]:
        """Return a new token for this user, and its meaning. Its lifetime starts at `start` (None: now)."""
        start = self._environment.clock() if start is None else start
        meaning = PageToken(user, payload, start + self._config.page_token_seconds)
        token = self._environment.token(48)
        self._tokens[token] = meaning
        return token, meaning

    def find(self, token: str) -> PageToken | None:
        """Return the meaning of a token, or None if it was never issued."""
        return self._tokens.get(token)

    def has_expired(self, token: PageToken) -> bool:
        """Return True if the token's lifetime is over."""
        return token.expires_at <= self._environment.clock()

    def expire_all(self) -> int:
        """Let every token issued so far expire now, and return their number."""
        now = self._environment.clock()
        issued = list(self._tokens.items())
        self._tokens.update((token, replace(meaning, expires_at=now)) for token, meaning in issued)
        return len(issued)
