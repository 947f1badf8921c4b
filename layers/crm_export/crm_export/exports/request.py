"""What a caller may ask for. Read by functions/bulk_read_submitter for POST /v1/e/zoho/bulk-read/{type}."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from crm_export.errors import QueryRefused, TypeNotSupported
from crm_export.zoho.catalog import MODULES
from crm_export.zoho.criteria import check_criteria, is_field_name, shown

_SPELLING = re.compile(r"[A-Za-z][A-Za-z0-9_ -]{0,99}")
_API_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_CVID = re.compile(r"[0-9]{1,40}")
_MAX_FIELDS = 200
_LONGEST_FIELD = 500  # with all its dots
_LARGEST_PAGE = 2**31 - 1  # an int32 in Zoho's OpenAPI; how many pages there may be, Zoho knows
_FILE_TYPES = ("csv", "ics")
ALL_FIELDS = "all"


@dataclass(frozen=True)
class ExportRequest:
    """What is to be exported.

    query: Zoho's `fields` (or "all": every field by name), `criteria` as `check_criteria` gives them, `cvid`;
    each only where it was given. page: that of Zoho's pages (200,000 records each) to begin with.
    """

    module: str
    query: dict[str, Any]
    file_type: str
    page: int = 1


@dataclass(frozen=True)
class StartRequest:
    """POST /v1/e/zoho/bulk-read/{type}, not checked yet. read_body() raises InvalidRequest."""

    export_type: str
    read_body: Callable[[], dict[str, Any]]
    base_url: str
    idempotency_key: str | None


# Returns the API names of all modules, or None if they cannot be read: `zoho.metadata.known_modules`.
type KnownModules = Callable[[], list[str] | None]


def parse_request(export_type: str, wanted: dict[str, Any], known_modules: KnownModules) -> ExportRequest:
    """Read {type} and the body: `{"query"?: {...}, "file_type"?}`, docs/openapi.yaml's StartExport.

    Raises TypeNotSupported, or QueryRefused with the path of a key, its value and what is allowed.
    `known_modules` is called only for a type that is not in MODULES.
    """
    module = resolve_module(export_type, known_modules)
    if "callback" in wanted:
        raise QueryRefused(
            "callback is our own: Zoho calls the export back. To learn of its end take the S3 event of its "
            "manifest.json, or ask GET /v1/e/zoho/bulk-read/exports/{export_id}."
        )
    _refuse_unknown("body", wanted, {"query", "file_type"})
    query = wanted.get("query", {})
    if not isinstance(query, dict):
        raise QueryRefused(f"query is {shown(query)}; it must be an object.")
    if "page_token" in query:
        raise QueryRefused(
            "query.page_token belongs to one of Zoho's jobs and its user. The export goes on by itself to "
            "the end; to begin later, take page."
        )
    _refuse_unknown("query", query, {"module", "fields", "cvid", "criteria", "page", "file_type"})
    if "module" in query:
        _check_module(query["module"], module, export_type)
    file_type = _file_type(wanted, query, module)
    kept = _fields(query, file_type) | _criteria(query) | _cvid(query)
    return ExportRequest(module, kept, file_type, _page(query))


def resolve_module(export_type: str, known_modules: KnownModules) -> str:
    """The API name of the module that {type} means. Raises TypeNotSupported."""
    known = MODULES.get(re.sub("[_ -]", "", export_type).lower())
    if known and _SPELLING.fullmatch(export_type):
        return known.api_name
    if not _API_NAME.fullmatch(export_type):
        raise TypeNotSupported("Type is not Selected yet")
    names = known_modules()
    if names is None or export_type in names:
        return export_type  # where metadata is not to be had, Zoho judges
    for name in names:
        if name.lower() == export_type.lower():
            return name
    if export_type != export_type.lower():
        return export_type  # written as an API name: not every module is in that list, nor is the newest
    raise TypeNotSupported("Type is not Selected yet")


def _check_module(found: Any, module: str, export_type: str) -> None:
    name = found.get("api_name") if isinstance(found, dict) and not set(found) - {"api_name", "id"} else found
    same = isinstance(name, str) and name.lower() in (module.lower(), export_type.lower())
    if not same:
        raise QueryRefused(
            f"query.module is {shown(found)}; the path says {module}: leave it out, or name the same."
        )


def _file_type(wanted: dict[str, Any], query: dict[str, Any], module: str) -> str:
    """`file_type` of the body, or of the query, where newer samples of Zoho's have it."""
    said = {}
    for path, where in (("file_type", wanted), ("query.file_type", query)):
        if "file_type" in where:
            said[path] = where["file_type"]
            if said[path] not in _FILE_TYPES:
                raise QueryRefused(f"{path} is {shown(said[path])}; allowed are {', '.join(_FILE_TYPES)}.")
    if len(set(said.values())) > 1:
        raise QueryRefused(
            f"file_type is {shown(said['file_type'])}, and query.file_type {shown(said['query.file_type'])}; "
            "they must be the same, or one be left out."
        )
    file_type = str(next(iter(said.values()), "csv"))
    if file_type == "ics" and module != "Events":
        raise QueryRefused(
            f'file_type is "ics"; for {module} allowed is csv: only Events are written as ICS.'
        )
    return file_type


