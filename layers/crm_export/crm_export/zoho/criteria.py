"""Criteria of a Bulk Read query: their structure, as every version of Zoho's API wants it.

What needs a field's type is in zoho.criteria_types.
https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/create-job.html
"""
# Criteria against the types of their fields: Zoho's table of comparators and values per data type.
#
# https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/create-job.html, "Allowed Comparators"
#

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
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


_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BIG_INTEGER = re.compile(r"[+-]?[0-9]{1,19}(\.0*)?")
_ID = re.compile(r"[0-9]{1,19}")
_SAME = ("equal", "not_equal", "in", "not_in")
_ORDERED = ("less_than", "less_equal", "greater_than", "greater_equal")


@dataclass(frozen=True)
class _Kind:
    """A row of the table. fits(value) is asked of all but Zoho's placeholders, such as ${EMPTY}."""

    comparators: tuple[str, ...]
    fits: Callable[[Any], bool]
    allowed: str
    placeholders: bool = True


def _text_of(value: Any) -> str:
    return "" if isinstance(value, bool) else str(value)


_NUMBERS = _Kind(
    (*_SAME, *_ORDERED), lambda value: bool(_NUMBER.fullmatch(_text_of(value))), "a number or ${EMPTY}"
)
_BIG_INTEGERS = _Kind(
    (*_SAME, *_ORDERED),
    lambda value: bool(_BIG_INTEGER.fullmatch(_text_of(value))),
    "a whole number of 19 digits at most, or ${EMPTY}",
)
_TEXTS = _Kind(
    (*_SAME, "contains", "not_contains", "starts_with", "ends_with"), lambda _: True, "a text or ${EMPTY}"
)
_IN_TIME = (*_SAME, "between", "not_between", *_ORDERED)
# What Zoho makes of a date for a datetime, or of one without an offset, is not documented: it judges.
_DATES = _Kind(_IN_TIME, is_moment, "a date in ISO 8601, as in 2026-02-22, or ${EMPTY}")
_DATETIMES = _Kind(
    _IN_TIME,
    is_moment,
    "a datetime in ISO 8601 with its offset and without milliseconds, as in 2026-02-22T15:39:26+05:30, or "
    "${EMPTY}",
)
_BOOLEANS = _Kind(
    ("equal",),
    lambda value: isinstance(value, bool) or _text_of(value).lower() in ("true", "false"),
    "true or false",
    placeholders=False,
)
_LOOKUPS = _Kind(
    _SAME,
    lambda value: bool(_ID.fullmatch(_text_of(value))),
    "the id of a record, or ${EMPTY}; a dot leads to the record's own fields, as in Owner.last_name",
)
# Types that are not here (formula, autonumber, rollup_summary, ...) are not in Zoho's table.
_KINDS = {
    **dict.fromkeys(("integer", "long", "double", "decimal", "currency", "percent"), _NUMBERS),
    "bigint": _BIG_INTEGERS,
    **dict.fromkeys(
        ("text", "textarea", "email", "phone", "website", "url", "picklist", "multiselectpicklist"), _TEXTS
    ),
    "date": _DATES,
    "datetime": _DATETIMES,
    "boolean": _BOOLEANS,
    **dict.fromkeys(("lookup", "ownerlookup", "userlookup"), _LOOKUPS),
}


def check_types(
    criteria: dict[str, Any], data_type: Callable[[str], str | None], path: str = "query.criteria"
) -> None:
    """Raise QueryRefused where a comparator or a value does not fit its field's type.

    criteria are those of `check_criteria`. data_type(name) gives the type of a field, or None: then, and for
    types that Zoho's table does not have, it is Zoho who checks.
    """
    for index, member in enumerate(criteria.get("group", [])):
        check_types(member, data_type, f"{path}.group[{index}]")
    if "field" in criteria:
        name = criteria["field"]["api_name"]
        found = data_type(name)
        if found in _KINDS:
            _check_type(criteria, name, found, path)


def _check_type(criterion: dict[str, Any], name: str, data_type: str, path: str) -> None:
    kind, comparator, value = _KINDS[data_type], criterion["comparator"], criterion["value"]
    if comparator not in kind.comparators:
        raise QueryRefused(
            f"{path}.comparator is {shown(comparator)}; field {name} is of the type {data_type}, "
            f"which allows {', '.join(kind.comparators)}."
        )
    if isinstance(value, list):
        for index, item in enumerate(value):
            _check_typed_value(kind, item, f"{path}.value[{index}]", name, data_type)
    elif comparator not in ("in", "not_in"):  # one text there may be a list in Zoho's eyes
        _check_typed_value(kind, value, f"{path}.value", name, data_type)


def _check_typed_value(kind: _Kind, value: Any, path: str, name: str, data_type: str) -> None:
    if kind.placeholders and isinstance(value, str) and value.startswith("${"):
        return
    if not kind.fits(value):
        raise QueryRefused(
            f"{path} is {shown(value)}; field {name} is of the type {data_type}, which takes {kind.allowed}."
        )
