"""Metadata: modules, fields, the current user and the organisation."""

from zoho_simulator.builder import ID_BASE
from zoho_simulator.columns import Column
from zoho_simulator.data import Module, field_id, load_module, module_id
from zoho_simulator.errors import invalid_module, pattern_not_matched
from zoho_simulator.modules import CUSTOM_MODULES, MODULES
from zoho_simulator.oauth import Grant, require_scope
from zoho_simulator.pools import USERS
from zoho_simulator.simulation import Simulation
from zoho_simulator.wire import Json, Request, Response, json_response


def modules_metadata(grant: Grant) -> Response:
    """GET /crm/{v}/settings/modules."""
    require_scope(grant, "settings", "modules")
    names = [name for name in MODULES if name != "Users"]
    return json_response(200, {"modules": [_module(name) for name in names]})


def fields_metadata(sim: Simulation, grant: Grant, request: Request) -> Response:
    """GET /crm/{v}/settings/fields?module=X."""
    require_scope(grant, "settings", "fields")
    name = request.query.get("module")
    if not name:
        raise pattern_not_matched("module")
    if name not in MODULES or name == "Users":
        raise invalid_module()
    if request.query.get("type") == "unused":
        return Response(204)
    module = load_module(sim.config.seed, name, sim.config.multiselect_delimiter)
    listed = [c for c in module.columns.values() if not c.field.system]
    return json_response(200, {"fields": [_field(module, column) for column in listed]})


def users(grant: Grant) -> Response:
    """GET /crm/{v}/users: always the current user."""
    require_scope(grant, "users")
    first, last = USERS[0]
    user = {
        "id": str(ID_BASE + 1_000_000_000),
        "first_name": first,
        "last_name": last,
        "full_name": f"{first} {last}",
        "email": "user.0@example.com",
        "status": "active",
        "confirm": True,
        "locale": "en_US",
        "time_zone": "Asia/Kolkata",
    }
    info = {"per_page": 200, "count": 1, "page": 1, "more_records": False}
    return json_response(200, {"users": [user], "info": info})


def organisation(grant: Grant) -> Response:
    """GET /crm/{v}/org."""
    require_scope(grant, "org")
    org = {
        "id": str(ID_BASE + 1),
        "company_name": "Simulated Org",
        "zgid": "60012345678",
        "primary_email": "user.0@example.com",
    }
    return json_response(200, {"org": [org]})


def _module(name: str) -> Json:
    custom = name in CUSTOM_MODULES
    return {
        "id": module_id(name),
        "api_name": name,
        "module_name": f"CustomModule{CUSTOM_MODULES.index(name) + 1}" if custom else name,
        "singular_label": name.removesuffix("s"),
        "plural_label": name,
        "api_supported": True,
        "generated_type": "custom" if custom else "default",
        "visible": True,
        "viewable": True,
        "visibility": 1,
        "creatable": True,
        "editable": True,
        "deletable": True,
        "convertable": name == "Leads",
        "show_as_tab": True,
    }


def _field(module: Module, column: Column) -> Json:
    field = column.field
    lookup = (
        {"module": {"api_name": field.lookup, "id": module_id(field.lookup)}}
        if field.data_type == "lookup"
        else {}
    )
    return {
        "id": field_id(module.name, field.api_name),
        "api_name": field.api_name,
        "field_label": field.api_name.replace("_", " "),
        "display_label": field.api_name.replace("_", " "),
        "data_type": field.data_type,
        "json_type": field.json_type,
        "length": field.length,
        "system_mandatory": field.mandatory,
        "read_only": field.read_only,
        "field_read_only": field.read_only,
        "custom_field": field.custom,
        "visible": True,
        "lookup": lookup,
        "pick_list_values": [],
    }
