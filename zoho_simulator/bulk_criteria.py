"""Strict validation of the `criteria` of a Bulk Read query, per API version, with Zoho's own errors."""

import json
import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from zoho_simulator.columns import Column
from zoho_simulator.config import VERSIONS, SimulatorConfig
from zoho_simulator.criteria import Criteria, Criterion, Group
from zoho_simulator.data import Module
from zoho_simulator.errors import ZohoError, bad_request

_NUMBERS = ("equal", "not_equal", "in", "not_in", "less_than", "less_equal", "greater_than", "greater_equal")
_TEXTS = ("equal", "not_equal", "in", "not_in", "contains", "not_contains", "starts_with", "ends_with")
_DATES = (*_NUMBERS, "between", "not_between")
_LOOKUPS = ("equal", "not_equal", "in", "not_in")
_NUMBER_TYPES = frozenset({"integer", "bigint", "double", "currency", "percent"})
_LOOKUP_TYPES = frozenset({"lookup", "ownerlookup", "userlookup"})
_EMPTY = "${EMPTY}"
_LISTS = frozenset({"in", "not_in", "between", "not_between"})
_DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)").fullmatch
_INTEGER = re.compile(r"-?[0-9]{1,19}").fullmatch
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?").fullmatch
_DATE = re.compile(r"\d{4}-\d\d-\d\d").fullmatch


@dataclass(frozen=True)
class Scope:
    """What criteria are read against."""

    config: SimulatorConfig
    version: str
    module: Module


def parse_criteria(scope: Scope, document: Any) -> Criteria:
    """The validated criteria. Raises ZohoError for whatever Zoho would refuse."""
    limit = scope.config.bulk_criteria_limit
    if _count(document) > limit:
        message = f"Number of criteria exceeded the maximum limit of {limit}"
        raise bad_request("CRITERIA_LIMIT_EXCEEDED", message, max_limit=limit)
    return _parse(scope, document)


def comparators_of(data_type: str) -> tuple[str, ...]:
    """The comparators Zoho allows for a data type."""
    if data_type in _NUMBER_TYPES:
        return _NUMBERS
    if data_type in {"date", "datetime"}:
        return _DATES
    if data_type == "boolean":
        return ("equal",)
    return _LOOKUPS if data_type in _LOOKUP_TYPES else _TEXTS


def _count(document: Any) -> int:
    if isinstance(document, dict) and isinstance(document.get("group"), list):
        return sum(_count(member) for member in document["group"])
    return 1


def _parse(scope: Scope, document: Any) -> Criteria:
    if not isinstance(document, dict):
        raise bad_request(
            "CRITERIA_NOT_SUPPORTED",
            f"Invalid criteria for the query. Criteria {_shown(document)} is not supported.",
        )
    grouped = document.keys() & {"group", "group_operator"}
    single = document.keys() & {"field", "api_name", "comparator", "value"}
    if (grouped and single) or not (grouped or single):
        message = (
            f"Ambiguous criteria {_shown(document)}. "
            "Criteria can have either {group, group_operator} or {api_name, comparator, value}."
        )
        raise bad_request("AMBIGUOUS_CRITERIA", message)
    return _parse_group(scope, document) if grouped else _parse_single(scope, document)


def _parse_group(scope: Scope, document: dict[str, Any]) -> Group:
    operator, members = document.get("group_operator"), document.get("group")
    if operator not in ("and", "or"):
        message = (
            f"Criteria {_shown(document)} doesn't support this logical group operator '{operator}'. "
            "Supported operators are 'and', 'or'."
        )
        raise bad_request("GROUP_OPERATOR_NOT_SUPPORTED", message, supported=["and", "or"])
    if not isinstance(members, list) or document.keys() - {"group", "group_operator"}:
        raise _invalid(document)
    if len(members) < 2:
        message = (
            f"Ambiguous group in criteria {_shown(document)}. "
            "Group should be used only when there are more than one criteria"
        )
        raise bad_request("AMBIGUOUS_GROUP_IN_CRITERIA", message)
    return Group(operator, tuple(_parse(scope, member) for member in members))


