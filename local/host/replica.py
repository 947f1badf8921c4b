"""DynamoDB's eventually consistent reads, in moto's process.

moto always returns what was written last. In DynamoDB, a read without ConsistentRead and every read of an
index may return older items for a moment. Here each does: code that relies on the latest must fail in a test.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.ReadConsistency.html
"""

import copy
import io
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_WRITES = ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem")
_READS = ("GetItem", "Query", "Scan")

type Document = Mapping[str, Any]


def may_be_stale(operation: str, document: Document) -> bool:
    """Return whether DynamoDB may answer this read from a replica. Our code sends no batch reads."""
    return operation in _READS and not document.get("ConsistentRead", False)


def written(operation: str, document: Document) -> Iterator[tuple[str, Document]]:
    """Yield the table and the key (or the whole item) of each write in a request."""
    match operation:
        case "PutItem" | "UpdateItem" | "DeleteItem":
            yield document["TableName"], document.get("Item") or document["Key"]
        case "TransactWriteItems":
            for action in document["TransactItems"]:
                for kind, write in action.items():
                    if kind != "ConditionCheck":
                        yield write["TableName"], write.get("Item") or write["Key"]
        case "BatchWriteItem":
            for table, writes in document["RequestItems"].items():
                for write in writes:
                    put = write.get("PutRequest", {}).get("Item")
                    yield table, put or write["DeleteRequest"]["Key"]


@dataclass(frozen=True)
class _Written:
    """An item as it was before a write: its table and place, and moto's object, or None if there was none."""

    moment: float
    table: str
    place: tuple[Any, Any]
    item: Any


class Replica:
    """What eventually consistent reads see: the items of `lag` seconds ago. Its calls must not overlap."""

    def __init__(
        self,
        find_table: Callable[[str], Any],
        lag: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`find_table` returns one of moto's tables, or raises if there is none of that name."""
        self._find_table, self._lag, self._clock = find_table, lag, clock
        self._log: deque[_Written] = deque()

    def before_write(self, name: str, key: Document) -> None:
        """Remember an item before it is written."""
        table = self._find_table(name)
        place = _place(table, key)
        self._log.append(_Written(self._clock(), name, place, copy.deepcopy(_get(table, place))))

    @contextmanager
    def behind(self) -> Iterator[None]:
        """Show the items as they were `lag` seconds ago, until the end of the context."""
        while self._log and self._log[0].moment <= self._clock() - self._lag:
            self._log.popleft()
        newest: list[tuple[Any, tuple[Any, Any], Any]] = []
        for write in reversed(self._log):
            table = self._find_table(write.table)
            newest.append((table, write.place, _get(table, write.place)))
            _set(table, write.place, write.item)
        try:
            yield
        finally:
            for table, place, item in reversed(newest):
                _set(table, place, item)


def lagging(app: "WSGIApplication", replica: Replica) -> "WSGIApplication":
    """Let DynamoDB's reads without ConsistentRead see `replica`. Requests must come one at a time."""

    def serve(environ: "WSGIEnvironment", start_response: "StartResponse") -> "list[bytes]":
        service, _, operation = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")
        if not service.startswith("DynamoDB_") or operation not in (*_WRITES, *_READS):
            return list(app(environ, start_response))
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        document = json.loads(body)
        try:
            for name, key in written(operation, document):
                replica.before_write(name, key)
        except Exception:  # noqa: S110 # nosec B110 # moto refuses the request itself, with DynamoDB's error
            pass
        if not may_be_stale(operation, document):
            return list(app(environ, start_response))
        with replica.behind():
            return list(app(environ, start_response))

    return serve


def find_table(account: str, region: str) -> Callable[[str], Any]:
    """Return a function that finds moto's tables by name."""

    def find(name: str) -> Any:
        from moto.dynamodb.models import dynamodb_backends  # noqa: PLC0415 - moto reads its settings at import

        return dynamodb_backends[account][region].get_table(name.rpartition("/")[2])

    return find


def _place(table: Any, key: Document) -> tuple[Any, Any]:
    from moto.dynamodb.models.dynamo_type import DynamoType  # noqa: PLC0415 - as above

    attributes = (table.hash_key_attr, table.range_key_attr)
    hash_key, range_key = (DynamoType(key[name]) if name else None for name in attributes)
    return hash_key, range_key


def _get(table: Any, place: tuple[Any, Any]) -> Any:
    return table.get_item(*place)


def _set(table: Any, place: tuple[Any, Any], item: Any) -> None:
    """Store an item, or remove it if it is None, without moto's checks and streams."""
    hash_key, range_key = place
    group = table.items if range_key is None else table.items[hash_key]
    name = hash_key if range_key is None else range_key
    if item is None:
        group.pop(name, None)
    else:
        group[name] = item
