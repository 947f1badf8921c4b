"""Which connections a container keeps. `crm_export.cached` decides how long."""

from dataclasses import replace

import pytest

from crm_export.connections.kept import KeptConnections
from crm_export.connections.model import Connection
from crm_export.errors import ConnectionNotFound


class Store:
    """A store in memory, which records what is read and marked."""

    def __init__(self):
        self.stored = {}
        self.reads = []
        self.marked = []

    def put(self, account_id, owner, refresh_token="refresh"):
        connection = Connection(account_id, owner, "https://api", "https://accounts", refresh_token)
        self.stored[account_id, owner] = connection
        return connection

    def get(self, account_id, owner):
        self.reads.append((account_id, owner))
        if (account_id, owner) not in self.stored:
            raise ConnectionNotFound(account_id, owner)
        return self.stored[account_id, owner]

    def mark(self, connection):
        self.marked.append(("one", connection))

    def mark_account(self, connection):
        self.marked.append(("account", connection))


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def kept(store):
    return KeptConnections(store, 60, lambda: 0.0)


def test_connection_is_kept_for_exactly_its_account_and_owner(store, kept):
    keys = [("a", "b"), ("a", "c"), ("b", "a"), ("c", "b"), ("a", "B")]
    connections = [store.put(*key, refresh_token=str(key)) for key in keys]
    for _ in range(2):
        assert [kept.get(*key) for key in keys] == connections
    assert store.reads == keys


def test_missing_connection_is_looked_up_each_time(store, kept):
    for _ in range(2):
        with pytest.raises(ConnectionNotFound):
            kept.get("a", "b")
    connection = store.put("a", "b")
    assert kept.get("a", "b") == connection
    assert len(store.reads) == 3


def test_connection_that_is_stored_now_is_read_and_kept(store, kept):
    first = store.put("a", "b")
    kept.get("a", "b")
    second = store.put("a", "b", "second")
    assert kept.get("a", "b") == first
    assert kept.stored_now(first) == kept.get("a", "b") == second
    assert len(store.reads) == 2


def test_deleted_connection_is_no_longer_kept_once_it_was_looked_up(store, kept):
    connection = store.put("a", "b")
    kept.get("a", "b")
    store.stored.clear()
    with pytest.raises(ConnectionNotFound):
        kept.stored_now(connection)
    with pytest.raises(ConnectionNotFound):
        kept.get("a", "b")


def test_marks_reach_the_store(store, kept):
    connection = store.put("a", "b")
    kept.mark(connection)
    kept.mark_account(replace(connection, owner="c"))
    assert store.marked == [("one", connection), ("account", replace(connection, owner="c"))]