def _parse_single(scope: Scope, document: dict[str, Any]) -> Criterion:
    name = _field_name(scope, document)
    column = _column(scope, name, document)
    comparator = document.get("comparator")
    allowed = comparators_of(column.field.data_type)
    if comparator not in allowed:
        message = (
            f"Field api name '{name}' doesn't support this comparator '{comparator}' "
            f"for criteria {_shown(document)}."
        )
        raise bad_request(
            "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED", message, api_name=name, supported=list(allowed)
        )
    if "value" not in document:
        raise _invalid(document)
    return Criterion(column, comparator, _operand(scope, column, comparator, document))


def _field_name(scope: Scope, document: dict[str, Any]) -> str:
    keys = {"comparator", "value", "api_name"}
    name = document.get("api_name")
    if scope.version != "v2":
        field = document.get("field")
        keys |= {"field", "type"} if VERSIONS.index(scope.version) >= VERSIONS.index("v7") else {"field"}
        if isinstance(field, dict) and not field.keys() - {"api_name", "id"}:
            name = field.get("api_name")
        elif "field" in document or not scope.config.bulk_legacy_criteria_api_name:
            raise _invalid(document)
    if document.keys() - keys or not isinstance(name, str) or document.get("type", "value") != "value":
        raise _invalid(document)
    return name


def _column(scope: Scope, name: str, document: dict[str, Any]) -> Column:
    column = scope.module.column("id" if name == "Id" else name)
    if column is None:
        message = (
            f"Field api name '{name}' is not available for criteria {_shown(document)}. "
            "Check visibility and permission for the field"
        )
        raise bad_request("FIELD_IN_CRITERIA_NOT_AVAILABLE", message, api_name=name)
    if not column.field.exportable:
        message = f"Field api name '{name}' for criteria {_shown(document)} is not supported."
        raise bad_request("FIELD_IN_CRITERIA_NOT_SUPPORTED", message, api_name=name)
    return column


def _operand(scope: Scope, column: Column, comparator: str, document: dict[str, Any]) -> Any:
    value = document["value"]
    if not _shape_fits(comparator, value):
        shown = _shown(document)
        message = f"Comparator '{comparator}' is not supported with value '{value}' for criteria {shown}."
        raise bad_request("COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE", message, comparator=comparator)
    if not isinstance(value, list):
        return _key(column, value, document)
    limit = scope.config.bulk_values_limit
    if len(value) > limit:
        raise bad_request(
            "VALUE_LIMIT_EXCEEDED_IN_CRITERIA", f"Value exceeded limit {limit}", max_limit=limit
        )
    return [_key(column, item, document) for item in value]


def _shape_fits(comparator: str, value: Any) -> bool:
    if comparator not in _LISTS:
        return not isinstance(value, list)
    if not isinstance(value, list) or not value:
        return False
    return "between" not in comparator or (len(value) == 2 and _EMPTY not in value)


def _key(column: Column, value: Any, document: dict[str, Any]) -> Any:
    if value == _EMPTY and column.field.data_type != "boolean":
        return None
    if not isinstance(value, str | int | float):
        raise bad_request(
            "VALUE_TYPE_NOT_SUPPORTED",
            "Value type is not supported.",
            api_name="value",
            supported=["string", "jsonarray"],
        )
    try:
        return _convert(column.field.data_type, value)
    except ValueError:
        name = column.field.api_name
        message = f"Field '{name}' is not supported with value '{value}' for criteria {_shown(document)}."
        raise bad_request("FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE", message, api_name=name) from None


def _convert(data_type: str, value: str | float) -> Any:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if data_type in {"integer", "bigint"} | _LOOKUP_TYPES:
        return int(text) if _INTEGER(text) else _refuse(text)
    if data_type in _NUMBER_TYPES:
        return float(text) if _DECIMAL(text) else _refuse(text)
    if data_type == "boolean":
        return {"true": True, "false": False}[text] if text in ("true", "false") else _refuse(text)
    if data_type == "date":
        return date.fromisoformat(text).toordinal() if _DATE(text) else _refuse(text)
    if data_type == "datetime":
        # Milliseconds are refused, as Zoho's page on Bulk Read says.
        return int(datetime.fromisoformat(text).timestamp()) if _DATETIME(text) else _refuse(text)
    return text.casefold() if len(text) <= 255 else _refuse(text)


def _refuse(text: str) -> Any:
    raise ValueError(text)


def _invalid(document: dict[str, Any]) -> ZohoError:
    return ZohoError(400, "INVALID_CRITERIA", f"Invalid criteria {_shown(document)} for the query.", document)


def _shown(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
