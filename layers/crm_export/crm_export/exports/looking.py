"""What `crm-export modules`, `fields` and `page` look at: any module of a connection, whatever is exported.

A folder calls these functions itself; for a stack functions/export_handler does, through `api.looking`.
"""

from functools import partial
from typing import TYPE_CHECKING

from crm_export.exports.request import resolve_module
from crm_export.zoho.metadata import Field, get_fields, get_modules, known_modules
from crm_export.zoho.records import PageRequest, PageResponse, RecordsReader

if TYPE_CHECKING:
    from crm_export.zoho.client import ZohoClient

VERSION = "v8"  # of the records API and of metadata, whatever version the page API has


def list_modules(client: "ZohoClient") -> list[str]:
    """Return the API names of all modules. Raises as `ZohoClient.request` does."""
    return get_modules(client, VERSION)


def list_fields(client: "ZohoClient", module: str) -> list[Field]:
    """Return the fields of a module, in Zoho's order. Raises TypeNotSupported, and as `list_modules`."""
    return get_fields(client, VERSION, _api_name(client, module))


def read_page(client: "ZohoClient", module: str, request: PageRequest) -> PageResponse:
    """Return one page of a module's records. Raises as `list_fields`, and InvalidRequest."""
    return RecordsReader(client).get_page(VERSION, _api_name(client, module), request)


def _api_name(client: "ZohoClient", module: str) -> str:
    return resolve_module(module, partial(known_modules, client, VERSION))
