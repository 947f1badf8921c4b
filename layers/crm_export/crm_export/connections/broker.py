"""Provides access tokens: one refresh for all containers, because Zoho issues few.

Zoho issues at most 10 access tokens per refresh token in 10 minutes, so containers share them: first from
memory, then from the cache, then by one refresh under a lease. When Zoho throttles, the cache holds the time
until which no container asks again.
https://www.zoho.com/crm/developer/docs/api/v8/token-validity.html
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from crm_export import deadline
from crm_export.cached import Cached
from crm_export.connections.model import Connection, ConnectionStore
from crm_export.errors import (
    ConnectionMalformed,
    ConnectionReplaced,
    ExportError,
    TokenInvalidated,
    WrongDataCentre,
    ZohoClientRejected,
    ZohoThrottled,
    ZohoUnavailable,
)
from crm_export.system import MACHINE, System
from crm_export.telemetry import count
from crm_export.zoho.catalog import other_api_domain
from crm_export.zoho.client import TokenSource
from crm_export.zoho.grants import ClientCredentials, RefreshToken, ZohoClientCredentials
from crm_export.zoho.oauth import AccessToken, request_access_token, request_with_current_client, throttled

if TYPE_CHECKING:
    import requests

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

    def take_lease(self, key: str, owner: str, now: float, until: float, rejected: str | None) -> bool:
        """Take the right to refresh.

        False if another owner has it, if a token is usable that is not the `rejected` one, or while Zoho
        throttles.
        """

    def put(self, key: str, owner: str, token: str, usable_until: float) -> None:
        """Store a new token and end the owner's lease."""

    def give_up(self, key: str, owner: str, not_before: float) -> None:
        """End the owner's lease without a token; no refresh starts before `not_before` (0: at any time)."""


def cache_key(connection: Connection) -> str:
    """Return a hash that identifies the grant without revealing it.

    The key is of the grant, never of its account: the owners of an account are different users of Zoho, and a
    new grant must not find the token of an earlier one.
    """
    match connection.grant:
        case RefreshToken(value):
            parts = [value]
        case ClientCredentials(soid, scope):
            own = connection.client
            parts = [soid, scope, *((own.client_id, own.client_secret) if own else ())]
    text = "\n".join((connection.accounts_server, *parts))
    return hashlib.sha256(text.encode()).hexdigest()


def refresher(
    session: "requests.Session", our_client: Cached[ZohoClientCredentials] | None, system: System = MACHINE
) -> Refresh:
    """Return the function that requests a connection's access tokens at Zoho.

    our_client: for connections that store no client of their own; None: each must have one. Raises as
    `request_access_token`, and ConnectionMalformed for a connection without a client.
    """

    def refresh(connection: Connection) -> AccessToken:
        accounts, grant = connection.accounts_server, connection.grant
        if connection.client is not None:
            try:
                return request_access_token(session, accounts, connection.client, grant, system)
            except ZohoClientRejected as error:  # the client is part of this connection, not of the stack
                raise TokenInvalidated(
                    f"Zoho's token endpoint ({accounts}) rejected the connection's own client id or secret "
                    f"({error.zoho_code}).",
                    zoho_code=error.zoho_code,
                ) from error
        if our_client is None:
            raise ConnectionMalformed(
                f"The connection of {connection.account_id}/{connection.owner} has no token.client_id."
            )
        return request_with_current_client(session, accounts, our_client, grant, system)

    return refresh


class FreshTokens(TokenSource):
    """The tokens of one connection with `AccessTokenCache: off`: a new one for each call."""

    def __init__(self, connection: Connection, store: ConnectionStore, refresh: Refresh) -> None:
        self._connection = connection
        self._store = store
        self._refresh = refresh
        self._own: AccessToken | None = None  # the last token that this process requested

    def token(self, rejected: str | None = None) -> str:
        if rejected is not None:
            self._require_current()
        try:
            return self._request().value
        except ExportError as error:
            self._note_failure(error)
            raise

    def is_own(self, token: str) -> bool:
        return self._own is not None and self._own.value == token

    def reject_grant(self, token: str) -> ExportError:
        connection = self._connection
        named = self._own.api_domain if self._own is not None and self.is_own(token) else None
        other = other_api_domain(named, connection.api_domain)
        if other is not None:
            return WrongDataCentre(
                f"{connection.api_domain} rejects the access tokens of {connection.account_id}/"
                f"{connection.owner}: {connection.accounts_server} issued them for {other}, which the "
                "connection's api_domain does not name."
            )
        self._store.mark_account(connection)
        return TokenInvalidated(f"{connection.api_domain} rejects its new access tokens.")

    def _request(self) -> AccessToken:
        self._own = self._refresh(self._connection)
        return self._own

    def _require_current(self) -> None:
        """Raise ConnectionReplaced if another grant was stored since the connection was read."""
        connection = self._connection
        if self._store.stored_now(connection) != connection:
            raise ConnectionReplaced(
                f"The connection of {connection.account_id}/{connection.owner} was stored again."
            )

    def _note_failure(self, error: ExportError) -> None:
        """Mark a refused grant; count what alarms watch: our own configuration, and Zoho's limit."""
        if isinstance(error, TokenInvalidated | ZohoClientRejected):  # another accounts server may accept us
            self._require_current()
        if isinstance(error, TokenInvalidated):
            self._store.mark(self._connection)
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

    def token(self, rejected: str | None = None) -> str:
        """Return a shared token. Raises ZohoThrottled while Zoho issues no tokens.

        A rejected token stays in the cache until another replaces it: while no token can be had, it may be a
        gateway that is wrong and not the token.
        """
        if self._is_usable(self._in_memory, rejected):
            return str(self._in_memory.token)
        if rejected is not None:
            self._require_current()
        give_up_at = self._clock() + min(_LONGEST_WAIT, deadline.remaining() - _SPARE_SECONDS)
        owner = self._system.random_hex(16)
        while True:
            shared, now = self._cache.read(self._key), self._clock()
            if self._is_usable(shared, rejected):
                self._in_memory = shared
                return str(shared.token)
            if now < shared.not_before:
                raise throttled(int(shared.not_before - now) + 1)
            if self._cache.take_lease(self._key, owner, now, now + _LEASE_SECONDS, rejected):
                return self._refresh_as(owner)
            if now >= give_up_at:
                raise ZohoUnavailable("Another request is refreshing the access token and takes too long.")
            self._system.sleep(self._system.uniform(*_POLL_SECONDS))

    def _is_usable(self, shared: SharedToken, rejected: str | None) -> bool:
        return shared.token not in {None, rejected} and self._clock() < shared.usable_until

    def _refresh_as(self, owner: str) -> str:
        asked_at = self._clock()
        try:
            fresh = self._request()
        except ExportError as error:
            wait = error.retry_after if isinstance(error, ZohoThrottled) else None
            self._cache.give_up(self._key, owner, self._clock() + wait if wait else 0)
            self._note_failure(error)
            raise
        usable_until = asked_at + fresh.expires_in - SKEW_SECONDS
        self._cache.put(self._key, owner, fresh.value, usable_until)
        self._in_memory = SharedToken(fresh.value, usable_until)
        return fresh.value
