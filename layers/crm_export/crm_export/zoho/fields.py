"""The fields of a module, from its metadata: GET /crm/{version}/settings/fields.

https://www.zoho.com/crm/developer/docs/api/v8/field-meta.html
"""

from dataclasses import dataclass
from typing import Any

from crm_export.errors import InvalidRequest, ZohoPermissionDenied, ZohoUnavailable
from crm_export.zoho import scopes
from crm_export.zoho.client import ZohoClient
from crm_export.zoho.kept import kept
from crm_export.zoho.responses import is_name, parse_json

MAX_FIELDS = 50  # of one records request, v3 and later
_NO_CONTENT = 204
# Never in a list of records: only when one record is read.
SINGLE_RECORD_TYPES = {"subform", "multiselectlookup", "multiuserlookup"}
_FIRST = ("Created_Time", "Modified_Time", "Owner")


@dataclass(frozen=True)
class Field:
    """A field of a module."""

    api_name: str
    data_type: str
    lookup_module: str | None = None  # what a `lookup` points to, where Zoho tells


def get_fields(client: ZohoClient, version: str, module: str) -> list[Field]:
    """All fields of a module, in Zoho's order; kept for ten minutes beside the client."""

    def read() -> list[Field]:
        path = f"/crm/{version}/settings/fields"
        response = client.request("GET", path, params={"module": module}, scopes=(scopes.SETTINGS_FIELDS,))
        return [] if response.status == _NO_CONTENT else _parse(response.body, path)

    return kept(client, version, f"fields of {module}", read)


def choose_fields(client: ZohoClient, version: str, module: str) -> tuple[list[str], list[str]]:
    """The fields to ask for when the caller names none (at most 50), and those left out.

    Raises InvalidRequest where the grant may not read metadata: then the caller has to name them.
    """
    try:
        fields = get_fields(client, version, module)
    except ZohoPermissionDenied as error:
        raise InvalidRequest(
            f"fields is missing: Zoho's API {version} wants them named, and this connection may not read "
            "them from Zoho (its grant lacks the scope ZohoCRM.settings.fields.READ)."
        ) from error
    listable = [item.api_name for item in fields if item.data_type not in SINGLE_RECORD_TYPES]
    ordered = [name for name in _FIRST if name in listable] + [
        name for name in listable if name not in _FIRST
    ]
    chosen = set(ordered[:MAX_FIELDS])
    names = [item.api_name for item in fields]
    if not chosen:
        raise InvalidRequest(f"fields is missing, and Zoho tells none of module {module}.")
    return [name for name in names if name in chosen], [name for name in names if name not in chosen]


def _parse(body: bytes, path: str) -> list[Field]:
    answer = parse_json(body)
    fields: Any = answer.get("fields") if isinstance(answer, dict) else None
    if not isinstance(fields, list):
        raise ZohoUnavailable(f"Zoho answered GET {path} without fields.")
    return [
        Field(item["api_name"], str(item.get("data_type")), _lookup_module(item))
        for item in fields
        if isinstance(item, dict) and is_name(item.get("api_name"))
    ]


def _lookup_module(item: dict[str, Any]) -> str | None:
    """`lookup.module`: an object with `api_name`, or the name alone."""
    lookup = item.get("lookup")
    module = lookup.get("module") if isinstance(lookup, dict) else None
    name = module.get("api_name") if isinstance(module, dict) else module
    return name if is_name(name) else None