def _fields(query: dict[str, Any], file_type: str) -> dict[str, Any]:
    """The part `fields` of the query, empty where all are meant."""
    fields = query.get("fields", [])
    if fields != ALL_FIELDS:
        _check_fields(fields)
    if not fields:
        return {}
    if file_type == "ics":
        raise QueryRefused(
            f'query.fields is {shown(fields)}; with file_type "ics" it must be left out: Zoho writes whole '
            "events then."
        )
    return {"fields": fields}


def _check_fields(fields: Any) -> None:
    if not isinstance(fields, list):
        raise QueryRefused(
            f'query.fields is {shown(fields)}; it must be an array of fields\' API names, or "all".'
        )
    if len(fields) > _MAX_FIELDS:
        # Zoho would take it, and export all fields instead.
        raise QueryRefused(f"query.fields has {len(fields)} names; allowed are {_MAX_FIELDS}.")
    seen: dict[str, int] = {}
    for index, field in enumerate(fields):
        if not is_field_name(field, _LONGEST_FIELD):
            raise QueryRefused(
                f"query.fields[{index}] is {shown(field)}; it must be a field's API name, of A-Z a-z 0-9 _ $ "
                f"with a dot before each field of a lookup, {_LONGEST_FIELD} characters at most."
            )
        if field in seen:
            raise QueryRefused(
                f"query.fields[{index}] is {shown(field)}, as is query.fields[{seen[field]}]; "
                "each field is allowed once."
            )
        seen[field] = index


def _criteria(query: dict[str, Any]) -> dict[str, Any]:
    return {"criteria": check_criteria(query["criteria"])} if "criteria" in query else {}


def _cvid(query: dict[str, Any]) -> dict[str, Any]:
    cvid = query.get("cvid")
    if cvid is None:  # Zoho's OpenAPI allows null
        return {}
    text = str(cvid) if isinstance(cvid, str | int) else ""  # a text on Zoho's page, a number in its SDKs
    if not _CVID.fullmatch(text):
        raise QueryRefused(
            f"query.cvid is {shown(cvid)}; it must be the id of a custom view, digits as text."
        )
    return {"cvid": text}


def _page(query: dict[str, Any]) -> int:
    page = query.get("page")
    if page is None:  # likewise
        return 1
    if not isinstance(page, int) or isinstance(page, bool) or not 1 <= page <= _LARGEST_PAGE:
        raise QueryRefused(
            f"query.page is {shown(page)}; it must be a whole number from 1 to {_LARGEST_PAGE}: the page of "
            "200,000 records to begin with."
        )
    return page


def _refuse_unknown(where: str, found: dict[str, Any], allowed: set[str]) -> None:
    for key in found:
        if key not in allowed:
            raise QueryRefused(f"{where} has the key {shown(key)}; allowed are {', '.join(sorted(allowed))}.")
