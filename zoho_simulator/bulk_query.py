"""Strict validation of the `query` of a Bulk Read request, per API version, with Zoho's own errors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from zoho_simulator.bulk_criteria import Scope, parse_criteria
from zoho_simulator.columns import Column
from zoho_simulator.config import VERSIONS, SimulatorConfig
from zoho_simulator.criteria import Criteria, Group, fields_of
from zoho_simulator.data import Module, module_id
from zoho_simulator.errors import ZohoError, bad_request
from zoho_simulator.modules import MODULES, NOT_IN_BULK_READ
from zoho_simulator.wire import Json

_QUERY_KEYS = {"module", "cvid", "fields", "criteria", "page"}


type Load = Callable[[str], Module]


@dataclass(frozen=True)
class BulkQuery:
    """A validated query. `fields` None means all; `echo` is the request's query for the status answer."""

    module: Module
    columns: tuple[Column, ...] | None = None
    fields: tuple[str, ...] | None = None
    criteria: Criteria | None = None
    cvid: str | None = None
    page: int = 1
    file_type: str = "csv"
    echo: Json = field(default_factory=dict)


def at_least(version: str, first: str) -> bool:
    """Whether `version` is `first` or newer."""
    return VERSIONS.index(version) >= VERSIONS.index(first)


def refuse_unknown(config: SimulatorConfig, document: Json, known: set[str], where: str) -> None:
    """Raise ZohoError for a key that is not among the known ones."""
    unknown = sorted(document.keys() - known)
    if unknown and config.bulk_strict_keys:
        # Zoho's OpenAPI leaves the details empty; the message is ours, to show what the mistake is.
        raise bad_request("INVALID_REQUEST", f"Invalid request: {where}.{unknown[0]} is not known.")


def wrong_type(api_name: str, supported: str) -> ZohoError:
    """The error for a value of the wrong JSON type."""
    message = "Value type is not supported."
    return bad_request("VALUE_TYPE_NOT_SUPPORTED", message, api_name=api_name, supported=[supported])


def parse_query(config: SimulatorConfig, load: Load, version: str, body: Json, query: Json) -> BulkQuery:
    """The validated query. Raises ZohoError with the code Zoho gives for the first thing wrong."""
    known = _QUERY_KEYS | ({"file_type"} if at_least(version, config.bulk_query_file_type_since) else set())
    refuse_unknown(config, query, known, "$.query")
    module = load(_module_name(config, version, query.get("module")))
    file_type = _file_type(body.get("file_type", query.get("file_type", "csv")), module)
    names = _fields(config, module, query.get("fields"), file_type)
    columns = tuple(_column(module, name) for name in names) if names else None
    criteria = (
        parse_criteria(Scope(config, version, module), query["criteria"]) if "criteria" in query else None
    )
    cvid = _cvid(query.get("cvid"))
    view = _view_criteria(config, version, module, cvid) if cvid is not None else None
    if criteria and view:
        criteria = Group("and", (view, criteria))
    _limit_joins(config, (*(names or ()), *(fields_of(criteria) if criteria else ())))
    page = _page(config, query.get("page"))
    return BulkQuery(module, columns, names, criteria or view, cvid, page, file_type, _echo(query, cvid))


def _module_name(config: SimulatorConfig, version: str, given: Any) -> str:
    name = given
    if version != "v2":
        if not isinstance(given, dict):
            raise wrong_type("module", "jsonobject")
        refuse_unknown(config, given, {"api_name", "id"}, "$.query.module")
        name = given.get("api_name")
    if not isinstance(name, str):
        raise wrong_type("module", "string")
    refused = config.bulk_unsupported | (NOT_IN_BULK_READ - ({"Notes"} if config.bulk_notes else set()))
    if name in refused:
        message = f"Invalid module for the query. Module '{name}' is not supported."
        raise bad_request("MODULE_NOT_SUPPORTED", message)
    if name not in MODULES or name == "Users":
        message = f"Requested module '{name}' is not available."
        raise bad_request("MODULE_NOT_AVAILABLE", message, api_name=name)
    if name in config.restricted_modules:
        raise ZohoError(
            403, "NO_PERMISSION", "Permission denied to read", {"permissions": [f"Crm_Implied_View_{name}"]}
        )
    return name


