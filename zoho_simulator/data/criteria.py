"""Criteria of Bulk Read and of custom views: strict validation per API version, and evaluation by block.

https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/create-job.html
"""

import json
import re
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from zoho_simulator.config import SimulatorConfig, at_least
from zoho_simulator.data.columns import Column, Rows
from zoho_simulator.data.modules import Module, blocks, module_id
from zoho_simulator.errors import ZohoError
from zoho_simulator.wire import Json

_NUMBERS = ("equal", "not_equal", "in", "not_in", "less_than", "less_equal", "greater_than", "greater_equal")
_STRINGS = ("equal", "not_equal", "in", "not_in", "contains", "not_contains", "starts_with", "ends_with")
_DATES = (*_NUMBERS, "between", "not_between")
_LOOKUPS = ("equal", "not_equal", "in", "not_in")
_LISTS = frozenset({"in", "not_in", "between", "not_between"})
_NUMBER_TYPES = frozenset({"integer", "bigint", "double", "currency", "percent"})
_LOOKUP_TYPES = frozenset({"lookup", "ownerlookup", "userlookup", "multi_module_lookup"})
_CRITERIA_MAX, _VALUES_MAX = 25, 200
_EMPTY = "${EMPTY}"
_INTEGER = r"-?[0-9]{1,19}", int
_DECIMAL = r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?", float
_OPERANDS: dict[str, tuple[str, Callable[[str], Any]]] = {  # what a value must match, and its key
    **dict.fromkeys(_NUMBER_TYPES, _DECIMAL),
    **dict.fromkeys({"integer", "bigint"} | _LOOKUP_TYPES, _INTEGER),
    "boolean": (r"true|false", lambda string: string == "true"),
    "date": (r"\d{4}-\d\d-\d\d", lambda string: date.fromisoformat(string).toordinal()),
    "datetime": (  # Zoho refuses milliseconds
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)",
        lambda string: int(datetime.fromisoformat(string).timestamp()),
    ),
}
_STRING = r"(?s).{0,255}", str.casefold

type Flags = Callable[[Rows], Sequence[bool]]


@dataclass(frozen=True)
class Criterion:
    """One comparison; `operand` is of the kind of the column's keys."""

    column: Column
    comparator: str
    operand: Any


@dataclass(frozen=True)
class Group:
    """Criteria joined by `and` or `or`."""

    operator: str
    members: tuple["Criteria", ...]


type Criteria = Criterion | Group


@dataclass(frozen=True)
class Scope:
    """The API version and module that criteria are validated against."""

    version: str
    module: Module


def parse_criteria(scope: Scope, document: Any) -> Criteria:
    """Return validated criteria. Raises ZohoError for everything that Zoho refuses."""
    if _count(document) > _CRITERIA_MAX:
        raise ZohoError("CRITERIA_LIMIT_EXCEEDED", {"max_limit": _CRITERIA_MAX})
    return _parse(scope, document)


def all_records_view(module: str) -> str:
    """Return the id of the custom view "All records" that each module has."""
    return str(int(module_id(module)) + 500_000)


def view_criteria(config: SimulatorConfig, module: Module, cvid: str) -> Criteria | None:
    """Return the criteria of a custom view, None for "All records". Raises KeyError for an unknown view."""
    if cvid == all_records_view(module.name):
        return None
    view = config.custom_views[cvid]
    if view["module"] != module.name:
        raise KeyError(cvid)
    # The settings write views as v8 does, whichever version is called.
    return parse_criteria(Scope("v8", module), view["criteria"])


def fields_of(criteria: Criteria) -> list[str]:
    """Return the API names that are compared, including dotted names."""
    if isinstance(criteria, Criterion):
        return [criteria.column.field.api_name]
    return [name for member in criteria.members for name in fields_of(member)]


def select(criteria: Criteria, rows: Rows) -> Rows:
    """Return the record numbers that match, in their order."""
    flags = _compile(criteria)
    matched = array("q")
    for block in blocks(rows):
        matched.extend(i for i, hit in zip(block, flags(block), strict=True) if hit)
    return matched


# Validation


def _count(document: Any) -> int:
    if isinstance(document, dict) and isinstance(document.get("group"), list):
        return sum(_count(member) for member in document["group"])
    return 1


def _parse(scope: Scope, document: Any) -> Criteria:
    if not isinstance(document, dict):
        raise _refused("CRITERIA_NOT_SUPPORTED", document)
    grouped = document.keys() & {"group", "group_operator"}
    single = document.keys() & {"field", "api_name", "comparator", "value"}
    if bool(grouped) == bool(single):
        raise _refused("AMBIGUOUS_CRITERIA", document)
    return _parse_group(scope, document) if grouped else _parse_single(scope, document)


