"""What an operator looks at through functions/export_handler: GET /operator/modules, fields, page and check.

The HTTP API has no such route: only `api.operator` makes these events (docs/deploy.md, "Operators").
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from crm_export.api.requests import parse_page_request
from crm_export.api.responses import JsonResponse, success
from crm_export.errors import InvalidRequest, RouteNotFound
from crm_export.exports.looking import VERSION, list_fields, list_modules, read_page
from crm_export.exports.model import Caller

if TYPE_CHECKING:
    from crm_export.zoho.checks import Report
    from crm_export.zoho.client import ZohoClient

_MESSAGE = "Received Information"
type _Clients = Callable[[str, str], "ZohoClient"]


def look(
    event: dict[str, Any], caller: Caller, clients: _Clients, check: Callable[[str, str], "Report"]
) -> JsonResponse:
    """Return what the path of an operator's event names. `clients`, `check`: functions of account and owner.

    modules: their API names. fields: those of the parameter `module`. page: its records, as Zoho sent them,
    with the parameters of the page API. check: what the connection may do, as `Report.document`. Raises
    RouteNotFound, InvalidRequest, and as these functions.
    """
    identity = (caller.account_id, caller.owner)
    params = dict(event.get("queryStringParameters") or {})
    match event["rawPath"].removeprefix("/operator/"):
        case "modules":
            return success(_MESSAGE, list_modules(clients(*identity)))
        case "fields":
            found = list_fields(clients(*identity), _module(params))
            return success(_MESSAGE, [asdict(field) for field in found])
        case "page":
            module, request = _module(params), parse_page_request(VERSION, params)
            page = read_page(clients(*identity), module, request)
            return success(_MESSAGE, page.data, pagination=page.info)
        case "check":
            return success(_MESSAGE, check(*identity).document())
    raise RouteNotFound("An operator's path is /operator/ with modules, fields, page or check.")


def _module(params: dict[str, str]) -> str:
    """Take the parameter `module` out of the others. Raises InvalidRequest."""
    if not params.get("module"):
        raise InvalidRequest("module is missing; it must be a module's name, such as contacts.")
    return params.pop("module")