def _file_type(file_type: Any, module: Module) -> str:
    supported = ["ics", "csv"]
    if file_type not in supported or (file_type == "ics" and module.name != "Events"):
        raise bad_request("INVALID_DATA", "invalid data", api_name="file_type", supported_values=supported)
    return str(file_type)


def _fields(config: SimulatorConfig, module: Module, given: Any, file_type: str) -> tuple[str, ...] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise wrong_type("fields", "jsonarray")
    if file_type == "ics":
        raise bad_request(
            "QUERY_NOT_SUPPORTED", "Invalid query for bulk read job. Query 'fields' is not supported."
        )
    names = tuple(dict.fromkeys(given))
    for name in names:
        _column(module, name)
    # "Anything above 200, data will be exported with all fields."
    return names if 0 < len(names) <= config.bulk_fields_limit else None


def _column(module: Module, name: str) -> Column:
    column = module.column("id" if name == "Id" else name)
    if column is None:
        message = (
            f"Requested field api name '{name}' is not available for the module '{module.name}'. "
            "Check permission or visibility for the field."
        )
        raise bad_request("FIELD_NOT_AVAILABLE", message, api_name=name, module=module.name)
    if not column.field.exportable:
        message = (
            "Invalid field for the module provided in fields. "
            f"Field api name '{name}' is not supported for this module '{module.name}'."
        )
        raise bad_request("FIELD_NOT_SUPPORTED", message, api_name=name, module=module.name)
    return column


def _limit_joins(config: SimulatorConfig, names: Sequence[str]) -> None:
    # Account_Name.Parent_Account.Phone takes two joins: the account, and its parent.
    steps = [name.split(".")[:-1] for name in names]
    joins = {tuple(parents[: n + 1]) for parents in steps for n in range(len(parents))}
    limit = config.bulk_join_limit
    if len(joins) > limit:
        message = (
            f"Join limit exceeded for the query. Maximum number of joins supported in a query is {limit}"
        )
        raise bad_request("JOIN_LIMIT_EXCEEDED", message)


def _cvid(given: Any) -> str | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise wrong_type("cvid", "string")
    return str(given)


def _view_criteria(config: SimulatorConfig, version: str, module: Module, cvid: str) -> Criteria | None:
    if cvid == all_records_view(module.name):
        return None
    view = config.custom_views.get(cvid)
    if view is None or view.get("module") != module.name:
        raise bad_request("CVID_NOT_SUPPORTED", "The given custom view is not supported.")
    # Views are configured in one shape, whatever version is asked.
    return parse_criteria(Scope(config, "v8", module), view["criteria"])


def all_records_view(module: str) -> str:
    """The id of the custom view "All records" that each module has."""
    return str(int(module_id(module)) + 500_000)


def _page(config: SimulatorConfig, page: Any) -> int:
    if page is None:
        return 1
    if not isinstance(page, int) or isinstance(page, bool) or page < 1:
        message = f"Invalid page number for query. Page {page} is not supported for the query."
        raise bad_request("PAGE_NOT_SUPPORTED", message)
    limit = config.bulk_page_max
    if page > limit:
        message = f"Page range exceeded for the query. Page range is from 1 to {limit}."
        raise bad_request("PAGE_RANGE_EXCEEDED", message, max_limit=limit)
    return page


def _echo(query: Json, cvid: str | None) -> Json:
    echo: Json = {key: query[key] for key in ("fields", "criteria") if key in query}
    return {**echo, **({"cvid": cvid} if cvid is not None else {})}
