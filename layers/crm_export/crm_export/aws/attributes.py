"""Values as DynamoDB stores them, in both directions.

boto3.dynamodb.types does the same, but importing it imports all of boto3, which nothing else here needs.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
"""

from collections.abc import Callable, Mapping, Set
from decimal import Decimal
from typing import Any

type Attribute = dict[str, Any]

# In this order: a bool is an int, too.
_SCALARS = ((bool, "BOOL"), (int, "N"), (Decimal, "N"), (str, "S"), (bytes, "B"))
_READERS: dict[str, Callable[[Any], Any]] = {
    "NULL": lambda _: None,
    "N": Decimal,
    "SS": set,
    "S": str,
    "BOOL": bool,
    "B": bytes,
}


def to_attribute(value: Any) -> Attribute:
    """Return a value as an attribute. Raises TypeError for what is not stored here."""
    match value:
        case None:
            return {"NULL": True}
        case Mapping():
            return {"M": {name: to_attribute(item) for name, item in value.items()}}
        case list() | tuple():
            return {"L": [to_attribute(item) for item in value]}
        case Set() if value and all(isinstance(item, str) for item in value):
            return {"SS": list(value)}
    for kind, name in _SCALARS:
        if isinstance(value, kind):
            return {name: str(value) if name == "N" else value}
    raise TypeError(f"{value!r} cannot be stored in DynamoDB")


def from_attribute(attribute: Attribute) -> Any:
    """Return the value of an attribute. A number becomes a Decimal."""
    ((kind, value),) = attribute.items()
    match kind:
        case "M":
            return {name: from_attribute(item) for name, item in value.items()}
        case "L":
            return [from_attribute(item) for item in value]
        case _:
            return _READERS[kind](value)
