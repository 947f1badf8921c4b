"""Which syncs a tick queues, in which order, and how they are spread."""

from collections import Counter
from contextlib import suppress
from datetime import timedelta

import pytest

from crm_export import deadline
from crm_export.errors import QueueUnavailable
from crm_export.sync.model import Sync
from crm_export.sync.run import run_due
from crm_export.sync.schedule import in_turn
from tests.unit.sync.conftest import NOON, World


def sync_of(account, module, due_at=NOON, **members):
    return Sync(account, "user-1", module, "https://x", NOON, due_at=due_at, **members)


def write(world, *syncs):
    for sync in syncs:
        assert world.table.write(sync)


def due_at_once(world, large, small, accounts):
    """Write syncs that are due at once: some of one account, and others of several accounts."""
    syncs = [sync_of("large", f"Module_{number}") for number in range(large)]
    syncs += [sync_of(f"small-{number % accounts}", f"Module_{number}") for number in range(small)]
    write(world, *syncs)
    return Counter((sync.account_id, sync.module) for sync in syncs)


def sent(world):
    return Counter((account, module) for account, module, _ in world.submit_queue.syncs)


@pytest.fixture(scope="module")
def thousand():
    """A thousand syncs after one tick: 800 of one account and 10 of each of 20 others."""
    world = World()
    expected = due_at_once(world, 800, 200, 20)
    assert world.tick() == 1000
    return world, expected


def test_a_thousand_syncs_that_are_due_at_once_are_queued_once_each(thousand):
    world, expected = thousand
    assert sent(world) == expected


def test_a_thousand_syncs_are_spread_over_four_minutes(thousand):
    delays = [delay for _, _, delay in thousand[0].submit_queue.syncs]
    assert delays == sorted(delays)
    assert max(Counter(delays).values()) <= 5
    assert (delays[0], delays[-1]) == (0, 239)


def test_accounts_take_turns(thousand):
    first = [account for account, _, _ in thousand[0].submit_queue.syncs[: 21 * 10]]
    assert Counter(first) == {"large": 10, **{f"small-{number}": 10 for number in range(20)}}


def test_sync_of_an_account_that_is_due_longest_comes_first():
    syncs = [sync_of("a", "A1"), sync_of("a", "A2"), sync_of("b", "B1"), sync_of("a", "A3")]
    assert [sync.module for sync in in_turn(syncs)] == ["A1", "B1", "A2", "A3"]


def test_tick_that_overlaps_another_one_queues_only_what_that_one_has_not_queued(world):
    expected = due_at_once(world, 30, 10, 5)

    def second_tick():
        if len(world.submit_queue.syncs) == 15:
            world.let_pass(seconds=1)
            world.tick()

    world.submit_queue.meanwhile = second_tick
    world.tick()
    assert sent(world) == expected


def test_next_tick_does_not_queue_again_what_is_in_the_queue(world):
    write(world, sync_of("a", "Contacts"))
    assert [world.tick(), world.tick()] == [1, 0]
    world.let_pass(minutes=19, seconds=59)
    assert world.tick() == 0


def test_lost_message_is_sent_again_after_twenty_minutes(world):
    write(world, sync_of("a", "Contacts"))
    world.tick()
    world.let_pass(minutes=20)
    assert world.tick() == 1


def test_sync_is_not_queued_before_it_is_due_or_while_it_is_disabled(world):
    write(world, sync_of("a", "Contacts", NOON + timedelta(seconds=1)), sync_of("a", "Leads", None))
    assert world.tick() == 0
    world.let_pass(seconds=1)
    assert world.tick() == 1


def test_tick_that_is_out_of_time_leaves_the_others_to_the_next_one(world):
    expected = due_at_once(world, 30, 10, 5)
    world.submit_queue.meanwhile = lambda: world.let_pass(seconds=5)
    with deadline.ends_in(210):
        world.tick()
    assert 20 <= sum(sent(world).values()) <= 22  # half of the time
    world.submit_queue.meanwhile = lambda: None
    world.tick()
    assert sent(world) == expected


def test_sync_whose_message_could_not_be_sent_is_queued_again(world):
    write(world, *(sync_of("a", f"Module_{number}") for number in range(3)))

    def fail():
        raise QueueUnavailable("SQS is down.")

    world.submit_queue.meanwhile = fail
    with suppress(QueueUnavailable):
        world.tick()
    world.submit_queue.syncs.clear()  # it was not sent
    world.submit_queue.meanwhile = lambda: None
    world.let_pass(minutes=5)
    assert world.tick() == 2
    world.let_pass(minutes=15)
    world.tick()
    assert set(sent(world)) == {("a", "Module_0"), ("a", "Module_1"), ("a", "Module_2")}


def test_each_sync_has_one_run_although_every_message_comes_twice(world):
    expected = due_at_once(world, 15, 10, 5)
    world.tick()
    messages = [(account, module) for account, module, _ in world.submit_queue.syncs]
    for account, module in [*messages, *reversed(messages)]:
        run_due(world.syncs, account, module)
    runs = [world.export(export_id) for export_id in world.exports.open_export_ids()]
    assert Counter((run.account_id, run.module) for run in runs) == expected
    for account, module in messages:
        sync = world.table.get(account, module)
        assert (sync.due_at, sync.blocked) == (NOON + timedelta(hours=1), None)
