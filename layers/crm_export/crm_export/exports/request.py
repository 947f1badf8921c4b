"""Checks {type} and the body of POST /v1/e/zoho/bulk-read/{type}. Called by `start`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from crm_export.errors import QueryRefused, TypeNotSupported
from crm_export.zoho.catalog import MODULES
from crm_export.zoho.criteria import check_criteria, is_field_name, shown

_SPELLING = re.compile(r"[A-Za-z][A-Za-z0-9_ -]{0,99}")
_API_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_RUN_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CVID = re.compile(r"[0-9]{1,40}")
MAX_FIELDS = 200
_LONGEST_FIELD = 500  # including the dots of lookups
_LARGEST_PAGE = 2**31 - 1  # an int32 in Zoho's OpenAPI; Zoho knows how many pages there are
_FILE_TYPES = ("csv", "ics")

# Returns the API names of all modules, or None if they cannot be read: `zoho.metadata.known_modules`.
type KnownModules = Callable[[], list[str] | None]


@dataclass(frozen=True)
class StartRequest:
    """A request to start an export or to write a sync, not checked. read_body() raises InvalidRequest."""

    export_type: str
    read_body: Callable[[], dict[str, Any]]
    base_url: str
    idempotency_key: str | None = None


@dataclass(frozen=True)
class ExportRequest:
    """What to export.

    query: `fields` (a list, or "all"), `criteria` as `check_criteria` returns them, and `cvid`; each is
    present only if the caller gave it. page: the first of Zoho's pages (200,000 records each).
    """

    module: str
    query: dict[str, Any]
    file_type: str
    page: int = 1
    run_id: str | None = None


def parse_request(export_type: str, body: dict[str, Any], known_modules: KnownModules) -> ExportRequest:
    """Read {type} and the body `{"query"?: {...}, "file_type"?, "run_id"?}`, docs/openapi.yaml's StartExport.

    Raises TypeNotSupported, or QueryRefused with the path of a key, its value and what is allowed.
    `known_modules` is called only for a type that is not in MODULES.
    """
    module = resolve_module(export_type, known_modules)
    if "callback" in body:
        raise QueryRefused(
            "callback is not allowed: the export needs Zoho's callback itself. To learn when it ends, use "
            "the S3 event of its manifest.json, or GET /v1/e/zoho/bulk-read/exports/{export_id}."
        )
    _refuse_unknown("body", body, {"query", "file_type", "run_id"})
    query = body.get("query", {})
    if not isinstance(query, dict):
        raise QueryRefused(f"query is {shown(query)}; it must be an object.")
    if "page_token" in query:
        raise QueryRefused(
            "query.page_token is not allowed: it belongs to one of Zoho's jobs. An export continues to the "
            "end by itself; to start later, use page."
        )
    _refuse_unknown("query", query, {"module", "fields", "cvid", "criteria", "page", "file_type"})
    if "module" in query:
        _check_module(query["module"], module, export_type)
    file_type = _file_type(body, query, module)
    accepted = _fields(query, file_type) | _criteria(query) | _cvid(query)
    return ExportRequest(module, accepted, file_type, _page(query), _run_id(body))


def resolve_module(export_type: str, known_modules: KnownModules) -> str:
    """Return the API name of the module that {type} means. Raises TypeNotSupported."""
    known = MODULES.get(re.sub("[_ -]", "", export_type).lower())
    if known and _SPELLING.fullmatch(export_type):
        return known.api_name
    if not _API_NAME.fullmatch(export_type):
        raise TypeNotSupported(export_type, list(MODULES))
    names = known_modules()
    if names is None or export_type in names:
        return export_type  # without metadata Zoho decides
    for name in names:
        if name.lower() == export_type.lower():
            return name
    if export_type != export_type.lower():
        return export_type  # spelled as an API name: new modules and some others are missing in that list
    raise TypeNotSupported(export_type, sorted(names))


def _check_module(value: Any, module: str, export_type: str) -> None:
    is_object = isinstance(value, dict) and not set(value) - {"api_name", "id"}
    name = value.get("api_name") if is_object else value
    if not isinstance(name, str) or name.lower() not in (module.lower(), export_type.lower()):
        raise QueryRefused(
            f"query.module is {shown(value)}, but the path says {module}; leave it out or name that module."
        )


def _run_id(body: dict[str, Any]) -> str | None:
    if "run_id" not in body:
        return None
    run_id = body["run_id"]
    if not (isinstance(run_id, str) and is_run_id(run_id)):
        raise QueryRefused(f"run_id is {shown(run_id)}; it must be 1 to 64 of A-Z a-z 0-9 _ . -")
    return run_id


def is_run_id(value: str) -> bool:
    """True if a string can name a run: exports that belong together."""
    return _RUN_ID.fullmatch(value) is not None


def _file_type(body: dict[str, Any], query: dict[str, Any], module: str) -> str:
    """Return `file_type` of the body, or of the query, where Zoho's newer samples have it."""
    given = {}
    for path, where in (("file_type", body), ("query.file_type", query)):
        if "file_type" in where:
            given[path] = where["file_type"]
            if given[path] not in _FILE_TYPES:
                raise QueryRefused(f"{path} is {shown(given[path])}; allowed: {', '.join(_FILE_TYPES)}.")
    if len(set(given.values())) > 1:
        raise QueryRefused(
            f"file_type is {shown(given['file_type'])}, but query.file_type is "
            f"{shown(given['query.file_type'])}; leave one out or give the same value."
        )
    file_type = str(next(iter(given.values()), "csv"))
    if file_type == "ics" and module != "Events":
        raise QueryRefused(f'file_type is "ics", which is for Events only; use csv for {module}.')
    return file_type


