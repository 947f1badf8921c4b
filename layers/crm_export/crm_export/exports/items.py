"""What exports and parts look like as DynamoDB items, and how items are written."""

import json
from dataclasses import fields
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from crm_export.exports.model import Export, ExportState, Part, PartState

_JSON_FIELDS = {"query", "failure", "fields", "fields_dropped", "header", "cursor"}
_EXPORT_FIELDS = [field.name for field in fields(Export)]
_PART_FIELDS = [field.name for field in fields(Part)]


def item_key(export_id: str, part: int | None = None) -> dict[str, dict[str, str]]:
    """The key of an export, or of one of its parts."""
    sk = "META" if part is None else f"PART#{part:05d}"
    return {"pk": {"S": f"EXPORT#{export_id}"}, "sk": {"S": sk}}


def typed(values: dict[str, Any]) -> dict[str, Any]:
    """Values as DynamoDB's attributes, without those that are None or empty sets."""
    serialize = TypeSerializer().serialize
    return {
        name: serialize(json.dumps(value) if name in _JSON_FIELDS else value)
        for name, value in values.items()
        if value is not None and value != frozenset()
    }


def _untyped(item: dict[str, Any], names: list[str]) -> dict[str, Any]:
    deserialize = TypeDeserializer().deserialize
    values: dict[str, Any] = {}
    for name in names:
        if name not in item:
            continue
        value = deserialize(item[name])
        if name in _JSON_FIELDS:
            value = json.loads(value)
        values[name] = int(value) if isinstance(value, Decimal) else value
        if isinstance(value, set):
            values[name] = frozenset(value)
    return values


def read_export(item: dict[str, Any]) -> Export:
    """The export an item META holds."""
    values = _untyped(item, _EXPORT_FIELDS)
    return Export(**{**values, "state": ExportState(values["state"])})


def read_part(item: dict[str, Any]) -> Part:
    """The part an item PART#00001 holds."""
    values = _untyped(item, _PART_FIELDS)
    return Part(**{**values, "state": PartState(values["state"])})


class Table:
    """Conditional writes to one table; a condition that does not hold is False, not an exception."""

    def __init__(self, client: Any, name: str) -> None:
        self.client = client
        self.name = name

    def get(self, key: dict[str, Any]) -> dict[str, Any] | None:
        """An item, read consistently, or None."""
        answer = self.client.get_item(TableName=self.name, Key=key, ConsistentRead=True)
        item: dict[str, Any] | None = answer.get("Item")
        return item

    def update_request(
        self,
        key: dict[str, Any],
        update: str,
        condition: str,
        values: dict[str, Any],
        names: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """The parameters of an UpdateItem of an item that exists; `#state` is its state."""
        serialize = TypeSerializer().serialize
        return {
            "TableName": self.name,
            "Key": key,
            "UpdateExpression": update,
            "ConditionExpression": f"attribute_exists(pk) AND ({condition})",
            "ExpressionAttributeNames": {"#state": "state", **(names or {})},
            "ExpressionAttributeValues": {name: serialize(value) for name, value in values.items()},
        }

    def update(
        self,
        key: dict[str, Any],
        update: str,
        condition: str,
        values: dict[str, Any],
        names: dict[str, str] | None = None,
    ) -> bool:
        """Do it; tell whether the condition held."""
        try:
            self.client.update_item(**self.update_request(key, update, condition, values, names))
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def transact(self, writes: list[dict[str, Any]]) -> bool:
        """Do all writes or none; tell whether all conditions held."""
        for write in writes:
            for request in write.values():
                request.setdefault("TableName", self.name)
        try:
            self.client.transact_write_items(TransactItems=writes)
        except ClientError as error:
            reasons = error.response.get("CancellationReasons", [])
            if any(reason.get("Code") == "ConditionalCheckFailed" for reason in reasons):
                return False
            raise
        return True
