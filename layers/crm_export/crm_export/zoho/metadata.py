"""The modules of an account and the fields of a module, cached for ten minutes with a connection's client.

https://www.zoho.com/crm/developer/docs/api/v8/modules-api.html
https://www.zoho.com/crm/developer/docs/api/v8/field-meta.html
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from crm_export import deadline
from crm_export.errors import (
    InvalidRequest,
    StoreUnavailable,
    ZohoClientRejected,
    ZohoError,
    ZohoPermissionDenied,
    ZohoUnavailable,
)
from crm_export.telemetry import logger
from crm_export.zoho.catalog import (
    PARENT_MODULE,
    POLYMORPHIC_LOOKUPS,
    SETTINGS_FIELDS_SCOPE,
    SETTINGS_MODULES_SCOPE,
)
from crm_export.zoho.refusals import is_name, parse_json

if TYPE_CHECKING:  # the cursor's module imports this one, and callback_receiver loads no HTTP client
    from crm_export.zoho.client import ZohoClient

MAX_FIELDS = 50  # of one records request, v3 and later
# Never in a list of records, only in the response for a single record.
SINGLE_RECORD_TYPES = {"subform", "multiselectlookup", "multiuserlookup"}
_CACHE_SECONDS = 600.0
_MOST_DIGITS = 30  # decimal places; Zoho allows nine
_FIRST_FIELDS = ("Created_Time", "Modified_Time", "Owner")
# Too short for a retry: creating the job needs the rest of API Gateway's 30 seconds.
_SECONDS_FOR_MODULES = 5.0


@dataclass(frozen=True)
class Field:
    """A field of a module. is_polymorphic: a lookup whose records belong to several modules.

    return_type: the type of a formula's or roll-up summary's values. What Zoho does not say is None.
    """

    api_name: str
    data_type: str
    is_polymorphic: bool = False
    json_type: str | None = None
    decimal_place: int | None = None
    return_type: str | None = None


def get_fields(client: "ZohoClient", version: str, module: str) -> list[Field]:
    """Return all fields of a module, in Zoho's order."""

    def read() -> list[Field]:
        path = f"/crm/{version}/settings/fields"
        response = client.request("GET", path, params={"module": module}, scopes=(SETTINGS_FIELDS_SCOPE,))
        if response.status == HTTPStatus.NO_CONTENT:
            return []
        found = _items(response.body, "fields", path)
        known = POLYMORPHIC_LOOKUPS.get(module, set())
        return [
            Field(
                item["api_name"],
                str(item.get("data_type")),
                is_polymorphic=item["api_name"] in known or _is_polymorphic(item),
                json_type=_name(item.get("json_type")),
                decimal_place=_digits(item.get("decimal_place")),
                return_type=_return_type(item),
            )
            for item in found
        ]

    return _cached(client, version, f"fields of {module}", read)


def _is_polymorphic(item: dict[str, Any]) -> bool:
    """Return True for a lookup of several modules: before v3, Zoho says that it looks up `se_module`."""
    lookup = item.get("lookup")
    module = lookup.get("module") if isinstance(lookup, dict) else None
    target = module.get("api_name") if isinstance(module, dict) else module
    return item.get("data_type") == "multi_module_lookup" or target == "se_module"


def _name(value: Any) -> str | None:
    return value if is_name(value) else None


def _digits(value: Any) -> int | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= _MOST_DIGITS else None


def _return_type(item: dict[str, Any]) -> str | None:
    """Return the type of a computed field's values, which Zoho names within what computes them."""
    computed = (item.get(name) for name in ("formula", "rollup_summary"))
    return next((_name(by.get("return_type")) for by in computed if isinstance(by, dict) and by), None)


def describe_fields(client: "ZohoClient", version: str, module: str) -> list[dict[str, Any]]:
    """Return the types of a module's fields, as docs/manifest.schema.json has them, in Zoho's order."""
    names = ("api_name", "data_type", "json_type", "decimal_place", "return_type")
    return [{name: getattr(field, name) for name in names} for field in get_fields(client, version, module)]


def choose_fields(client: "ZohoClient", version: str, module: str) -> tuple[list[str], list[str]]:
    """Return the fields to ask for when the caller names none (at most 50), and the fields left out.

    If a lookup is polymorphic, the fields to ask for include the one that names its record's module.

    Raises InvalidRequest if the grant may not read metadata or the module has no fields: then the caller
    has to name them.
    """
    try:
        fields = get_fields(client, version, module)
    except ZohoPermissionDenied as error:
        raise InvalidRequest(
            f"fields is missing: Zoho's API {version} requires it, and this connection may not read the "
            f"fields of {module} from Zoho (its grant lacks the scope {SETTINGS_FIELDS_SCOPE})."
        ) from error
    listable = [field.api_name for field in fields if field.data_type not in SINGLE_RECORD_TYPES]
    if not listable:
        raise InvalidRequest(f"fields is missing, and Zoho names no fields of module {module}.")
    parent = [PARENT_MODULE] if any(field.is_polymorphic for field in fields) else []
    # A stable sort: the first fields first, the others in Zoho's order.
    chosen = set(sorted(listable, key=lambda name: name not in _FIRST_FIELDS)[: MAX_FIELDS - len(parent)])
    names = [field.api_name for field in fields]
    return [*(name for name in names if name in chosen), *parent], [
        name for name in names if name not in chosen
    ]


def get_modules(client: "ZohoClient", version: str) -> list[str]:
    """Return the API names of all modules, custom ones too."""

    def read() -> list[str]:
        path = f"/crm/{version}/settings/modules"
        response = client.request("GET", path, scopes=(SETTINGS_MODULES_SCOPE,))
        return [item["api_name"] for item in _items(response.body, "modules", path)]

    return _cached(client, version, "modules", read)


def known_modules(client: "ZohoClient", version: str) -> list[str] | None:
    """Return the API names of all modules, or None if they cannot be read within five seconds.

    Metadata helps to check a request and is never required for it. Raises TokenInvalidated and
    ZohoClientRejected: then no export can be created either.
    """
    try:
        with deadline.ends_in(min(_SECONDS_FOR_MODULES, deadline.remaining())):
            return get_modules(client, version)
    except ZohoClientRejected:
        raise
    except (ZohoError, StoreUnavailable) as error:
        logger.info("modules not read", code=error.code)
        return None


def _cached[T](client: "ZohoClient", version: str, what: str, read: Callable[[], T]) -> T:
    """Return `read()`'s result, cached for ten minutes. Exceptions are not cached."""
    now = client.system.monotonic
    until, found = client.metadata.get((version, what), (0.0, None))
    if until <= now():
        found = read()
        client.metadata[(version, what)] = (now() + _CACHE_SECONDS, found)
    return cast(T, found)


def _items(body: bytes, key: str, path: str) -> list[dict[str, Any]]:
    """Return the objects of the array `key` that have an API name."""
    found = parse_json(body)
    items: Any = found.get(key) if isinstance(found, dict) else None
    if not isinstance(items, list):
        raise ZohoUnavailable(f"Zoho responded to GET {path} without {key}.")
    return [item for item in items if isinstance(item, dict) and is_name(item.get("api_name"))]
