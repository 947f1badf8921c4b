"""Criteria against the types of their fields: Zoho's table of comparators and values per data type.

https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/create-job.html, "Allowed Comparators"
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from crm_export.errors import QueryRefused
from crm_export.zoho.criteria import is_moment, shown

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
            _check(criteria, name, found, path)


def _check(criterion: dict[str, Any], name: str, data_type: str, path: str) -> None:
    kind, comparator, value = _KINDS[data_type], criterion["comparator"], criterion["value"]
    if comparator not in kind.comparators:
        raise QueryRefused(
            f"{path}.comparator is {shown(comparator)}; field {name} is of the type {data_type}, "
            f"which allows {', '.join(kind.comparators)}."
        )
    if isinstance(value, list):
        for index, item in enumerate(value):
            _check_value(kind, item, f"{path}.value[{index}]", name, data_type)
    elif comparator not in ("in", "not_in"):  # one text there may be a list in Zoho's eyes
        _check_value(kind, value, f"{path}.value", name, data_type)


def _check_value(kind: _Kind, value: Any, path: str, name: str, data_type: str) -> None:
    if kind.placeholders and isinstance(value, str) and value.startswith("${"):
        return
    if not kind.fits(value):
        raise QueryRefused(
            f"{path} is {shown(value)}; field {name} is of the type {data_type}, which takes {kind.allowed}."
        )
