"""Access tokens of one connection, kept in this container's memory until shortly before they expire."""

import time
from collections.abc import Callable

from crm_export.connections.model import Connection, ConnectionStore
from crm_export.errors import TokenInvalidated
from crm_export.zoho.oauth import AccessToken

# A token is not used in its last minute: it might expire on its way.
_SKEW_SECONDS = 60.0


class MemoryTokens:
    """TokenSource (zoho.client) over a refresh function."""

    def __init__(
        self,
        connection: Connection,
        store: ConnectionStore,
        refresh: Callable[[Connection], AccessToken],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._store = store
        self._refresh = refresh
        self._clock = clock
        self._token: str | None = None
        self._usable_until = 0.0

    def token(self) -> str:
        """See TokenSource. A dead refresh token marks the account's connections."""
        if self._token is None or self._clock() >= self._usable_until:
            asked_at = self._clock()
            try:
                fresh = self._refresh(self._connection)
            except TokenInvalidated:
                self.invalidate()
                raise
            self._token = fresh.value
            self._usable_until = asked_at + fresh.expires_in - _SKEW_SECONDS
        return self._token

    def discard(self, token: str) -> None:
        """See TokenSource."""
        if self._token == token:
            self._token = None

    def invalidate(self) -> None:
        """See TokenSource."""
        self._token = None
        self._store.invalidate(self._connection.account_id)
