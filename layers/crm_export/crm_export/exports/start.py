"""Starts an export. Called by functions/bulk_read_submitter for POST /v1/e/zoho/bulk-read/{type}."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from crm_export.errors import ExportError, InvalidRequest, QueryRefused, TypeNotSupported
from crm_export.exports.model import Export, Part, new_export_id, timestamp
from crm_export.exports.ports import Clock, ExportStore, PartQueue
from crm_export.exports.queues import retry_delay
from crm_export.observability import count, logger

# The path's {type} -> Zoho's module, for the modules of Zoho's page on Bulk Read.
MODULES = {
    "accounts": "Accounts",
    "calls": "Calls",
    "campaigns": "Campaigns",
    "cases": "Cases",
    "contacts": "Contacts",
    "deals": "Deals",
    "events": "Events",
    "invoices": "Invoices",
    "leads": "Leads",
    "pricebooks": "Price_Books",
    "products": "Products",
    "purchaseorders": "Purchase_Orders",
    "quotes": "Quotes",
    "salesorders": "Sales_Orders",
    "solutions": "Solutions",
    "tasks": "Tasks",
    "vendors": "Vendors",
}
_QUERY_KEYS = {"fields": list, "criteria": dict, "cvid": str}
_FILE_TYPES = ("csv",)


@dataclass(frozen=True)
class ExportRequest:
    """What a caller may ask for."""

    module: str
    query: dict[str, Any]
    file_type: str


@dataclass(frozen=True)
class StartServices:
    """What starting needs. submit(export_id, part) is `submit.submit_part`."""

    store: ExportStore
    submit_queue: PartQueue
    submit: Callable[[str, int], None]
    clock: Clock
    api_version: str
    deadline_hours: int
    retention_days: int


def parse_request(export_type: str, body: str | None) -> ExportRequest:
    """Read {type} and the body, `{"query"?: {"fields"?, "criteria"?, "cvid"?}, "file_type"?}`.

    Raises TypeNotSupported, InvalidRequest (not a JSON object), QueryRefused (a key or value).
    """
    if export_type not in MODULES:
        if export_type == "notes":
            raise QueryRefused(
                "Zoho's Bulk Read does not export Notes; page through GET /v1/e/zoho/export/notes."
            )
        raise TypeNotSupported("Type is not Selected yet")
    wanted = _json_object(body)
    _refuse_unknown("body", wanted, {"query", "file_type"})
    query = wanted.get("query", {})
    if not isinstance(query, dict):
        raise QueryRefused(f"query is {_shown(query)}; it must be an object.")
    _refuse_unknown("query", query, set(_QUERY_KEYS))
    for key, kind in _QUERY_KEYS.items():
        if key in query and not isinstance(query[key], kind):
            name = {list: "an array", dict: "an object", str: "a string"}[kind]
            raise QueryRefused(f"query.{key} is {_shown(query[key])}; it must be {name}.")
    for index, field in enumerate(query.get("fields", [])):
        if not isinstance(field, str) or not field:
            raise QueryRefused(f"query.fields[{index}] is {_shown(field)}; it must be a field's API name.")
    file_type = wanted.get("file_type", "csv")
    if file_type not in _FILE_TYPES:
        raise QueryRefused(f"file_type is {_shown(file_type)}; allowed is {', '.join(_FILE_TYPES)}.")
    return ExportRequest(MODULES[export_type], query, file_type)


def start_export(
    services: StartServices, request: ExportRequest, account_id: str, owner: str, callback_base_url: str
) -> Export:
    """Write the export and create its first job at once, so that a refused query is told at once.

    If Zoho cannot take the job now, the export is RUNNING and the submit queue goes on with it. Raises
    the ExportError of a final refusal; the export is then FAILED with it.
    """
    now = services.clock()
    export = Export(
        export_id=new_export_id(now),
        account_id=account_id,
        owner=owner,
        module=request.module,
        query=request.query,
        file_type=request.file_type,
        api_version=services.api_version,
        callback_base_url=callback_base_url,
        requested_at=timestamp(now),
        deadline_at=timestamp(now + timedelta(hours=services.deadline_hours)),
        expires_at=int((now + timedelta(days=services.retention_days)).timestamp()),
    )
    services.store.create(export, Part(export.export_id, 1, timestamp(now)))
    count("ExportsStarted")
    logger.info("export started", export_id=export.export_id, zoho_module=export.module)
    try:
        services.submit(export.export_id, 1)
    except ExportError as error:
        if not error.retryable:
            raise
        logger.warning("first job postponed", export_id=export.export_id, code=error.code)
        services.submit_queue.send(export.export_id, 1, delay=retry_delay(error, 1))
    return export


def _json_object(body: str | None) -> dict[str, Any]:
    if not body or not body.strip():
        return {}
    try:
        wanted = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The body is not JSON; it must be an object, or empty.") from error
    if not isinstance(wanted, dict):
        raise InvalidRequest(f"The body is {_shown(wanted)}; it must be a JSON object, or empty.")
    return wanted


def _refuse_unknown(where: str, found: dict[str, Any], allowed: set[str]) -> None:
    for key in found:
        if key not in allowed:
            raise QueryRefused(
                f"{where} has the key {_shown(key)}; allowed are {', '.join(sorted(allowed))}."
            )


def _shown(value: Any) -> str:
    """A value as JSON, cut to a length fit for a message."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."  # noqa: PLR2004
