"""Criteria of a Bulk Read query: their structure, as every version of Zoho's API wants it.

What needs a field's type is in zoho.criteria_types.
https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/create-job.html
"""

import json
import re
from datetime import datetime
from typing import Any

from crm_export.errors import QueryRefused

MAX_CRITERIA = 25
MAX_VALUES = 200
_MAX_TEXT = 255
COMPARATORS = (
    "equal", "not_equal", "in", "not_in", "less_than", "less_equal", "greater_than", "greater_equal",
    "contains", "not_contains", "starts_with", "ends_with", "between", "not_between",
)  # fmt: skip
_LISTS = {"in", "not_in", "between", "not_between"}
_GROUP_KEYS = {"group", "group_operator"}
_SINGLE_KEYS = {"field", "api_name", "comparator", "value", "type"}
_FIELD_NAME = re.compile(r"[A-Za-z0-9_$]{1,100}(\.[A-Za-z0-9_$]{1,100})*")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
MOMENT_ALLOWED = (
    "a date or datetime in ISO 8601 without milliseconds, as in 2026-02-22 or 2026-02-22T15:39:26+05:30"
)


def check_criteria(criteria: Any, path: str = "query.criteria") -> dict[str, Any]:
    """Criteria in one spelling, whichever they came in: a criterion's name is `field.api_name`.

    Raises QueryRefused with the JSON path, the value and what is allowed, where Zoho would refuse.
    """
    normal, found = _check(criteria, path)
    if found > MAX_CRITERIA:
        raise QueryRefused(f"{path} has {found} criteria; allowed are {MAX_CRITERIA}.")
    return normal


def shown(value: Any) -> str:
    """A value as JSON, cut to a length fit for a message."""
    try:
        text = json.dumps(value)
    except RecursionError:
        return "nested too deep to be shown"
    return text if len(text) <= 80 else text[:77] + "..."  # noqa: PLR2004


def is_field_name(value: Any, longest: int = _MAX_TEXT) -> bool:
    """Whether a value is an API name, `Last_Name` or `$converted`, or several with dots between."""
    return isinstance(value, str) and len(value) <= longest and _FIELD_NAME.fullmatch(value) is not None


def is_moment(value: Any) -> bool:
    """Whether a value is a text that MOMENT_ALLOWED describes, of a day that the calendar has."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _check(node: Any, path: str, depth: int = 1) -> tuple[dict[str, Any], int]:
    """One criterion or group in our spelling, and how many criteria it holds."""
    if not isinstance(node, dict):
        raise QueryRefused(f"{path} is {shown(node)}; it must be an object.")
    if depth > MAX_CRITERIA:
        raise QueryRefused(f"{path} is nested {depth} deep; allowed is {MAX_CRITERIA}.")
    is_group = bool(_GROUP_KEYS & set(node))
    if is_group and _SINGLE_KEYS & set(node):
        raise QueryRefused(
            f"{path} is ambiguous: it has {shown(sorted(node))}; allowed is either group and "
            "group_operator, or field, comparator and value."
        )
    for key in node:
        if key not in (_GROUP_KEYS if is_group else _SINGLE_KEYS):
            allowed = "group and group_operator, or field, comparator and value"
            raise QueryRefused(f"{path} has the key {shown(key)}; allowed are {allowed}.")
    return _group(node, path, depth) if is_group else (_single(node, path), 1)


def _group(node: dict[str, Any], path: str, depth: int) -> tuple[dict[str, Any], int]:
    operator, group = node.get("group_operator"), node.get("group")
    # Zoho's reference has them in lower case, samples elsewhere in upper case.
    operator = operator.lower() if isinstance(operator, str) else operator
    if operator not in ("and", "or"):
        raise QueryRefused(f"{path}.group_operator is {shown(operator)}; allowed are and, or.")
    if not isinstance(group, list) or len(group) < 2:  # noqa: PLR2004
        raise QueryRefused(f"{path}.group is {shown(group)}; it must be an array of two criteria or more.")
    members = [_check(member, f"{path}.group[{index}]", depth + 1) for index, member in enumerate(group)]
    normal = {"group_operator": operator, "group": [member for member, _ in members]}
    return normal, sum(found for _, found in members)


def _single(node: dict[str, Any], path: str) -> dict[str, Any]:
    normal: dict[str, Any] = {"field": {"api_name": _name(node, path)}}
    comparator = node.get("comparator")
    if comparator not in COMPARATORS:
        allowed = ", ".join(COMPARATORS)
        raise QueryRefused(f"{path}.comparator is {shown(comparator)}; allowed are {allowed}.")
    if "value" not in node:
        raise QueryRefused(f"{path}.value is missing; ${{EMPTY}} stands for an empty one.")
    _check_value(node["value"], str(comparator), f"{path}.value")
    normal |= {"comparator": comparator, "value": node["value"]}
    if "type" in node:
        if node["type"] != "value":
            raise QueryRefused(f'{path}.type is {shown(node["type"])}; allowed is "value".')
        normal["type"] = "value"
    return normal


def _name(node: dict[str, Any], path: str) -> str:
    """The field of a criterion: `field.api_name`, v2's `api_name`, or both where they agree."""
    field, name = node.get("field"), node.get("api_name")
    if "field" in node or "api_name" not in node:
        # Zoho's own answers have an id in it.
        if not isinstance(field, dict) or set(field) - {"api_name", "id"} or "api_name" not in field:
            raise QueryRefused(f'{path}.field is {shown(field)}; it must be {{"api_name": "<a field>"}}.')
        if "api_name" in node and name != field["api_name"]:
            said = shown(field["api_name"])
            raise QueryRefused(f"{path}.api_name is {shown(name)}; field.api_name is {said}: name one field.")
        name, path = field["api_name"], f"{path}.field"
    if not is_field_name(name):
        raise QueryRefused(
            f"{path}.api_name is {shown(name)}; it must be a field's API name, of A-Z a-z 0-9 _ $ with a "
            f"dot before each field of a lookup, {_MAX_TEXT} characters at most."
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
        raise QueryRefused(f"{path} has {len(value)} values; allowed are 1 to {MAX_VALUES}.")
    else:
        for index, item in enumerate(value):
            _check_scalar(item, f"{path}[{index}]")


def _check_range(value: Any, comparator: str, path: str) -> None:
    if not isinstance(value, list):
        raise QueryRefused(f"{path} is {shown(value)}; {comparator} takes an array of two values.")
    if len(value) != 2:  # noqa: PLR2004
        raise QueryRefused(f"{path} has {len(value)} values; {comparator} takes two.")
    for index, item in enumerate(value):
        if not is_moment(item):
            raise QueryRefused(f"{path}[{index}] is {shown(item)}; it must be {MOMENT_ALLOWED}.")


def _check_scalar(value: Any, path: str) -> None:
    if not isinstance(value, str | int | float):
        raise QueryRefused(
            f"{path} is {shown(value)}; it must be a text, a number or a boolean; "
            "${EMPTY} stands for an empty value."
        )
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        raise QueryRefused(
            f"{path} is {shown(value)} and has {len(value)} characters; allowed are {_MAX_TEXT}."
        )
