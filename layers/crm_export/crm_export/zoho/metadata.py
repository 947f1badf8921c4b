"""Metadata is kept for ten minutes beside the client of its connection."""
# The fields of a module, from its metadata: GET /crm/{version}/settings/fields.
#
# https://www.zoho.com/crm/developer/docs/api/v8/field-meta.html
#
# The modules of an account, from its metadata: GET /crm/{version}/settings/modules.
#
# https://www.zoho.com/crm/developer/docs/api/v8/modules-api.html
#
# What Zoho tells of a connection's modules and fields: a help for checks, never a precondition.
#
# Used by functions/bulk_read_submitter while it reads a request.
#

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from crm_export import deadline
from crm_export.errors import (
    InvalidRequest,
    StoreUnavailable,
    ZohoClientRejected,
    ZohoError,
    ZohoNotFound,
    ZohoPermissionDenied,
    ZohoQueryRefused,
    ZohoUnavailable,
)
from crm_export.telemetry import logger
from crm_export.zoho import catalog
from crm_export.zoho.client import ZohoClient
from crm_export.zoho.refusals import is_name, parse_json

_CACHE_SECONDS = 600.0


def kept[T](client: ZohoClient, version: str, what: str, read: Callable[[], T]) -> T:
    """What read() gave within the last ten minutes, or gives now. A failure is not kept."""
    until, found = client.metadata.get((version, what), (0.0, None))
    if until <= time.monotonic():
        found = read()
        client.metadata[(version, what)] = (time.monotonic() + _CACHE_SECONDS, found)
    return cast(T, found)


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
        response = client.request(
            "GET", path, params={"module": module}, scopes=(catalog.SETTINGS_FIELDS_SCOPE,)
        )
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


def get_modules(client: ZohoClient, version: str) -> list[str]:
    """The API names of all modules, custom ones too; kept for ten minutes beside the client."""

    def read() -> list[str]:
        path = f"/crm/{version}/settings/modules"
        answer = parse_json(client.request("GET", path).body)
        modules: Any = answer.get("modules") if isinstance(answer, dict) else None
        if not isinstance(modules, list):
            raise ZohoUnavailable(f"Zoho answered GET {path} without modules.")
        names = (item.get("api_name") for item in modules if isinstance(item, dict))
        return [str(name) for name in names if is_name(name)]

    return kept(client, version, "modules", read)


# For all that one request asks of metadata, too short for a second try: of API Gateway's 30, creating the
# job needs the rest.
_SECONDS = 5.0


class Metadata:
    """Answers None for what cannot be known: no scope, no such module, or Zoho does not answer soon.

    Raises TokenInvalidated and ZohoClientRejected: then no export can be made either.
    """

    def __init__(self, client: ZohoClient, version: str) -> None:
        self._client = client
        self._version = version
        self._until = time.monotonic() + _SECONDS
        self._unknown: set[str] = set()  # what was asked for in vain

    def modules(self) -> list[str] | None:
        """The API names of all modules."""
        return self._ask("modules", lambda: get_modules(self._client, self._version))

    def data_type(self, module: str, name: str) -> str | None:
        """The data type of a field, `Amount`, or of a looked up record's, `Account_Name.Phone`."""
        *lookups, last = name.split(".")
        for lookup in lookups:
            field = self._field(module, lookup)
            if field is None or field.data_type != "lookup" or field.lookup_module is None:
                return None
            module = field.lookup_module
        field = self._field(module, last)
        return None if field is None else field.data_type

    def _field(self, module: str, name: str) -> Field | None:
        fields = self._ask(f"fields of {module}", lambda: get_fields(self._client, self._version, module))
        return next((field for field in fields or [] if field.api_name == name), None)

    def _ask[T](self, what: str, read: Callable[[], T]) -> T | None:
        left = min(self._until - time.monotonic(), deadline.remaining())
        if left <= 0 or what in self._unknown:
            return None
        try:
            with deadline.ends_in(left):
                return read()
        except ZohoClientRejected:
            raise
        except (ZohoError, StoreUnavailable) as error:
            logger.info("metadata not read", what=what, code=error.code)
            self._unknown.add(what)
            if not isinstance(error, ZohoPermissionDenied | ZohoQueryRefused | ZohoNotFound):
                self._until = 0.0  # Zoho is busy or away: it is not asked again for this request
            return None
