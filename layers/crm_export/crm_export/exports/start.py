"""Starts an export. Called by functions/bulk_read_submitter for POST /v1/e/zoho/bulk-read/{type}."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from crm_export.errors import ExportError, QueryRefused, TypeNotSupported
from crm_export.exports.model import BULK_READ, RECORDS, Export, Part, new_export_id, timestamp
from crm_export.exports.ports import Clock, ExportStore, PartQueue
from crm_export.exports.queues import retry_delay
from crm_export.exports.read_records import NO_BULK_READ, check_readable
from crm_export.observability import count, logger
from crm_export.zoho.criteria import check_criteria, shown

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
    "notes": "Notes",
    "pricebooks": "Price_Books",
    "products": "Products",
    "purchaseorders": "Purchase_Orders",
    "quotes": "Quotes",
    "salesorders": "Sales_Orders",
    "solutions": "Solutions",
    "tasks": "Tasks",
    "vendors": "Vendors",
}
_MAX_FIELDS = 200
_LONGEST_NAME = 255
_FILE_TYPES = ("csv",)


@dataclass(frozen=True)
class ExportRequest:
    """What a caller may ask for."""

    module: str
    query: dict[str, Any]
    file_type: str
    page: int = 1


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
    result_format: str = "csv"


def parse_request(export_type: str, wanted: dict[str, Any]) -> ExportRequest:
    """Read {type} and the body, `{"query"?: {"fields"?, "criteria"?, "cvid"?}, "file_type"?}`.

    Raises TypeNotSupported, or QueryRefused with the path of a key, its value and what is allowed.
    """
    if export_type not in MODULES:
        raise TypeNotSupported("Type is not Selected yet")
    _refuse_unknown("body", wanted, {"query", "file_type"})
    query = wanted.get("query", {})
    if not isinstance(query, dict):
        raise QueryRefused(f"query is {shown(query)}; it must be an object.")
    _refuse_unknown("query", query, {"fields", "criteria", "cvid"})
    if "fields" in query:
        _check_fields(query["fields"])
    if "criteria" in query:
        check_criteria(query["criteria"])
    cvid = query.get("cvid")
    if "cvid" in query and not (isinstance(cvid, str) and re.fullmatch(r"[0-9]{1,40}", cvid)):
        raise QueryRefused(
            f"query.cvid is {shown(cvid)}; it must be the id of a custom view, digits as text."
        )
    file_type = wanted.get("file_type", "csv")
    if file_type not in _FILE_TYPES:
        raise QueryRefused(f"file_type is {shown(file_type)}; allowed is {', '.join(_FILE_TYPES)}.")
    return ExportRequest(MODULES[export_type], query, file_type)


def _check_fields(fields: Any) -> None:
    if not isinstance(fields, list):
        raise QueryRefused(f"query.fields is {shown(fields)}; it must be an array.")
    if len(fields) > _MAX_FIELDS:
        # Zoho would take it, and export all fields instead.
        raise QueryRefused(f"query.fields has {len(fields)} names; allowed are {_MAX_FIELDS}.")
    for index, field in enumerate(fields):
        if not isinstance(field, str) or not 1 <= len(field) <= _LONGEST_NAME:
            raise QueryRefused(f"query.fields[{index}] is {shown(field)}; it must be a field's API name.")


def start_export(
    services: StartServices, request: ExportRequest, account_id: str, owner: str, callback_base_url: str
) -> Export:
    """Write the export and create its first job at once, so that a refused query is told at once.

    If Zoho cannot take the job now, the export is RUNNING and the submit queue goes on with it. Raises
    the ExportError of a final refusal; the export is then FAILED with it.
    """
    if request.module in NO_BULK_READ:
        check_readable(request.module, request.query, request.file_type)
    now = services.clock()
    export = Export(
        export_id=new_export_id(now),
        account_id=account_id,
        owner=owner,
        module=request.module,
        source=RECORDS if request.module in NO_BULK_READ else BULK_READ,
        query=request.query,
        page=request.page,
        file_type=request.file_type,
        result_format=services.result_format,
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
    return services.store.get(export.export_id) or export


def _refuse_unknown(where: str, found: dict[str, Any], allowed: set[str]) -> None:
    for key in found:
        if key not in allowed:
            raise QueryRefused(f"{where} has the key {shown(key)}; allowed are {', '.join(sorted(allowed))}.")
