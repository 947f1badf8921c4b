"""Checks the structure of the criteria of a Bulk Read query before Zoho is called.

Zoho itself checks comparators and values against the types of the fields (docs/decisions.md, 2026-11-26).
https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/create-job.html
"""

import json
import re
from datetime import datetime
from typing import Any

from crm_export.errors import QueryRefused

MAX_CRITERIA = 25
MAX_VALUES = 200
COMPARATORS = (
    "equal", "not_equal", "in", "not_in", "less_than", "less_equal", "greater_than", "greater_equal",
    "contains", "not_contains", "starts_with", "ends_with", "between", "not_between",
)  # fmt: skip
_LONGEST_STRING = 255
_LONGEST_SHOWN = 80
_VALUES_OF_A_RANGE = _FEWEST_IN_A_GROUP = 2
_LISTS = {"in", "not_in", "between", "not_between"}
_GROUP_KEYS = {"group", "group_operator"}
_SINGLE_KEYS = {"field", "api_name", "comparator", "value", "type"}
_ALLOWED_KEYS = "group and group_operator, or field (or api_name), comparator, value and type"
_FIELD_NAME = re.compile(r"[A-Za-z0-9_$]{1,100}(\.[A-Za-z0-9_$]{1,100})*")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)


def check_criteria(criteria: Any) -> dict[str, Any]:
    """Return criteria in one form, `{"field": {"api_name": ...}, "comparator", "value"}` or a group of them.

    Raises QueryRefused with the JSON path, the value and what is allowed, if Zoho would refuse them.
    """
    checked, count = _check(criteria, "query.criteria")
    if count > MAX_CRITERIA:
        raise QueryRefused(f"query.criteria has {count} criteria; at most {MAX_CRITERIA} are allowed.")
    return checked


def shown(value: Any) -> str:
    """Return a value as JSON, cut for use in a message."""
    try:
        text = json.dumps(value)
    except RecursionError:
        return "nested too deeply to be shown"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


def _given(node: dict[str, Any], key: str) -> str:
    return shown(node[key]) if key in node else "missing"


def is_field_name(value: Any, longest: int = _LONGEST_STRING) -> bool:
    """Return True for an API name, `Last_Name` or `$converted`, or several joined by dots."""
    return isinstance(value, str) and len(value) <= longest and _FIELD_NAME.fullmatch(value) is not None


def _check(node: Any, path: str, depth: int = 1) -> tuple[dict[str, Any], int]:
    """Return one criterion or group in our form, and the number of criteria in it."""
    if not isinstance(node, dict):
        raise QueryRefused(f"{path} is {shown(node)}; it must be an object.")
    if depth > MAX_CRITERIA:
        raise QueryRefused(f"{path} is nested {depth} levels deep; at most {MAX_CRITERIA} are allowed.")
    is_group = bool(_GROUP_KEYS & set(node))
    if is_group and _SINGLE_KEYS & set(node):
        raise QueryRefused(
            f"{path} is ambiguous: it has the keys {shown(sorted(node))}; allowed: either {_ALLOWED_KEYS}."
        )
    for key in node:
        if key not in (_GROUP_KEYS if is_group else _SINGLE_KEYS):
            raise QueryRefused(f"{path} has the key {shown(key)}; allowed: {_ALLOWED_KEYS}.")
    return _check_group(node, path, depth) if is_group else (_check_single(node, path), 1)


def _check_group(node: dict[str, Any], path: str, depth: int) -> tuple[dict[str, Any], int]:
    operator, group = node.get("group_operator"), node.get("group")
    # Zoho's reference has lower case, samples elsewhere have upper case.
    operator = operator.lower() if isinstance(operator, str) else operator
    if operator not in ("and", "or"):
        raise QueryRefused(f"{path}.group_operator is {_given(node, 'group_operator')}; allowed: and, or.")
    if not isinstance(group, list) or len(group) < _FEWEST_IN_A_GROUP:
        raise QueryRefused(
            f"{path}.group is {_given(node, 'group')}; it must be an array of two or more criteria."
        )
    members = [_check(member, f"{path}.group[{index}]", depth + 1) for index, member in enumerate(group)]
    checked = {"group_operator": operator, "group": [member for member, _ in members]}
    return checked, sum(count for _, count in members)


