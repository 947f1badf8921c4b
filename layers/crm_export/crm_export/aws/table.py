"""Conditional writes to the stack's DynamoDB table, and what values look like there.

boto3 repeats a write whose response was lost, so every condition allows for a write that was already done.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ConditionExpressions.html
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from crm_export.errors import StateUnavailable
from crm_export.exports.model import timestamp
from crm_export.outages import outages_as

type Item = dict[str, Any]
type Key = dict[str, dict[str, str]]

_serialize = TypeSerializer().serialize
_outages = partial(outages_as, StateUnavailable, "DynamoDB")


def key(pk: str, sk: str) -> Key:
    """Return the key of an item."""
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def attribute(value: Any) -> dict[str, Any]:
    """Return a value as a DynamoDB attribute. A datetime becomes a string that sorts by time."""
    if isinstance(value, float):
        return {"N": str(value)}
    if isinstance(value, datetime):
        return {"S": timestamp(value)}
    return dict(_serialize(value))


class Table:
    """One table. A write returns False, instead of raising, if its condition does not hold.

    Every method raises StateUnavailable while DynamoDB fails, throttles or cannot be reached.
    """

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def get(self, item_key: Key, **more: str) -> Item | None:
        """Return an item, read consistently, or None; `more` are further parameters of GetItem."""
        with _outages():
            response = self._client.get_item(TableName=self._name, Key=item_key, ConsistentRead=True, **more)
        item: Item | None = response.get("Item")
        return item

    def get_both(self, first: Key, second: Key) -> tuple[Item | None, Item | None]:
        """Return two items, read consistently by one call; another write may happen between the two reads.

        https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
        """
        batch = {"Keys": [first, second], "ConsistentRead": True}
        with _outages():
            response = self._client.batch_get_item(RequestItems={self._name: batch})
        if response.get("UnprocessedKeys"):
            raise StateUnavailable("DynamoDB throttled the read of an export and its part.")
        found = {item["sk"]["S"]: item for item in response["Responses"][self._name]}
        return found.get(first["sk"]["S"]), found.get(second["sk"]["S"])

    def query(self, condition: str, more: Mapping[str, Any], **values: Any) -> Iterator[Item]:
        """Yield the items of all pages of a query; `more` are further parameters of Query."""
        request = self._query(condition, more, values)
        with _outages():
            for page in self._client.get_paginator("query").paginate(**request):
                yield from page["Items"]

    def query_page(self, condition: str, more: Mapping[str, Any], **values: Any) -> dict[str, Any]:
        """Return the response of one query."""
        with _outages():
            response: dict[str, Any] = self._client.query(**self._query(condition, more, values))
        return response

    def _query(self, condition: str, more: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        names_and_values = _placeholders(f"{condition} {more.get('FilterExpression', '')}", values)
        return {"TableName": self._name, "KeyConditionExpression": condition, **names_and_values, **more}

    def put(self, item: Item, condition: str = "", **values: Any) -> bool:
        """Write an item; True if the condition held."""
        return self._written(self._client.put_item, **put_of(item, condition, **values))

    def delete(self, item_key: Key, condition: str, **values: Any) -> bool:
        """Delete an item; True if the condition held, or if there is none."""
        condition = f"attribute_not_exists(pk) OR ({condition})"
        names_and_values = _placeholders(condition, values)
        return self._written(
            self._client.delete_item, Key=item_key, ConditionExpression=condition, **names_and_values
        )

    def update(self, item_key: Key, update: str, condition: str, **values: Any) -> bool:
        """Update an item; True if the condition held."""
        return self._written(self._client.update_item, **update_of(item_key, update, condition, **values))

    def changed(self, item_key: Key, update: str, condition: str, **values: Any) -> Item | None:
        """Update an item and return it as it then is, or None if the condition did not hold."""
        request = update_of(item_key, update, condition, **values)
        response = self._response(self._client.update_item, ReturnValues="ALL_NEW", **request)
        return None if response is None else response["Attributes"]

    def transact(self, *writes: dict[str, dict[str, Any]], or_conflict: bool = False) -> bool:
        """Do all writes or none; True if all conditions held.

        or_conflict: also return False if another transaction is just writing one of the items.
        """
        refused = {"ConditionalCheckFailed"} | ({"TransactionConflict"} if or_conflict else set())
        items = [
            {kind: {"TableName": self._name, **request}}
            for write in writes
            for kind, request in write.items()
        ]
        with _outages():
            try:
                self._client.transact_write_items(TransactItems=items)
            except ClientError as error:
                reasons = error.response.get("CancellationReasons", [])
                if any(reason.get("Code") in refused for reason in reasons):
                    return False
                raise
        return True

    def _written(self, write: Callable[..., Any], **request: Any) -> bool:
        return self._response(write, **request) is not None

    def _response(self, write: Callable[..., Any], **request: Any) -> dict[str, Any] | None:
        try:
            with _outages():
                response: dict[str, Any] = write(TableName=self._name, **request)
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        return response


def size_of(item: Item) -> int:
    """Return the size of an item of strings, numbers, booleans and sets, in the bytes that DynamoDB counts.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + _size_of_value(value) for name, value in item.items())


def _size_of_value(value: dict[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return len(content) // 2 + 2  # two digits a byte; AWS calls its own rule approximate
        case "SS":
            return sum(len(member.encode()) for member in content)
        case _:
            return 1


def put_of(item: Item, condition: str = "", **values: Any) -> dict[str, Any]:
    """Return the parameters of a PutItem, as `put` takes them."""
    more = {"ConditionExpression": condition, **_placeholders(condition, values)} if condition else {}
    return {"Item": item, **more}


def update_of(item_key: Key, update: str, condition: str, **values: Any) -> dict[str, Any]:
    """Return the parameters of an UpdateItem, as `update` takes them."""
    return {
        "Key": item_key,
        "UpdateExpression": update,
        **({"ConditionExpression": condition} if condition else {}),
        **_placeholders(f"{update} {condition}", values),
    }


def _placeholders(expressions: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names and values that expressions refer to.

    `#name` stands for the attribute `name`, `:value` for the argument `value`, a number such as `:n1` for 1,
    and upper case such as `:PENDING` for the string itself.
    """
    used = set(re.findall(r":(\w+)", expressions))
    constants = {name: int(name[1:]) for name in used if re.fullmatch(r"n\d+", name)}
    constants |= {name: name for name in used if name.isupper()}
    names = {name: name.removeprefix("#") for name in re.findall(r"#\w+", expressions)}
    given = {name: attribute(value) for name, value in (constants | dict(values)).items()}
    return {
        "ExpressionAttributeValues": {f":{name}": value for name, value in given.items()},
        **({"ExpressionAttributeNames": names} if names else {}),
    }
