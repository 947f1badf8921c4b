"""Counts AWS calls of this process in the units that AWS bills, as a handler of botocore's events."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from threading import Lock
from typing import Any

from boto3.dynamodb.types import TypeDeserializer
from botocore.handlers import BUILTIN_HANDLERS

_S3_READS = {"GetObject", "HeadObject"}
_S3_FREE = {"AbortMultipartUpload", "DeleteObject"}
_WRITES = {"PutItem", "UpdateItem", "DeleteItem"}
_OTHERS = {
    "sqs": "sqs_request",
    "events": "eventbridge_event",
    "secrets-manager": "secret_call",
    "secretsmanager": "secret_call",
}


class Meter:
    """Counts while `counting`. Item sizes are looked up at the end: `units` needs the table's items."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._on = False
        self.operations: Counter[str] = Counter()
        self._units: Counter[str] = Counter()
        self._written: list[tuple[str, int]] = []  # key of an item, units per KB

    def listen(self) -> None:
        """Count the calls of every client that is created from now on."""
        BUILTIN_HANDLERS.append(("before-parameter-build", self._remember))
        BUILTIN_HANDLERS.append(("after-call", self._count))

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count within this context only."""
        self._on = True
        try:
            yield
        finally:
            self._on = False

    def clear(self) -> None:
        """Forget all counts."""
        self.operations.clear()
        self._units.clear()
        self._written.clear()

    def _remember(self, *, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["benchmark_params"] = params

    def _count(self, *, model: Any, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        if not self._on:
            return
        service, operation = model.service_model.service_name, model.name
        with self._lock:
            self.operations[f"{service}:{operation}"] += 1
            if service == "dynamodb":
                self._count_dynamodb(operation, context["benchmark_params"], parsed)
            elif service == "s3":
                if operation not in _S3_FREE:
                    self._units["s3_read" if operation in _S3_READS else "s3_write"] += 1
            else:
                self._units[_OTHERS[service]] += 1

    def _count_dynamodb(self, operation: str, params: Mapping[str, Any], parsed: Mapping[str, Any]) -> None:
        if operation in _WRITES:
            self._written.append((_key(params.get("Key") or params["Item"]), 1))
        elif operation == "TransactWriteItems":
            for item in params["TransactItems"]:
                (action,) = item.values()
                self._written.append((_key(action.get("Key") or action["Item"]), 2))
        else:
            items = parsed.get("Items") or [parsed.get("Item", {})]
            size = sum(map(item_bytes, items))
            strong = 1.0 if params.get("ConsistentRead") else 0.5
            self._units["dynamodb_read_unit"] += max(1, ceil(size / 4096)) * strong  # type: ignore[assignment]

    def units(self, items: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
        """Return all units. `items` are the table's items by key, as they are at the end.

        An item that is gone counts as 1 KB. The index by account holds a copy of each META item.
        """
        writes = 0
        for key, per_kb in self._written:
            kilobytes = max(1, ceil(item_bytes(items.get(key, {})) / 1024))
            writes += kilobytes * (per_kb + key.endswith("/META"))
        return {**self._units, "dynamodb_write_unit": writes}


def _key(item: Mapping[str, Any]) -> str:
    return f"{item['pk']['S']}/{item['sk']['S']}"


def items_by_key(items: list[dict[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return a table's items by the keys that a Meter uses."""
    return {_key(item): item for item in items}


def item_bytes(item: Mapping[str, Any]) -> int:
    """Return about the size of an item: names and values as text.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    deserialize = TypeDeserializer().deserialize
    return sum(len(name) + len(_text(deserialize(value))) for name, value in item.items())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def metrics_in(log: str) -> set[str]:
    """Return the custom metrics that lines of a log emit: namespace, name and dimensions."""
    found: set[str] = set()
    for line in re.findall(r'^\{.*"_aws".*\}$', log, re.MULTILINE):
        for metrics in json.loads(line)["_aws"]["CloudWatchMetrics"]:
            found |= {
                f"{metrics['Namespace']} {metrics['Dimensions']} {m['Name']}" for m in metrics["Metrics"]
            }
    return found
