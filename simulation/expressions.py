"""DynamoDB's condition, key and update expressions, as far as our code uses them.

Items and values are in DynamoDB's own form, {"S": "x"}. What is not known here is an error, never ignored.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
"""

import re
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any

type Item = dict[str, Any]
type _Evaluate = Callable[[Item, dict[str, str], Item], Any]

_TOKEN = re.compile(r"\s*(?:(<>|<=|>=|[=<>(),+-])|([#:]?[A-Za-z_][A-Za-z0-9_]*))")
_KEYWORDS = {"AND", "OR", "NOT", "SET", "REMOVE", "ADD", "DELETE", "BETWEEN", "IN"}


class BadExpression(AssertionError):
    """Nothing this evaluator knows: extend it."""


def _tokens(text: str) -> list[str]:
    found, position = [], 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            raise BadExpression(f"{text!r} at {position}")
        found.append(match.group(1) or match.group(2))
        position = match.end()
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.position = 0

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self, wanted: str | None = None) -> str:
        token = self.peek()
        if not token or (wanted is not None and token != wanted):
            raise BadExpression(f"{self.text!r}: {token!r} where {wanted or 'more'!r} was expected")
        self.position += 1
        return token

    # --- conditions ---

    def either(self) -> _Evaluate:
        terms = [self.both()]
        while self.peek() == "OR":
            self.take()
            terms.append(self.both())
        return lambda *given: any(term(*given) for term in terms)

    def both(self) -> _Evaluate:
        terms = [self.negated()]
        while self.peek() == "AND":
            self.take()
            terms.append(self.negated())
        return lambda *given: all(term(*given) for term in terms)

    def negated(self) -> _Evaluate:
        if self.peek() == "NOT":
            self.take()
            inner = self.negated()
            return lambda *given: not inner(*given)
        if self.peek() == "(":
            self.take()
            inner = self.either()
            self.take(")")
            return inner
        name = self.peek()
        if name in _TESTS:
            self.take()
            self.take("(")
            operands = [self.operand()]
            while self.peek() == ",":
                self.take()
                operands.append(self.operand())
            self.take(")")
            test = _TESTS[name]
            return lambda *given: test(*(operand(*given) for operand in operands))
        left, sign = self.operand(), self.take()
        if sign == "BETWEEN":
            low, high = self.operand(), (self.take("AND"), self.operand())[1]
            return lambda *given: (
                _COMPARE[">="](left(*given), low(*given)) and _COMPARE["<="](left(*given), high(*given))
            )
        right = self.operand()
        compare = _COMPARE[sign]
        return lambda *given: compare(left(*given), right(*given))

    # --- operands and updates ---

    def operand(self) -> _Evaluate:
        token = self.take()
        if token == "if_not_exists":
            self.take("(")
            path, other = self.operand(), (self.take(","), self.operand())[1]
            self.take(")")
            return lambda *given: found if (found := path(*given)) is not None else other(*given)
        if token.startswith(":"):
            return lambda item, names, values: values[token]
        name = self.name(token)
        return lambda item, names, values: item.get(name(names))

    def name(self, token: str) -> Callable[[dict[str, str]], str]:
        if token in _KEYWORDS or not (token[0] == "#" or token[0].isalpha() or token[0] == "_"):
            raise BadExpression(f"{self.text!r}: {token!r} is no name")
        return (lambda names: names[token]) if token[0] == "#" else (lambda names: token)

    def assigned(self) -> _Evaluate:
        left = self.operand()
        if self.peek() not in {"+", "-"}:
            return left
        sign, right = (1 if self.take() == "+" else -1), self.operand()
        return lambda *given: {
            "N": str(Decimal(left(*given)["N"]) + sign * Decimal(right(*given)["N"])),
        }

    def actions(self) -> list[tuple[str, Callable[[dict[str, str]], str], _Evaluate]]:
        found = []
        while self.peek():
            kind = self.take()
            if kind not in {"SET", "REMOVE", "ADD"}:
                raise BadExpression(f"{self.text!r}: {kind!r}")
            while True:
                name = self.name(self.take())
                value: _Evaluate = lambda *given: None  # noqa: E731
                if kind == "SET":
                    self.take("=")
                    value = self.assigned()
                elif kind == "ADD":
                    value = self.operand()
                found.append((kind, name, value))
                if self.peek() != ",":
                    break
                self.take()
        return found


def _plain(value: Any) -> tuple[str, Any]:
    ((kind, raw),) = value.items()
    return kind, Decimal(raw) if kind == "N" else raw


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def both(left: Any, right: Any) -> bool:
        if left is None or right is None:
            return False
        (kind, a), (other, b) = _plain(left), _plain(right)
        return kind == other and compare(a, b)

    return both


def _equal(left: Any, right: Any) -> bool:
    return left is not None and right is not None and _plain(left) == _plain(right)


def _contains(whole: Any, member: Any) -> bool:
    if whole is None or member is None:
        return False
    (kind, values), (_, value) = _plain(whole), _plain(member)
    return value in values if kind in {"S", "SS"} else member in values


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": _equal,
    "<>": lambda left, right: not _equal(left, right),
    "<": _ordered(lambda a, b: a < b),
    "<=": _ordered(lambda a, b: a <= b),
    ">": _ordered(lambda a, b: a > b),
    ">=": _ordered(lambda a, b: a >= b),
}
_TESTS: dict[str, Callable[..., bool]] = {
    "attribute_exists": lambda value: value is not None,
    "attribute_not_exists": lambda value: value is None,
    "contains": _contains,
    "begins_with": lambda value, start: value is not None and value["S"].startswith(start["S"]),
}


@cache
def names_in(text: str) -> frozenset[str]:
    """The placeholders, #name and :value, of expressions."""
    return frozenset(re.findall(r"[#:][A-Za-z_][A-Za-z0-9_]*", text))


@cache
def _condition(text: str) -> _Evaluate:
    parser = _Parser(text)
    condition = parser.either()
    if parser.peek():
        raise BadExpression(f"{text!r}: {parser.peek()!r} is left over")
    return condition


@cache
def _update(text: str) -> list[tuple[str, Callable[[dict[str, str]], str], _Evaluate]]:
    return _Parser(text).actions()


def holds(condition: str | None, item: Item, names: dict[str, str], values: Item) -> bool:
    """Whether a condition holds for an item; an empty one for an item that is not there."""
    return condition is None or bool(_condition(condition)(item, names, values))


def updated(update: str, item: Item, names: dict[str, str], values: Item) -> Item:
    """The item after an update. All operands are read before anything is written."""
    changes = [(kind, name(names), value(item, names, values)) for kind, name, value in _update(update)]
    if len({name for _, name, _ in changes}) != len(changes):
        raise BadExpression(f"{update!r} names an attribute twice")
    new = dict(item)
    for kind, name, value in changes:
        if kind == "REMOVE":
            new.pop(name, None)
        elif kind == "SET":
            if value is None:
                raise BadExpression(f"{update!r} sets {name} to what does not exist")
            new[name] = value
        elif "N" in value:
            new[name] = {"N": str(Decimal(new.get(name, {"N": "0"})["N"]) + Decimal(value["N"]))}
        else:
            new[name] = {"SS": sorted({*new.get(name, {"SS": []})["SS"], *value["SS"]})}
    return new
