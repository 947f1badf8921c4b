"""Keeps connections in a container's memory, because most requests find the same ones."""

from collections.abc import Callable

from crm_export.cached import CachedByKey
from crm_export.connections.model import Connection, ConnectionStore


class KeptConnections(ConnectionStore):
    """A store whose connections are kept for `seconds` by account and owner; 0 keeps none."""

    def __init__(self, store: ConnectionStore, seconds: float, clock: Callable[[], float]) -> None:
        self._store = store
        self._kept = CachedByKey[tuple[str, str], Connection](lambda key: store.get(*key), clock, seconds)

    def get(self, account_id: str, owner: str) -> Connection:
        return self._kept.get((account_id, owner))

    def stored_now(self, connection: Connection) -> Connection:
        return self._kept.again((connection.account_id, connection.owner))

    def mark(self, connection: Connection) -> None:
        self._store.mark(connection)

    def mark_account(self, connection: Connection) -> None:
        self._store.mark_account(connection)
