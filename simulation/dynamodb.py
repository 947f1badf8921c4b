"""A boto3 client of DynamoDB with one table in memory: what crm_export.aws.table calls.

A read that does not ask for consistency sees every item as it was before its last write.

tests/unit/exports/test_table_contract.py checks its contract, and tests/functional that of moto.
"""

from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from crm_export.aws.table import size_of
from simulation.calls import Calls, refusal
from simulation.expressions import BadExpression, Item, holds, names_in, updated

TABLE = "exports"
_SORT_KEYS = {None: "sk", "open": "requested_at", "by-account": "requested_at", "due": "due_at"}
_INDEX_LAG = 2.0
_TAKES = 0.01
_LARGEST_ITEM = 400 * 1024  # bytes
_FAULTS = {
    "twice": "table write repeated, its response lost",
    "lost": "table write done, its response lost for good",
    "refused": "table throttled",
}

type Key = tuple[str, str]


class ConditionFailed(ClientError):
    """`client.exceptions.ConditionalCheckFailedException`."""

    def __init__(self) -> None:
        response = refusal("ConditionalCheckFailedException", "UpdateItem").response
        super().__init__(response, "UpdateItem")


class _Exceptions:
    ConditionalCheckFailedException = ConditionFailed


class TableData:
    """The items. changed: called with the key, the old and the new item after every write."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.items: dict[Key, Item] = {}
        self.changed: Callable[[Key, Item | None, Item], None] = lambda key, old, new: None
        self._now = now
        self._before: dict[Key, tuple[float, Item | None]] = {}  # since when an item is another

    def write(self, items: dict[Key, Item]) -> None:
        """Write items at one moment."""
        olds = {key: self.items.get(key) for key in items}
        for key, item in items.items():
            self._before[key] = (self._now(), olds[key])
            self.items[key] = {
                # Over the wire, an enum's member is its text.
                name: {"S": str(value["S"])} if "S" in value else value
                for name, value in item.items()
            }
        for key in items:
            self.changed(key, olds[key], self.items[key])

    def stale(self) -> dict[Key, Item]:
        """The items as an eventually consistent read may show them: before the last write of each."""
        return {key: before for key, (_, before) in self._before.items() if before is not None}

    def seen_by_index(self) -> Iterator[tuple[Key, Item]]:
        """The items as an index that lags behind shows them."""
        for key, item in self.items.items():
            since, before = self._before[key]
            shown = before if since > self._now() - _INDEX_LAG else item
            if shown is not None:
                yield key, shown


class DynamoDb:
    """The client. `calls` decides when and whether a call happens; without, it does at once."""

    exceptions = _Exceptions

    def __init__(self, table: TableData, calls: Calls | None = None) -> None:
        self._table = table
        self._calls = calls
        self._done: set[object] = set()

    def get_item(
        self, *, TableName: str, Key: Item, ConsistentRead: bool = False, ProjectionExpression: str = ""
    ) -> Item:
        """See boto3."""
        assert TableName == TABLE

        def read() -> Item:
            items = self._table.items if ConsistentRead else self._table.stale()
            item = items.get(_key(Key))
            if item and ProjectionExpression:
                item = {name: value for name, value in item.items() if name == ProjectionExpression}
            return {"Item": dict(item)} if item else {}

        return self._read(f"dynamodb get {_shown(Key)}", read)

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> Item:
        """See boto3. Reads at one moment; DynamoDB does not promise that, and nothing relies on it."""
        ((table, request),) = RequestItems.items()
        assert table == TABLE
        assert request["ConsistentRead"]
        keys = [_key(key) for key in request["Keys"]]
        aliases = request.get("ExpressionAttributeNames", {})
        only = [
            aliases.get(name, name) for name in request.get("ProjectionExpression", "").split(", ") if name
        ]

        def read() -> Item:
            found = [self._table.items[key] for key in keys if key in self._table.items]
            shown = [{name: item[name] for name in item if name in (only or item)} for item in found]
            return {"Responses": {TABLE: shown[::-1]}, "UnprocessedKeys": {}}  # in no certain order

        return self._read(f"dynamodb batch get {', '.join(map('/'.join, keys))}", read)

    def update_item(self, **request: Any) -> Item:
        """See boto3."""
        return self._write_one("Update", request)

    def put_item(self, **request: Any) -> Item:
        """See boto3."""
        return self._write_one("Put", request)

    def delete_item(self, **request: Any) -> Item:
        """See boto3."""

        def write(again: bool) -> Item:
            key = _key(request["Key"])
            _all_used(request, request["ConditionExpression"])
            if not holds(request["ConditionExpression"], self._table.items.get(key, {}), *_given(request)):
                raise ConditionFailed
            self._table.items.pop(key, None)
            return {}

        return self._write(f"dynamodb delete {_shown(request['Key'])}", write)

    def _write_one(self, kind: str, request: Item) -> Item:
        def write(again: bool) -> Item:
            key, new = self._after(kind, request)
            if new is None:
                raise ConditionFailed
            self._table.write({key: new})
            return {"Attributes": dict(self._table.items[key])} if returned == "ALL_NEW" else {}

        returned = request.get("ReturnValues", "NONE")
        shown = _shown(request.get("Key") or request["Item"])
        return self._write(f"dynamodb {kind} {shown} {request.get('UpdateExpression', '')[:60]}", write)

    def transact_write_items(self, *, TransactItems: list[Any]) -> Item:
        """See boto3, which gives each call a token: done twice, it is done once."""
        token = object()

        def write(again: bool) -> Item:
            if token in self._done:
                return {}
            news = dict(self._after(*action) for member in TransactItems for action in member.items())
            if None in news.values():
                reasons = [{"Code": "None" if new else "ConditionalCheckFailed"} for new in news.values()]
                raise refusal(
                    "TransactionCanceledException", "TransactWriteItems", CancellationReasons=reasons
                )
            self._done.add(token)
            self._table.write({key: new for key, new in news.items() if new})
            return {}

        return self._write(f"dynamodb transact {len(TransactItems)} writes", write)

    def query(self, **request: Any) -> Item:
        """See boto3. One page, as long as Limit allows."""
        index = request.get("IndexName")
        return self._read(
            f"dynamodb query {index or request['ExpressionAttributeValues']}", lambda: self._found(request)
        )

    def get_paginator(self, operation: str) -> "_Paginator":
        """See boto3."""
        assert operation == "query"
        return _Paginator(self)

    def _found(self, request: Item) -> Item:
        assert request["TableName"] == TABLE
        index = request.get("IndexName")
        only = request.get("FilterExpression")
        _all_used(request, request["KeyConditionExpression"], only or "")
        assert not (index and request.get("ConsistentRead")), "DynamoDB refuses it for a global index"
        lagging = index and self._calls and self._calls.faults.happens("index behind the table")
        items = self._table.items if index or request.get("ConsistentRead") else self._table.stale()
        source = self._table.seen_by_index() if lagging else items.items()
        if not index and request["KeyConditionExpression"].startswith("pk = :pk"):
            partition = request["ExpressionAttributeValues"][":pk"]["S"]
            source = ((key, item) for key, item in source if key[0] == partition)
        sort_key = _SORT_KEYS[index]
        found = [
            (item[sort_key]["S"], key, dict(item))
            for key, item in source
            if sort_key in item and holds(request["KeyConditionExpression"], item, *_given(request))
            if holds(only, item, *_given(request))
        ]
        found.sort(key=lambda row: row[:2], reverse=not request.get("ScanIndexForward", True))
        if start := request.get("ExclusiveStartKey"):
            last = (start[sort_key]["S"], _key(start))
            backwards = not request.get("ScanIndexForward", True)
            found = [row for row in found if (row[:2] < last if backwards else row[:2] > last)]
        limit = request.get("Limit", len(found))
        page: Item = {"Items": [item for _, _, item in found[:limit]]}
        if limit and len(found) >= limit and "Limit" in request:
            names = {"pk", "sk", sort_key, *({"account_id"} if index == "by-account" else ())}
            page["LastEvaluatedKey"] = {name: found[limit - 1][2][name] for name in names}
        return page

    def _after(self, kind: str, request: Item) -> tuple[Key, Item | None]:
        """Return the key of a Put or Update and the item after it, or None if its condition does not hold."""
        assert request["TableName"] == TABLE
        condition, update = request.get("ConditionExpression"), request.get("UpdateExpression")
        _all_used(request, condition or "", update or "")
        key = _key(request["Item" if kind == "Put" else "Key"])
        item = self._table.items.get(key, {})
        if not holds(condition, item, *_given(request)):
            return key, None
        if kind == "Put":
            new = request["Item"]
        else:
            new = updated(request["UpdateExpression"], item or dict(request["Key"]), *_given(request))
        if size_of(new) > _LARGEST_ITEM:
            raise refusal("ValidationException", kind)
        return key, new

    def _read(self, what: str, read: Callable[[], Item]) -> Item:
        if self._calls is None:
            return read()
        return self._calls.aws(what, lambda again: read(), seconds=_TAKES, refused="table unreachable")

    def _write(self, what: str, write: Callable[[bool], Item]) -> Item:
        if self._calls is None:
            return write(False)
        return self._calls.aws(what, write, seconds=_TAKES, **_FAULTS)


class _Paginator:
    def __init__(self, client: DynamoDb) -> None:
        self._client = client

    def paginate(self, **request: Any) -> Iterator[Item]:
        """All in one page."""
        yield self._client.query(**request)


def _key(key: Item) -> Key:
    return key["pk"]["S"], key["sk"]["S"]


def _given(request: Item) -> tuple[dict[str, str], Item]:
    return request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {})


def _shown(key: Item) -> str:
    return "/".join(_key(key))


def _all_used(request: Item, *expressions: str) -> None:
    """DynamoDB refuses names and values that no expression uses, and uses of those not given."""
    used = names_in(" ".join(expressions))
    names, values = _given(request)
    given = {*names, *values}
    if used != given:
        raise BadExpression(f"{expressions}: used and given differ in {sorted(used ^ given)}")