def _check_single(node: dict[str, Any], path: str) -> dict[str, Any]:
    checked: dict[str, Any] = {"field": {"api_name": _field_name(node, path)}}
    comparator = node.get("comparator")
    if comparator not in COMPARATORS:
        raise QueryRefused(
            f"{path}.comparator is {_given(node, 'comparator')}; allowed: {', '.join(COMPARATORS)}."
        )
    if "value" not in node:
        raise QueryRefused(f"{path}.value is missing; use ${{EMPTY}} for no value.")
    _check_value(node["value"], str(comparator), f"{path}.value")
    checked |= {"comparator": comparator, "value": node["value"]}
    if "type" in node:
        if node["type"] != "value":
            raise QueryRefused(f'{path}.type is {shown(node["type"])}; only "value" is allowed.')
        checked["type"] = "value"
    return checked


def _field_name(node: dict[str, Any], path: str) -> str:
    """Return the field of a criterion: `field.api_name`, v2's `api_name`, or both if they are equal."""
    field, name = node.get("field"), node.get("api_name")
    if "field" in node or "api_name" not in node:
        # Zoho's own responses have an id in it.
        if not isinstance(field, dict) or set(field) - {"api_name", "id"} or "api_name" not in field:
            raise QueryRefused(
                f'{path}.field is {_given(node, "field")}; it must be {{"api_name": "<a field>"}}.'
            )
        if "api_name" in node and name != field["api_name"]:
            raise QueryRefused(
                f"{path}.api_name is {shown(name)}, but field.api_name is {shown(field['api_name'])}: "
                "name one field."
            )
        name, path = field["api_name"], f"{path}.field"
    if not is_field_name(name):
        raise QueryRefused(
            f"{path}.api_name is {shown(name)}; it must be the API name of a field (A-Z a-z 0-9 _ $, a dot "
            f"before each field of a lookup, at most {_LONGEST_STRING} characters)."
        )
    return str(name)


def _check_value(value: Any, comparator: str, path: str) -> None:
    if comparator.endswith("between"):
        _check_range(value, comparator, path)
    elif not isinstance(value, list):
        _check_scalar(value, path)
    elif comparator not in _LISTS:
        raise QueryRefused(f"{path} is {shown(value)}, an array; comparator {comparator} takes one value.")
    elif not 1 <= len(value) <= MAX_VALUES:
        raise QueryRefused(f"{path} has {len(value)} values; 1 to {MAX_VALUES} are allowed.")
    else:
        for index, item in enumerate(value):
            _check_scalar(item, f"{path}[{index}]")


def _check_range(value: Any, comparator: str, path: str) -> None:
    if not isinstance(value, list):
        raise QueryRefused(f"{path} is {shown(value)}; {comparator} takes an array of two values.")
    if len(value) != _VALUES_OF_A_RANGE:
        raise QueryRefused(f"{path} has {len(value)} values; {comparator} takes two.")
    for index, item in enumerate(value):
        if not _is_moment(item):
            raise QueryRefused(
                f"{path}[{index}] is {shown(item)}; it must be a date or datetime in ISO 8601 without "
                "milliseconds, such as 2026-02-22 or 2026-02-22T15:39:26+05:30."
            )


def _is_moment(value: Any) -> bool:
    """Return True for a date or datetime that exists, in the form that the message above describes."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _check_scalar(value: Any, path: str) -> None:
    if not isinstance(value, str | int | float):
        raise QueryRefused(
            f"{path} is {shown(value)}; it must be a string, a number or a boolean; "
            "use ${EMPTY} for no value."
        )
    if isinstance(value, str) and len(value) > _LONGEST_STRING:
        raise QueryRefused(
            f"{path} is {shown(value)} with {len(value)} characters; at most {_LONGEST_STRING} are allowed."
        )
