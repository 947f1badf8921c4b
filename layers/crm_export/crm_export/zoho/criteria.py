"""Criteria of a Bulk Read query: their structure, as every version of Zoho's API wants it.

What needs a field's type is left to Zoho.
https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/create-job.html
"""

import json
from typing import Any

from crm_export.errors import QueryRefused

MAX_CRITERIA = 25
MAX_VALUES = 200
_MAX_TEXT = 255
_COMPARATORS = (
    "equal", "not_equal", "in", "not_in", "less_than", "less_equal", "greater_than", "greater_equal",
    "contains", "not_contains", "starts_with", "ends_with", "between", "not_between",
)  # fmt: skip
_LISTS = {"in", "not_in", "between", "not_between"}
_GROUP_KEYS = {"group", "group_operator"}
_SINGLE_KEYS = {"field", "api_name", "comparator", "value", "type"}


def check_criteria(criteria: Any, path: str = "query.criteria") -> None:
    """Raise QueryRefused with the JSON path, the value and what is allowed, where Zoho would refuse."""
    found = _check(criteria, path)
    if found > MAX_CRITERIA:
        raise QueryRefused(f"{path} has {found} criteria; allowed are {MAX_CRITERIA}.")


def shown(value: Any) -> str:
    """A value as JSON, cut to a length fit for a message."""
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."  # noqa: PLR2004


def _check(node: Any, path: str, depth: int = 1) -> int:
    """Check one criterion or group; return how many criteria it holds."""
    if not isinstance(node, dict):
        raise QueryRefused(f"{path} is {shown(node)}; it must be an object.")
    if depth > MAX_CRITERIA:
        raise QueryRefused(f"{path} is nested {depth} deep; allowed is {MAX_CRITERIA}.")
    is_group = bool(_GROUP_KEYS & set(node))
    if is_group and _SINGLE_KEYS & set(node):
        raise QueryRefused(
            f"{path} is ambiguous: it has {', '.join(sorted(node))}; allowed is either group and "
            "group_operator, or field, comparator and value."
        )
    for key in node:
        if key not in (_GROUP_KEYS if is_group else _SINGLE_KEYS):
            allowed = "group and group_operator, or field, comparator and value"
            raise QueryRefused(f"{path} has the key {shown(key)}; allowed are {allowed}.")
    return _check_group(node, path, depth) if is_group else _check_single(node, path)


def _check_group(node: dict[str, Any], path: str, depth: int) -> int:
    if node.get("group_operator") not in ("and", "or"):
        operator = shown(node.get("group_operator"))
        raise QueryRefused(f"{path}.group_operator is {operator}; allowed are and, or.")
    group = node.get("group")
    if not isinstance(group, list) or len(group) < 2:  # noqa: PLR2004
        raise QueryRefused(f"{path}.group is {shown(group)}; it must be an array of two criteria or more.")
    return sum(_check(member, f"{path}.group[{index}]", depth + 1) for index, member in enumerate(group))


def _check_single(node: dict[str, Any], path: str) -> int:
    field = node.get("field")
    name = field.get("api_name") if isinstance(field, dict) else node.get("api_name")
    extra = isinstance(field, dict) and set(field) != {"api_name"}
    if extra or not isinstance(name, str) or not name or len(name) > _MAX_TEXT:
        raise QueryRefused(f'{path}.field is {shown(field)}; it must be {{"api_name": "<a field>"}}.')
    comparator = node.get("comparator")
    if comparator not in _COMPARATORS:
        allowed = ", ".join(_COMPARATORS)
        raise QueryRefused(f"{path}.comparator is {shown(comparator)}; allowed are {allowed}.")
    if "value" not in node:
        raise QueryRefused(f"{path}.value is missing; ${{EMPTY}} stands for an empty one.")
    _check_value(node["value"], str(comparator), f"{path}.value")
    return 1


def _check_value(value: Any, comparator: str, path: str) -> None:
    if isinstance(value, list):
        if comparator not in _LISTS:
            raise QueryRefused(f"{path} is an array; comparator {comparator} takes one value.")
        if not 1 <= len(value) <= MAX_VALUES:
            raise QueryRefused(f"{path} has {len(value)} values; allowed are 1 to {MAX_VALUES}.")
        if comparator.endswith("between") and len(value) != 2:  # noqa: PLR2004
            raise QueryRefused(f"{path} has {len(value)} values; {comparator} takes two.")
        for index, item in enumerate(value):
            _check_scalar(item, f"{path}[{index}]")
        return
    if comparator.endswith("between"):
        raise QueryRefused(f"{path} is {shown(value)}; {comparator} takes an array of two values.")
    _check_scalar(value, path)


def _check_scalar(value: Any, path: str) -> None:
    if not isinstance(value, str | int | float):
        raise QueryRefused(f"{path} is {shown(value)}; it must be a text, a number or a boolean.")
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        raise QueryRefused(f"{path} has {len(value)} characters; allowed are {_MAX_TEXT}.")
