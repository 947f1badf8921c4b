"""DynamoDB's condition, key and update expressions, as far as our code uses them.

Each expression is translated to Python once. Items and values are in DynamoDB's own form, {"S": "x"}. An
expression of another form raises an error.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
"""

import re
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any

type Item = dict[str, Any]
type _Evaluate = Callable[[Item, dict[str, str], Item], Any]

_BETWEEN = re.compile(r"(\S+) BETWEEN (\S+) AND (\S+)")
_TOKEN = re.compile(r"[#:]?\w+|<>|<=|>=|[^\s\w]")
_COMMA_BETWEEN_ACTIONS = re.compile(r", (?![^(]*\))")


class BadExpression(AssertionError):
    """An expression that DynamoDB refuses, or that has to be added here."""


class _Operand:
    """The value of an attribute. One that is missing is neither equal to, less nor greater than any other."""

    def __init__(self, attribute: Any) -> None:
        self.attribute = attribute
        ((self.kind, raw),) = (attribute or {"missing": None}).items()
        self.value = Decimal(raw) if self.kind == "N" else raw

    def _is_comparable(self, other: "_Operand") -> bool:
        return self.attribute is not None and self.kind == other.kind

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: Any) -> bool:
        return self._is_comparable(other) and bool(self.value == other.value)

    def __lt__(self, other: "_Operand") -> bool:
        return self._is_comparable(other) and bool(self.value < other.value)

    def __le__(self, other: "_Operand") -> bool:
        return self._is_comparable(other) and bool(self.value <= other.value)

    def __add__(self, other: "_Operand") -> "_Operand":
        return _Operand({"N": str(self.value + other.value)})


def _contains(whole: _Operand, member: _Operand) -> bool:
    return whole.attribute is not None and member.value in whole.attribute["SS"]


_PYTHON = {"=": "==", "<>": "!=", "AND": "and", "OR": "or", "NOT": "not"}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "attribute_exists": lambda operand: operand.attribute is not None,
    "attribute_not_exists": lambda operand: operand.attribute is None,
    "contains": _contains,
    "if_not_exists": lambda operand, other: other if operand.attribute is None else operand,
}


def _python(token: str) -> str:
    if token in _FUNCTIONS or not token[-1].isalnum():
        return _PYTHON.get(token, token)
    return _PYTHON.get(token, f"operand({token!r})")


@cache
def _translated(expression: str) -> _Evaluate:
    simple = _BETWEEN.sub(r"(\2 <= \1 AND \1 <= \3)", expression)
    code = compile(" ".join(map(_python, _TOKEN.findall(simple))), expression, "eval")

    def evaluate(item: Item, names: dict[str, str], values: Item) -> Any:
        def operand(token: str) -> _Operand:
            return _Operand(values[token] if token[0] == ":" else item.get(_name(token, names)))

        return eval(code, {"operand": operand, **_FUNCTIONS})  # noqa: S307 - our own expressions

    return evaluate


def _name(token: str, names: dict[str, str]) -> str:
    return names[token] if token[0] == "#" else token


@cache
def names_in(text: str) -> frozenset[str]:
    """Return the placeholders, #name and :value, of expressions."""
    return frozenset(re.findall(r"[#:]\w+", text))


def holds(condition: str | None, item: Item, names: dict[str, str], values: Item) -> bool:
    """Return True if a condition holds for an item; an empty item stands for one that does not exist."""
    return condition is None or bool(_translated(condition)(item, names, values))


@cache
def _actions(update: str) -> list[tuple[str, str, _Evaluate | None]]:
    """Return the kind, the attribute's name and the value of each action of an update expression."""
    nothing, *clauses = re.split(r"\b(SET|REMOVE|ADD|DELETE) ", update)
    found: list[tuple[str, str, _Evaluate | None]] = []
    for kind, clause in zip(clauses[::2], clauses[1::2], strict=True):
        for action in _COMMA_BETWEEN_ACTIONS.split(clause.strip()):
            name, _, value = action.partition(" = " if kind == "SET" else " ")
            found.append((kind, name, _translated(value) if value else None))
    if nothing or any((kind == "REMOVE") != (value is None) for kind, _, value in found):
        raise BadExpression(update)
    return found


def updated(update: str, item: Item, names: dict[str, str], values: Item) -> Item:
    """Return the item after an update. All operands are read before anything is written."""
    new = dict(item)
    changed = set()
    for kind, token, value in _actions(update):
        name = _name(token, names)
        if name in changed:
            raise BadExpression(f"{update!r} names {name} twice")
        changed.add(name)
        attribute = value(item, names, values).attribute if value else None
        if kind == "REMOVE":
            new.pop(name, None)
        elif attribute is None:
            raise BadExpression(f"{update!r} sets {name} to what does not exist")
        elif kind == "SET":
            new[name] = attribute
        else:
            held, given = set(new.pop(name, {"SS": []})["SS"]), set(attribute["SS"])
            if members := held | given if kind == "ADD" else held - given:
                new[name] = {"SS": sorted(members)}
    return new
