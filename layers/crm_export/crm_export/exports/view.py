"""Tells how exports stand. Called by functions/bulk_read_submitter for GET …/exports."""

import base64
import json
import re
from collections.abc import Callable
from typing import Any

from crm_export.errors import ExportNotFound, InvalidRequest
from crm_export.exports.model import Export, ExportState, Part, is_export_id
from crm_export.exports.pipeline import ExportStore

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def describe_export(
    store: ExportStore, presign: Callable[[str], str], account_id: str, export_id: str
) -> dict[str, Any]:
    """An export of the account with its parts. presign(key) makes a link. Raises ExportNotFound."""
    export = store.get(export_id) if is_export_id(export_id) else None
    if export is None or export.account_id != account_id:
        raise ExportNotFound("Export is not Found")
    parts = store.get_parts(export)
    return {**summary(export, parts), "parts": [_part(part, presign) for part in parts]}


def list_exports(
    store: ExportStore, account_id: str, limit: int, page_token: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of the account's exports, newest first, and the token of the next page."""
    exports, last = store.list_of_account(account_id, limit, _from_token(page_token))
    return [summary(export) for export in exports], _to_token(last)


def summary(export: Export, parts: list[Part] | None = None) -> dict[str, Any]:
    """What is said of an export in a list. Records are those stored so far, where parts are given."""
    stored = sum(part.records or 0 for part in parts or [])
    return {
        "export_id": export.export_id,
        "state": export.state.value,
        "module": export.module,
        "source": export.source,
        "file_format": export.file_format,
        "generation": export.generation,
        "requested_at": export.requested_at,
        "completed_at": export.completed_at if export.state is not ExportState.RUNNING else None,
        "records": stored if export.records is None and parts is not None else export.records,
        "manifest_key": export.manifest_key if export.state is ExportState.COMPLETED else None,
        "failure": export.failure,
        "fields_dropped": export.fields_dropped,
    }


def _part(part: Part, presign: Callable[[str], str]) -> dict[str, Any]:
    return {
        "part": part.part,
        "state": part.state.value,
        "job_id": part.job_id,
        "records": part.records,
        "expected_records": part.expected_records,
        "bytes": part.bytes,
        "key": part.key,
        "url": presign(part.key) if part.key else None,
    }


def _to_token(last: dict[str, str] | None) -> str | None:
    return base64.urlsafe_b64encode(json.dumps(last).encode()).decode() if last else None


def _from_token(token: str | None) -> dict[str, str] | None:
    if token is None:
        return None
    try:
        last = json.loads(base64.urlsafe_b64decode(token.encode()))
        requested_at, export_id = last["requested_at"], last["export_id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        requested_at = export_id = None
    if not (isinstance(requested_at, str) and _MOMENT.fullmatch(requested_at) and is_export_id(export_id)):
        raise InvalidRequest("page_token is not one that this API gave; leave it out to begin again.")
    return {"requested_at": requested_at, "export_id": export_id}
