"""The access-token broker: one refresh for all containers.

Zoho gives at most 10 access tokens per refresh token in 10 minutes, so containers share them:
memory, then the table, then one refresh under a lease, with "not before" remembered when Zoho throttles.
https://www.zoho.com/crm/developer/docs/api/v8/token-validity.html
"""

import hashlib
import random
import time
import uuid
from collections.abc import Callable

from crm_export import deadline
from crm_export.aws.token_cache import SharedToken, TokenCache
from crm_export.connections.model import Connection, ConnectionStore
from crm_export.errors import (
    ExportError,
    TokenInvalidated,
    ZohoClientRejected,
    ZohoThrottled,
    ZohoUnavailable,
)
from crm_export.telemetry import count
from crm_export.zoho.oauth import AccessToken

# A token is not used in its last minute: it might expire on its way.
SKEW_SECONDS = 60.0
_LEASE_SECONDS = 20.0  # longer than a refresh can take
_LONGEST_WAIT = 15.0
_POLL_SECONDS = (0.05, 0.25)

type Refresh = Callable[[Connection], AccessToken]


def cache_key(connection: Connection) -> str:
    """Names a grant without telling it: a new refresh token has a new key."""
    text = f"{connection.accounts_server}\n{connection.refresh_token}"
    return hashlib.sha256(text.encode()).hexdigest()


class TokenBroker:
    """TokenSource (zoho.client) of one connection, over a cache shared by all containers."""

    def __init__(
        self,
        connection: Connection,
        store: ConnectionStore,
        refresh: Refresh,
        cache: TokenCache,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._store = store
        self._refresh = refresh
        self._cache = cache
        self._clock = clock
        self._key = cache_key(connection)
        self._mine = SharedToken()

    def token(self) -> str:
        """See TokenSource. Raises ZohoThrottled while Zoho gives no tokens."""
        if self._mine.token and self._clock() < self._mine.usable_until:
            return self._mine.token
        give_up_at = self._clock() + min(_LONGEST_WAIT, deadline.remaining() - 1)
        owner = uuid.uuid4().hex
        while True:
            shared, now = self._cache.read(self._key), self._clock()
            if shared.token and now < shared.usable_until:
                self._mine = shared
                return shared.token
            if now < shared.not_before:
                raise _throttled(int(shared.not_before - now) + 1)
            if self._cache.take_lease(self._key, owner, now, now + _LEASE_SECONDS):
                return self._refresh_as(owner)
            if now >= give_up_at:
                raise ZohoUnavailable("Another request is refreshing the access token and takes too long.")
            time.sleep(random.uniform(*_POLL_SECONDS))  # noqa: S311 # nosec B311 # spreads the load

    def discard(self, token: str) -> None:
        """See TokenSource."""
        if self._mine.token == token:
            self._mine = SharedToken()
        self._cache.discard(self._key, token)

    def invalidate(self) -> None:
        """See TokenSource."""
        self._mine = SharedToken()
        self._store.invalidate(self._connection.account_id)

    def _refresh_as(self, owner: str) -> str:
        asked_at = self._clock()
        try:
            fresh = self._refresh(self._connection)
        except ExportError as error:
            wait = error.retry_after or 0 if isinstance(error, ZohoThrottled) else 0
            self._cache.give_up(self._key, owner, self._clock() + wait if wait else 0)
            if isinstance(error, TokenInvalidated):
                self.invalidate()
            _note(error)
            raise
        usable_until = asked_at + fresh.expires_in - SKEW_SECONDS
        self._cache.put(self._key, owner, fresh.value, usable_until)
        self._mine = SharedToken(fresh.value, usable_until)
        return fresh.value


class FreshTokens:
    """TokenSource of `AccessTokenCache: off`, the seed's behaviour: every call asks for a fresh token."""

    def __init__(self, connection: Connection, store: ConnectionStore, refresh: Refresh) -> None:
        self._connection = connection
        self._store = store
        self._refresh = refresh

    def token(self) -> str:
        """See TokenSource. A dead refresh token marks the account's connections."""
        try:
            return self._refresh(self._connection).value
        except ExportError as error:
            if isinstance(error, TokenInvalidated):
                self.invalidate()
            _note(error)
            raise

    def discard(self, token: str) -> None:
        """Nothing is kept."""

    def invalidate(self) -> None:
        """See TokenSource."""
        self._store.invalidate(self._connection.account_id)


def _note(error: ExportError) -> None:
    """Count what somebody should hear of: our own configuration, and a limit of Zoho."""
    if isinstance(error, ZohoClientRejected):
        count("ZohoClientRejected")
    elif isinstance(error, ZohoThrottled):
        count("TokensThrottled")


def _throttled(seconds: int) -> ZohoThrottled:
    return ZohoThrottled(
        f"Zoho gives no more access tokens for this connection for now; come back in {seconds} seconds.",
        retry_after=seconds,
    )
