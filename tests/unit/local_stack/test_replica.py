"""Reads without ConsistentRead see items as they were half a second ago, and nothing else changes."""

from types import SimpleNamespace

import pytest
from moto.dynamodb.models.dynamo_type import DynamoType

from local.host.replica import Replica, may_be_stale, written


class Table:
    """As much of moto's table as the replica uses. Items are kept by hash key and range key."""

    hash_key_attr, range_key_attr = "pk", "sk"

    def __init__(self):
        self.items = {}

    def get_item(self, hash_key, range_key):
        return self.items.get(hash_key, {}).get(range_key)

    def seen(self):
        return {key.value: dict(item) for group in self.items.values() for key, item in group.items()}


@pytest.fixture
def world():
    table, clock = Table(), SimpleNamespace(now=100.0)
    replica = Replica({"t": table}.__getitem__, lag=0.5, clock=lambda: clock.now)

    def write(name, value):
        key = {"pk": {"S": "p"}, "sk": {"S": name}}
        replica.before_write("t", key)
        group = table.items.setdefault(DynamoType(key["pk"]), {})
        group.setdefault(DynamoType(key["sk"]), {})["value"] = value  # changed in place, as moto does

    return SimpleNamespace(table=table, clock=clock, replica=replica, write=write)


def test_replica_shows_neither_new_items_nor_new_values(world):
    world.write("old", 1)
    world.clock.now += 1
    world.write("old", 2)
    world.write("new", 1)
    with world.replica.behind():
        assert world.table.seen() == {"old": {"value": 1}}
    assert world.table.seen() == {"old": {"value": 2}, "new": {"value": 1}}


def test_replica_catches_up_after_its_lag(world):
    world.write("a", 1)
    world.clock.now += 0.4
    world.write("a", 2)
    world.clock.now += 0.2  # the first write is older than the lag, the second is not
    with world.replica.behind():
        assert world.table.seen() == {"a": {"value": 1}}
    world.clock.now += 0.4
    with world.replica.behind():
        assert world.table.seen() == {"a": {"value": 2}}


def test_items_are_back_after_a_read_that_fails(world):
    world.write("a", 1)
    with pytest.raises(KeyError), world.replica.behind():
        raise KeyError
    assert world.table.seen() == {"a": {"value": 1}}


@pytest.mark.parametrize(
    ("operation", "document", "stale"),
    [
        ("GetItem", {}, True),
        ("GetItem", {"ConsistentRead": True}, False),
        ("Query", {"ConsistentRead": False}, True),
        ("Query", {"IndexName": "open"}, True),
        ("Scan", {}, True),
        ("PutItem", {}, False),
        ("TransactGetItems", {}, False),
    ],
)
def test_only_reads_without_consistent_read_may_be_stale(operation, document, stale):
    assert may_be_stale(operation, document) is stale


@pytest.mark.parametrize(
    ("operation", "document", "keys"),
    [
        ("PutItem", {"TableName": "t", "Item": {"pk": 1}}, [("t", {"pk": 1})]),
        ("UpdateItem", {"TableName": "t", "Key": {"pk": 1}}, [("t", {"pk": 1})]),
        ("GetItem", {"TableName": "t", "Key": {"pk": 1}}, []),
        (
            "TransactWriteItems",
            {
                "TransactItems": [
                    {"Put": {"TableName": "t", "Item": {"pk": 1}}},
                    {"ConditionCheck": {"TableName": "t", "Key": {"pk": 2}}},
                    {"Update": {"TableName": "u", "Key": {"pk": 3}}},
                ]
            },
            [("t", {"pk": 1}), ("u", {"pk": 3})],
        ),
        (
            "BatchWriteItem",
            {
                "RequestItems": {
                    "t": [{"PutRequest": {"Item": {"pk": 1}}}, {"DeleteRequest": {"Key": {"pk": 2}}}]
                }
            },
            [("t", {"pk": 1}), ("t", {"pk": 2})],
        ),
    ],
)
def test_keys_of_all_writes_are_found(operation, document, keys):
    assert list(written(operation, document)) == keys
