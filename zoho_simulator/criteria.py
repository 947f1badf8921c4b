"""Evaluates validated criteria against generated records, a block at a time."""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from zoho_simulator.columns import Column
from zoho_simulator.data import blocks

type Flags = Callable[[Sequence[int]], Sequence[bool]]


@dataclass(frozen=True)
class Criterion:
    """One comparison; `operand` is already of the column's kind of key."""

    column: Column
    comparator: str
    operand: Any


@dataclass(frozen=True)
class Group:
    """Criteria joined by `and` or `or`."""

    operator: str
    members: tuple["Criteria", ...]


type Criteria = Criterion | Group


def select(criteria: Criteria, rows: Sequence[int]) -> Sequence[int]:
    """Those of the record numbers that match, in their order."""
    flags = _compile(criteria)
    matched = array("q")
    for block in blocks(rows):
        matched.extend(i for i, hit in zip(block, flags(block), strict=True) if hit)
    return matched


def fields_of(criteria: Criteria) -> list[str]:
    """The API names compared, dots and all."""
    if isinstance(criteria, Criterion):
        return [criteria.column.field.api_name]
    return [name for member in criteria.members for name in fields_of(member)]


def _compile(criteria: Criteria) -> Flags:
    if isinstance(criteria, Criterion):
        return criteria.column.flags(_test(criteria))
    members = [_compile(member) for member in criteria.members]
    join = all if criteria.operator == "and" else any
    return lambda block: [join(row) for row in zip(*(flags(block) for flags in members), strict=True)]


def _test(criterion: Criterion) -> Callable[[Any], bool]:
    name, operand = criterion.comparator, criterion.operand
    if name.startswith("not_"):
        positive = _test(Criterion(criterion.column, name.removeprefix("not_"), operand))
        return lambda key: not positive(key)
    return _TESTS[name](operand)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any], Callable[[Any], bool]]:
    # An empty cell is neither greater nor less than anything.
    return lambda operand: lambda key: key is not None and operand is not None and compare(key, operand)


_TESTS: dict[str, Callable[[Any], Callable[[Any], bool]]] = {
    "equal": lambda operand: lambda key: bool(key == operand),
    "in": lambda operand: lambda key: key in operand,
    "contains": _ordered(lambda key, operand: operand in key),
    "starts_with": _ordered(lambda key, operand: key.startswith(operand)),
    "ends_with": _ordered(lambda key, operand: key.endswith(operand)),
    "between": lambda pair: lambda key: key is not None and bool(pair[0] <= key <= pair[1]),
    "greater_than": _ordered(lambda key, operand: bool(key > operand)),
    "greater_equal": _ordered(lambda key, operand: bool(key >= operand)),
    "less_than": _ordered(lambda key, operand: bool(key < operand)),
    "less_equal": _ordered(lambda key, operand: bool(key <= operand)),
}
