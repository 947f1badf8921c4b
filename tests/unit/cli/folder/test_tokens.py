"""SqliteTokenCache under the tests of the token broker, and SqliteDownloadBudget."""

from datetime import UTC, datetime, timedelta

import pytest

from crm_export.connections.broker import SharedToken
from crm_export_cli.folder.locks import Processes
from crm_export_cli.folder.tokens import SqliteDownloadBudget, SqliteTokenCache
from tests.unit.connections.test_broker import *  # noqa: F403
from tests.unit.connections.test_broker import World

del test_cached_token_expires_from_the_table_a_day_after_its_lease  # noqa: F821 (of DynamoDB's items)
BEGAN = datetime(2026, 11, 22, 13, tzinfo=UTC)


@pytest.fixture
def world(database, processes):
    world = World()
    world.cache = SqliteTokenCache(database, processes)
    return world


def test_lease_of_a_dead_process_is_taken_over_before_it_expires(database, processes, state):
    cache = SqliteTokenCache(database, processes)
    with Processes(state / "processes") as other:
        assert SqliteTokenCache(database, other).take_lease("grant", "first", 1000, 1020, None)
        assert not cache.take_lease("grant", "second", 1001, 1021, None)
    assert cache.take_lease("grant", "second", 1001, 1021, None)


def test_token_is_forgotten_a_day_after_its_last_use(database, processes):
    cache = SqliteTokenCache(database, processes)
    assert cache.take_lease("grant", "first", 1000, 1020, None)
    cache.put("grant", "first", "token", 4000)
    assert cache.take_lease("another", "first", 4000 + 86_400, 90_500, None)
    assert cache.read("grant").token == "token"
    assert cache.take_lease("third", "first", 4001 + 86_400, 90_500, None)
    assert cache.read("grant") == SharedToken()


def test_budget_allows_no_more_than_its_downloads_in_any_minute(database):
    budget, now, waits = SqliteDownloadBudget(database, 2), BEGAN, []
    for seconds in (0, 10, 10, 39, 1, 0, 10):
        now += timedelta(seconds=seconds)
        waits.append(budget.take("acct-1", now))
    assert waits == [0, 0, 40, 1, 0, 10, 0]
    assert budget.take("acct-2", now) == 0
