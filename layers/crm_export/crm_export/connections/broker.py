"""Provides access tokens: one refresh for all containers, because Zoho issues few.

Zoho issues at most 10 access tokens per refresh token in 10 minutes, so containers share them: first from
memory, then from the cache, then by one refresh under a lease. When Zoho throttles, the cache holds the time
until which no container asks again.
https://www.zoho.com/crm/developer/docs/api/v8/token-validity.html
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from crm_export import deadline
from crm_export.connections.model import Connection, ConnectionStore
from crm_export.errors import (
    ExportError,
    TokenInvalidated,
    ZohoClientRejected,
    ZohoThrottled,
    ZohoUnavailable,
)
from crm_export.system import MACHINE, System
from crm_export.telemetry import count
from crm_export.zoho.client import TokenSource
from crm_export.zoho.oauth import AccessToken, throttled

# A token is not used in its last minute: it might expire on the way.
SKEW_SECONDS = 60.0
_LEASE_SECONDS = 20.0  # longer than a refresh can take
_LONGEST_WAIT = 15.0
_SPARE_SECONDS = 1.0  # of the function's time, for the response
_POLL_SECONDS = (0.05, 0.25)

type Refresh = Callable[[Connection], AccessToken]


@dataclass(frozen=True)
class SharedToken:
    """What containers share about one grant. Times are seconds since the epoch."""

    token: str | None = None
    usable_until: float = 0.0
    not_before: float = 0.0


class TokenCache(Protocol):
    """Where containers share access tokens. Every change is one conditional write."""

    def read(self, key: str) -> SharedToken:
        """Return the shared token; an empty SharedToken for an unknown key."""

    def take_lease(self, key: str, owner: str, now: float, until: float) -> bool:
        """Take the right to refresh. False if another owner has it, a token is usable, or Zoho throttles."""

    def put(self, key: str, owner: str, token: str, usable_until: float) -> None:
        """Store a new token and end the owner's lease."""

    def give_up(self, key: str, owner: str, not_before: float) -> None:
        """End the owner's lease without a token; no refresh starts before `not_before` (0: at any time)."""

    def discard(self, key: str, token: str) -> None:
        """Remove this token, but not a newer one."""


def cache_key(connection: Connection) -> str:
    """Return a hash that identifies the grant without revealing it; a new refresh token has a new key."""
    text = f"{connection.accounts_server}\n{connection.refresh_token}"
    return hashlib.sha256(text.encode()).hexdigest()


class FreshTokens(TokenSource):
    """The tokens of one connection with `AccessTokenCache: off`: a new one for each call."""

    def __init__(self, connection: Connection, store: ConnectionStore, refresh: Refresh) -> None:
        self._connection = connection
        self._store = store
        self._refresh = refresh

    def token(self) -> str:
        """Request a token. If the refresh token is revoked, the account's connections are marked."""
        try:
            return self._refresh(self._connection).value
        except ExportError as error:
            self._note_failure(error)
            raise

    def discard(self, token: str) -> None:
        """Do nothing: no token is kept."""

    def invalidate(self) -> None:
        self._store.invalidate(self._connection.account_id)

    def _note_failure(self, error: ExportError) -> None:
        """Mark a revoked grant; count what alarms watch: our own configuration, and Zoho's limit."""
        if isinstance(error, TokenInvalidated):
            self.invalidate()
        elif isinstance(error, ZohoClientRejected):
            count("ZohoClientRejected")
        elif isinstance(error, ZohoThrottled):
            count("TokensThrottled")


class TokenBroker(FreshTokens):
    """The tokens of one connection over a cache that all containers share."""

    def __init__(
        self,
        connection: Connection,
        store: ConnectionStore,
        refresh: Refresh,
        cache: TokenCache,
        system: System = MACHINE,
    ) -> None:
        super().__init__(connection, store, refresh)
        self._cache = cache
        self._system = system
        self._clock = system.epoch
        self._key = cache_key(connection)
        self._in_memory = SharedToken()

    def token(self) -> str:
        """Return a shared token. Raises ZohoThrottled while Zoho issues no tokens."""
        if self._in_memory.token and self._clock() < self._in_memory.usable_until:
            return self._in_memory.token
        give_up_at = self._clock() + min(_LONGEST_WAIT, deadline.remaining() - _SPARE_SECONDS)
        owner = self._system.random_hex(16)
        while True:
            shared, now = self._cache.read(self._key), self._clock()
            if shared.token and now < shared.usable_until:
                self._in_memory = shared
                return shared.token
            if now < shared.not_before:
                raise throttled(int(shared.not_before - now) + 1)
            if self._cache.take_lease(self._key, owner, now, now + _LEASE_SECONDS):
                return self._refresh_as(owner)
            if now >= give_up_at:
                raise ZohoUnavailable("Another request is refreshing the access token and takes too long.")
            self._system.sleep(self._system.uniform(*_POLL_SECONDS))

    def discard(self, token: str) -> None:
        if self._in_memory.token == token:
            self._in_memory = SharedToken()
        self._cache.discard(self._key, token)

    def invalidate(self) -> None:
        self._in_memory = SharedToken()
        super().invalidate()

    def _refresh_as(self, owner: str) -> str:
        asked_at = self._clock()
        try:
            fresh = self._refresh(self._connection)
        except ExportError as error:
            wait = error.retry_after if isinstance(error, ZohoThrottled) else None
            self._cache.give_up(self._key, owner, self._clock() + wait if wait else 0)
            self._note_failure(error)
            raise
        usable_until = asked_at + fresh.expires_in - SKEW_SECONDS
        self._cache.put(self._key, owner, fresh.value, usable_until)
        self._in_memory = SharedToken(fresh.value, usable_until)
        return fresh.value