def _parse_group(scope: Scope, document: Json) -> Group:
    operator, members = document.get("group_operator"), document.get("group")
    if operator not in ("and", "or"):
        raise _refused(
            "GROUP_OPERATOR_NOT_SUPPORTED", document, {"supported": ["and", "or"]}, operator=operator
        )
    if not isinstance(members, list) or document.keys() - {"group", "group_operator"}:
        raise _invalid(document)
    if len(members) < 2:
        raise _refused("AMBIGUOUS_GROUP_IN_CRITERIA", document)
    return Group(operator, tuple(_parse(scope, member) for member in members))


def _parse_single(scope: Scope, document: Json) -> Criterion:
    name = _field_name(scope, document)
    column = scope.module.column("id" if name == "Id" else name)
    if column is None:
        raise _refused("FIELD_IN_CRITERIA_NOT_AVAILABLE", document, {"api_name": name})
    if not column.field.exportable:
        raise _refused("FIELD_IN_CRITERIA_NOT_SUPPORTED", document, {"api_name": name})
    comparator, allowed = document.get("comparator"), _comparators(column.field.data_type)
    if comparator not in allowed:
        details = {"api_name": name, "supported": list(allowed)}
        raise _refused("FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED", document, details, comparator=comparator)
    if "value" not in document:
        raise _invalid(document)
    return Criterion(column, comparator, _operand(column, comparator, document))


def _comparators(data_type: str) -> tuple[str, ...]:
    if data_type in _NUMBER_TYPES:
        return _NUMBERS
    if data_type in {"date", "datetime"}:
        return _DATES
    if data_type == "boolean":
        return ("equal",)
    return _LOOKUPS if data_type in _LOOKUP_TYPES else _STRINGS


def _field_name(scope: Scope, document: Json) -> str:
    keys, name = {"comparator", "value", "api_name"}, document.get("api_name")
    if scope.version != "v2":
        keys |= {"field", "type"} if at_least(scope.version, "v7") else {"field"}
        field = document.get("field")
        if not isinstance(field, dict) or field.keys() - {"api_name", "id"}:
            raise _invalid(document)
        name = field.get("api_name")
    if document.keys() - keys or not isinstance(name, str) or document.get("type", "value") != "value":
        raise _invalid(document)
    return name


def _operand(column: Column, comparator: str, document: Json) -> Any:
    value = document["value"]
    if not _shape_fits(comparator, value):
        details = {"comparator": comparator}
        raise _refused("COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE", document, details, value=value)
    if not isinstance(value, list):
        return _key(column, value, document)
    if len(value) > _VALUES_MAX:
        raise ZohoError("VALUE_LIMIT_EXCEEDED_IN_CRITERIA", {"max_limit": _VALUES_MAX})
    return [_key(column, item, document) for item in value]


def _shape_fits(comparator: str, value: Any) -> bool:
    if comparator not in _LISTS:
        return not isinstance(value, list)
    if not isinstance(value, list) or not value:
        return False
    return "between" not in comparator or (len(value) == 2 and _EMPTY not in value)


def _key(column: Column, value: Any, document: Json) -> Any:
    if value == _EMPTY and column.field.data_type != "boolean":
        return None
    if not isinstance(value, str | int | float):
        raise wrong_type("value", "string", "jsonarray")
    string = str(value).lower() if isinstance(value, bool) else str(value)
    pattern, convert = _OPERANDS.get(column.field.data_type, _STRING)
    try:
        if re.fullmatch(pattern, string):
            return convert(string)
    except ValueError:
        pass  # a day or an hour that does not exist
    details, code = {"api_name": column.field.api_name}, "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE"
    raise _refused(code, document, details, value=value)


def wrong_type(api_name: str, *supported: str) -> ZohoError:
    """Return the error for a value of the wrong JSON type."""
    return ZohoError("VALUE_TYPE_NOT_SUPPORTED", {"api_name": api_name, "supported": list(supported)})


def _refused(code: str, document: Any, details: Json | None = None, **values: Any) -> ZohoError:
    shown = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return ZohoError(code, details, criteria=shown, **values)


def _invalid(document: Json) -> ZohoError:
    return _refused("INVALID_CRITERIA", document, document)


# Evaluation


def _compile(criteria: Criteria) -> Flags:
    if isinstance(criteria, Criterion):
        return criteria.column.flags(_test(criteria.comparator, criteria.operand))
    members = [_compile(member) for member in criteria.members]
    join = all if criteria.operator == "and" else any
    return lambda block: [join(row) for row in zip(*(flags(block) for flags in members), strict=True)]


def _test(comparator: str, operand: Any) -> Callable[[Any], bool]:
    if comparator.startswith("not_"):
        positive = _test(comparator.removeprefix("not_"), operand)
        return lambda key: not positive(key)
    return _TESTS[comparator](operand)


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