def _fields(query: dict[str, Any], file_type: str) -> dict[str, Any]:
    """Return {"fields": …}, or {} if the query asks for all fields in Zoho's own way."""
    fields = query.get("fields", [])
    if fields != "all":
        _check_fields(fields)
    if not fields:
        return {}
    if file_type == "ics":
        raise QueryRefused(
            f'query.fields is {shown(fields)}; leave it out with file_type "ics", because Zoho writes whole '
            "events."
        )
    return {"fields": fields}


def _check_fields(fields: Any) -> None:
    if not isinstance(fields, list):
        raise QueryRefused(f'query.fields is {shown(fields)}; it must be an array of API names, or "all".')
    if len(fields) > MAX_FIELDS:  # Zoho would accept it and export all fields instead
        raise QueryRefused(f"query.fields has {len(fields)} names; at most {MAX_FIELDS} are allowed.")
    seen: dict[str, int] = {}
    for index, field in enumerate(fields):
        if not is_field_name(field, _LONGEST_FIELD):
            raise QueryRefused(
                f"query.fields[{index}] is {shown(field)}; it must be a field's API name, of A-Z a-z 0-9 _ $ "
                f"with a dot before each field of a lookup, {_LONGEST_FIELD} characters at most."
            )
        if field in seen:
            raise QueryRefused(
                f"query.fields[{index}] is {shown(field)}, and so is query.fields[{seen[field]}]; each field "
                "is allowed once."
            )
        seen[field] = index


def _criteria(query: dict[str, Any]) -> dict[str, Any]:
    return {"criteria": check_criteria(query["criteria"])} if "criteria" in query else {}


def _cvid(query: dict[str, Any]) -> dict[str, Any]:
    cvid = query.get("cvid")
    if cvid is None:  # Zoho's OpenAPI allows null
        return {}
    digits = str(cvid) if isinstance(cvid, str | int) else ""  # a string in Zoho's docs, a number in its SDKs
    if not _CVID.fullmatch(digits):
        raise QueryRefused(f"query.cvid is {shown(cvid)}; it must be a custom view's id, a string of digits.")
    return {"cvid": digits}


def _page(query: dict[str, Any]) -> int:
    page = query.get("page")
    if page is None:  # Zoho's OpenAPI allows null
        return 1
    if not isinstance(page, int) or isinstance(page, bool) or not 1 <= page <= _LARGEST_PAGE:
        raise QueryRefused(
            f"query.page is {shown(page)}; it must be a whole number from 1 to {_LARGEST_PAGE}: the page of "
            "200,000 records to start with."
        )
    return page


def _refuse_unknown(where: str, found: dict[str, Any], allowed: set[str]) -> None:
    for key in found:
        if key not in allowed:
            raise QueryRefused(f"{where} has the key {shown(key)}; allowed: {', '.join(sorted(allowed))}.")
