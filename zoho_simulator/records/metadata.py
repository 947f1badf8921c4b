"""Metadata: the organisation, its users, its modules and the fields of a module.

https://www.zoho.com/crm/developer/docs/api/v8/get-org-data.html, get-users.html, modules-api.html and
field-meta.html
"""

from zoho_simulator.config import SimulatorConfig
from zoho_simulator.data.catalog import CUSTOM_MODULES, MODULES_WITH_RECORDS
from zoho_simulator.data.changes import without_fields
from zoho_simulator.data.columns import Field
from zoho_simulator.data.modules import field_id, load_module, module_id
from zoho_simulator.errors import ZohoError
from zoho_simulator.records.query import pattern_not_matched
from zoho_simulator.tokens import Call
from zoho_simulator.wire import Json, Response, json_response


def organisation(config: SimulatorConfig, call: Call) -> Response:
    """GET /crm/{v}/org."""
    call.grant.require("org")
    org = {
        "id": "111116000000000001",
        "zgid": config.soid.removeprefix("ZohoCRM."),
        "company_name": "Zylker",
        "country_code": "IN",
        "time_zone": "Asia/Kolkata",
        "license_details": {"paid": True, "paid_type": "enterprise", "users_license_purchased": 10},
    }
    return json_response(200, {"org": [org]})


def users(call: Call) -> Response:
    """GET /crm/{v}/users. There is one user."""
    call.grant.require("users")
    user = {
        "id": "111116000000000100",
        "full_name": "Patricia Boyle",
        "email": "patricia@zylker.example",
        "status": "active",
        "profile": {"name": "Administrator"},
    }
    return json_response(200, {"users": [user], "info": {"count": 1, "more_records": False}})


def modules_metadata(call: Call) -> Response:
    """GET /crm/{v}/settings/modules."""
    call.grant.require("settings", "modules")
    return json_response(200, {"modules": [_module(name) for name in MODULES_WITH_RECORDS]})


def fields_metadata(config: SimulatorConfig, call: Call) -> Response:
    """GET /crm/{v}/settings/fields?module=X."""
    call.grant.require("settings", "fields")
    name = call.request.query.get("module")
    if not name:
        raise pattern_not_matched("module")
    if name not in MODULES_WITH_RECORDS:
        raise ZohoError("INVALID_MODULE", {"resource_path_index": 0})
    if call.request.query.get("type") == "unused":
        return Response(204)
    module = without_fields(load_module(config.seed, name), config.hidden_fields)
    fields = [column.field for column in module.columns.values()]
    return json_response(200, {"fields": [_field(name, field) for field in fields if not field.system]})


def _module(name: str) -> Json:
    custom = name in CUSTOM_MODULES
    return {
        "id": module_id(name),
        "api_name": name,
        "module_name": f"CustomModule{CUSTOM_MODULES.index(name) + 1}" if custom else name,
        "singular_label": name.removesuffix("s"),
        "plural_label": name,
        "generated_type": "custom" if custom else "default",
        "visibility": 1,
        "convertable": name == "Leads",
        **dict.fromkeys(
            ("api_supported", "visible", "viewable", "creatable", "editable", "deletable", "show_as_tab"),
            True,
        ),
    }


def _field(module: str, field: Field) -> Json:
    label = field.api_name.replace("_", " ")
    lookup = {}
    if field.data_type == "lookup":
        lookup = {"module": {"api_name": field.lookup, "id": module_id(field.lookup)}}
    several = {}
    if field.modules:
        modules = [{"api_name": name, "id": module_id(name)} for name in field.modules]
        several = {"api_name": module, "display_label": module, "modules": modules}
    same = {
        name: getattr(field, name) for name in ("api_name", "data_type", "json_type", "length", "read_only")
    }
    return {
        "id": field_id(module, field.api_name),
        **same,
        "field_label": label,
        "display_label": label,
        "system_mandatory": field.mandatory,
        "field_read_only": field.read_only,
        "custom_field": field.custom,
        "visible": True,
        "lookup": lookup,
        "multi_module_lookup": several,
        "pick_list_values": [],
        "decimal_place": 2 if "currency" in {field.data_type, field.return_type} else None,
        "formula": {"return_type": field.return_type} if field.return_type else {},
    }
