"""Strict validation of a Bulk Read create request, per API version, with Zoho's own errors.

https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/create-job.html
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from zoho_simulator.config import SimulatorConfig, at_least
from zoho_simulator.data.catalog import MODULES_WITH_RECORDS, NOT_IN_BULK_READ
from zoho_simulator.data.columns import Column
from zoho_simulator.data.criteria import (
    Criteria,
    Group,
    Scope,
    fields_of,
    parse_criteria,
    view_criteria,
    wrong_type,
)
from zoho_simulator.data.modules import Module
from zoho_simulator.errors import ZohoError
from zoho_simulator.wire import Json, Request

_TOP_KEYS = {"callback", "query", "file_type"}
_QUERY_KEYS = {"module", "cvid", "fields", "criteria", "page"}
_FILE_TYPES = ["ics", "csv"]


@dataclass(frozen=True)
class BulkQuery:
    """A validated query. `fields` None means all; `echo` is what the job details repeat of the request."""

    module: Module
    columns: tuple[Column, ...] | None = None
    fields: tuple[str, ...] | None = None
    criteria: Criteria | None = None
    cvid: str | None = None
    page: int = 1
    is_continued: bool = False  # by a page token
    file_type: str = "csv"
    echo: Json = field(default_factory=dict)


@dataclass(frozen=True)
class CreateRequest:
    """A validated create request: a query or the page token of another job, and a callback URL or None."""

    query: BulkQuery | str
    callback_url: str | None


@dataclass(frozen=True)
class CreateRequestParser:
    """Parses create requests of one API version. `load` returns the module of a known name."""

    _config: SimulatorConfig
    _load: Callable[[str], Module]
    _version: str

    def parse(self, request: Request) -> CreateRequest:
        """Validate a create request. Raises ZohoError for the first mistake."""
        body = _read_body(self._version, request)
        self._refuse_unknown(body, _TOP_KEYS, "$")
        callback_url = self._callback(body["callback"]) if "callback" in body else None
        query = body.get("query")
        if not isinstance(query, dict) or not query:
            raise ZohoError("QUERY_NOT_SUPPORTED", key=json.dumps(query))
        if "page_token" in query and at_least(self._version, "v7"):
            return CreateRequest(_page_token(query), callback_url)
        return CreateRequest(self._query(body, query), callback_url)

    def _refuse_unknown(self, document: Json, known: set[str], where: str) -> None:
        unknown = sorted(document.keys() - known)
        if unknown and self._config.bulk_strict_keys:
            # Zoho's OpenAPI leaves the details empty; the message is ours, to show the mistake.
            raise ZohoError("INVALID_REQUEST", message=f"Invalid request: {where}.{unknown[0]} is not known.")

    def _callback(self, callback: Any) -> str:
        if not isinstance(callback, dict):
            raise wrong_type("callback", "jsonobject")
        self._refuse_unknown(callback, {"url", "method"}, "$.callback")
        url, method = callback.get("url"), callback.get("method")
        parts = urlsplit(url) if isinstance(url, str) else None
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise ZohoError("INVALID_CALLBACK_URL", url=url)
        if method != "post":
            raise ZohoError(
                "INVALID_CALLBACK_METHOD", {"supported_callback_methods": ["post"]}, method=method
            )
        return str(url)

    def _query(self, body: Json, query: Json) -> BulkQuery:
        config, version = self._config, self._version
        has_file_type = at_least(version, config.bulk_query_file_type_since)
        self._refuse_unknown(query, _QUERY_KEYS | ({"file_type"} if has_file_type else set()), "$.query")
        module = self._load(self._module_name(query.get("module")))
        file_type = _file_type(body.get("file_type", query.get("file_type", "csv")), module)
        names = self._fields(module, query.get("fields"), file_type)
        columns = tuple(_column(module, name) for name in names) if names else None
        criteria = None
        if "criteria" in query:
            criteria = parse_criteria(Scope(version, module), query["criteria"])
        cvid = _cvid(query.get("cvid"))
        view = self._view(module, cvid) if cvid is not None else None
        if criteria and view:
            criteria = Group("and", (view, criteria))
        self._limit_joins((*(names or ()), *(fields_of(criteria) if criteria else ())))
        page = self._page(query.get("page"))
        return BulkQuery(
            module, columns, names, criteria or view, cvid, page, file_type=file_type, echo=_echo(query, cvid)
        )

    def _module_name(self, given: Any) -> str:
        name, config = given, self._config
        if self._version != "v2":
            if not isinstance(given, dict):
                raise wrong_type("module", "jsonobject")
            self._refuse_unknown(given, {"api_name", "id"}, "$.query.module")
            name = given.get("api_name")
        if not isinstance(name, str):
            raise wrong_type("module", "string")
        if name in config.bulk_unsupported | (NOT_IN_BULK_READ - ({"Notes"} if config.bulk_notes else set())):
            raise ZohoError("MODULE_NOT_SUPPORTED", module=name)
        if name not in MODULES_WITH_RECORDS:
            raise ZohoError("MODULE_NOT_AVAILABLE", {"api_name": name})
        if name in config.restricted_modules:
            raise ZohoError("NO_PERMISSION", {"permissions": [f"Crm_Implied_View_{name}"]})
        return name

    def _fields(self, module: Module, given: Any, file_type: str) -> tuple[str, ...] | None:
        if given is None:
            return None
        if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
            raise wrong_type("fields", "jsonarray")
        if file_type == "ics":
            raise ZohoError("QUERY_NOT_SUPPORTED", key="fields")
        names = tuple(dict.fromkeys(given))
        for name in names:
            _column(module, name)
        # "Anything above 200, data will be exported with all fields."
        return names if 0 < len(names) <= self._config.bulk_fields_limit else None

    def _view(self, module: Module, cvid: str) -> Criteria | None:
        try:
            return view_criteria(self._config, module, cvid)
        except KeyError:
            raise ZohoError("CVID_NOT_SUPPORTED") from None

    def _limit_joins(self, names: Sequence[str]) -> None:
        # Account_Name.Parent_Account.Phone takes two joins: the account and its parent.
        steps = [name.split(".")[:-1] for name in names]
        joins = {tuple(parents[: n + 1]) for parents in steps for n in range(len(parents))}
        limit = self._config.bulk_join_limit
        if len(joins) > limit:
            raise ZohoError("JOIN_LIMIT_EXCEEDED", max_limit=limit)

    def _page(self, page: Any) -> int:
        if page is None:
            return 1
        if not isinstance(page, int) or isinstance(page, bool) or page < 1:
            raise ZohoError("PAGE_NOT_SUPPORTED", page=page)
        if page > self._config.bulk_page_max:
            raise ZohoError("PAGE_RANGE_EXCEEDED", {"max_limit": self._config.bulk_page_max})
        return page


def _read_body(version: str, request: Request) -> Json:
    if request.media_type != "application/json":
        raise ZohoError("MEDIA_TYPE_NOT_SUPPORTED")
    if not request.body.strip():
        raise ZohoError("REQUEST_BODY_IS_EMPTY")
    try:
        body = json.loads(request.body)
    except ValueError:
        raise ZohoError("REQUEST_BODY_NOT_READABLE") from None
    if not isinstance(body, dict):
        raise ZohoError("REQUEST_BODY_NOT_SUPPORTED" if version == "v8" else "REQUEST_BODY_NOT_READABLE")
    if not body:
        raise ZohoError("REQUEST_BODY_IS_EMPTY")
    return body


def _page_token(query: Json) -> str:
    others = sorted(query.keys() - {"page_token"})
    if others:
        # The token stands for the whole query: no sample of Zoho's shows it together with another key.
        due_to = [{"api_name": n, "json_path": f"$.query.{n}"} for n in ("page_token", *others)]
        raise ZohoError("AMBIGUITY_DURING_PROCESSING", {"ambiguity_due_to": due_to})
    token = query["page_token"]
    if not isinstance(token, str) or not token:
        raise wrong_type("page_token", "string")
    return token


def _file_type(file_type: Any, module: Module) -> str:
    if file_type not in _FILE_TYPES or (file_type == "ics" and module.name != "Events"):
        raise ZohoError("INVALID_DATA", {"api_name": "file_type", "supported_values": _FILE_TYPES})
    return str(file_type)


def _column(module: Module, name: str) -> Column:
    column = module.column("id" if name == "Id" else name)
    if column is None:
        raise ZohoError("FIELD_NOT_AVAILABLE", {"api_name": name, "module": module.name})
    if not column.field.exportable:
        raise ZohoError("FIELD_NOT_SUPPORTED", {"api_name": name, "module": module.name})
    return column


def _cvid(given: Any) -> str | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise wrong_type("cvid", "string")
    return str(given)


def _echo(query: Json, cvid: str | None) -> Json:
    echo: Json = {key: query[key] for key in ("fields", "criteria") if key in query}
    return echo if cvid is None else {**echo, "cvid": cvid}
