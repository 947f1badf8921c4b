"""Describes exports for the GET routes. Called by functions/bulk_read_submitter."""

import base64
import json
import re
from datetime import datetime
from typing import Any

from crm_export.errors import ExportNotFound, InvalidRequest
from crm_export.exports.model import (
    Caller,
    Export,
    ExportState,
    Part,
    PartState,
    Step,
    is_export_id,
    next_step,
    timestamp,
)
from crm_export.exports.pipeline import Pipeline
from crm_export.exports.start import Started
from crm_export.telemetry import note

_STORING = "STORING"  # how a part is shown whose records are on their way to S3
_WAITS_FOR = {
    Step.SUBMIT: "JOB_CREATION",
    Step.SETTLE: "JOB_CREATION",
    Step.ADOPT: "ZOHO_JOB",
    Step.CHECK: "ZOHO_JOB",
    Step.STORE: "DOWNLOAD",
    Step.READ: "DOWNLOAD",
    Step.COMPLETE: "OTHER_PARTS",
}
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def describe_export(pipeline: Pipeline, caller: Caller, export_id: str) -> dict[str, Any]:
    """Return one of the caller's exports with its query, its parts and links. Raises ExportNotFound."""
    export = find_export(pipeline, caller, export_id)
    parts = pipeline.table.get_parts(export)
    is_completed = export.state is ExportState.COMPLETED
    return {
        **summarize(export, parts),
        "expected_records": export.counted_before.records if export.counted_before else None,
        "query": export.query | ({"page": export.page} if export.page > 1 else {}),
        "file_type": export.file_type,
        "manifest_url": pipeline.link(export.manifest_key) if is_completed else None,
        "parts": [_describe_part(pipeline, export, part) for part in parts],
    }


def find_export(pipeline: Pipeline, caller: Caller, export_id: str) -> Export:
    """Return one of the caller's exports. Raises ExportNotFound."""
    export = pipeline.table.get(export_id) if is_export_id(export_id) else None
    if export is None or export.account_id != caller.account_id:
        raise ExportNotFound("Export is not Found")
    note(export_id=export_id)
    return export


def describe_start(started: Started) -> tuple[str, dict[str, Any]]:
    """Return the message and the data of the response to the request that started an export."""
    message = "Export was started by an earlier request" if started.replayed else "Export is started"
    return message, {**summarize(started.export), "replayed": started.replayed}


def list_exports(
    pipeline: Pipeline, account_id: str, limit: int, page_token: str | None, run_id: str | None = None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return a page of the account's exports, newest first, and its `pagination`. Raises InvalidRequest."""
    exports, position = pipeline.table.list_of_account(account_id, limit, _from_token(page_token), run_id)
    token = _to_token(position)
    pagination = {"limit": limit, "more_records": token is not None, "next_page_token": token}
    return [summarize(export) for export in exports], pagination


def summarize(export: Export, parts: list[Part] | None = None) -> dict[str, Any]:
    """Return an export as lists show it. With `parts`, a running export's records are those stored so far."""
    ended = export.state is not ExportState.RUNNING
    is_counted = parts is not None and export.state is not ExportState.CANCELLED
    stored = sum(part.records or 0 for part in parts or []) if is_counted else None
    return {
        "export_id": export.export_id,
        "state": export.state.value,
        "module": export.module,
        "source": export.source,
        "file_format": export.file_format,
        "generation": export.generation,
        "requested_at": timestamp(export.requested_at),
        "completed_at": timestamp(export.completed_at) if ended and export.completed_at else None,
        "records": stored if export.records is None else export.records,
        "manifest_key": export.manifest_key if export.state is ExportState.COMPLETED else None,
        "failure": vars(export.failure) if export.state is ExportState.FAILED and export.failure else None,
        "fields_dropped": [vars(dropped) for dropped in export.fields_dropped],
        "witness": export.witness and export.witness.to_dict(),
        "run_id": export.run_id,
        "sync": _describe_run(export),
    }


def _describe_run(export: Export) -> dict[str, Any] | None:
    """Return what a run of a sync found, as the manifest's `sync`, or None for other exports."""
    if export.sync is None:
        return None
    run = export.sync.in_manifest()
    shown = {name: run[name] for name in ("kind", "reason", "deleted", "late", "drift")}
    return {**shown, "credits": export.sync.credits + export.credits}


def _describe_part(pipeline: Pipeline, export: Export, part: Part) -> dict[str, Any]:
    waiting_for, until = _waiting(pipeline, export, part)
    return {
        "part": part.part,
        "state": _STORING if waiting_for is None and _is_storing(export, part) else part.state.value,
        "job_id": part.job_id,
        "waiting_for": waiting_for,
        "waiting_until": until and timestamp(until),
        "attempts": part.attempts,
        "last_error": vars(part.last_error) if part.last_error else None,
        "records": part.records,
        "expected_records": part.expected_records,
        "bytes": part.bytes,
        "key": part.key,
        "url": pipeline.link(part.key) if part.key and export.state is not ExportState.CANCELLED else None,
        # Only the manifest of a COMPLETED export proves that a part belongs to it.
        "proved": part.state is PartState.STORED and export.state is ExportState.COMPLETED,
    }


def _is_storing(export: Export, part: Part) -> bool:
    return next_step(export, part) in {Step.STORE, Step.READ}


def _waiting(pipeline: Pipeline, export: Export, part: Part) -> tuple[str | None, datetime | None]:
    """Return what a part waits for, and until when if that is known; None if a worker is busy with it."""
    now, step = pipeline.clock(), next_step(export, part)
    if step in {Step.NOTHING, Step.CLEAN}:
        return None, None
    if part.lease_until is not None and part.lease_until > now:
        return None, None
    if part.not_before is not None and part.not_before > now:
        return part.last_error.code if part.last_error else "PAUSE", part.not_before
    return _WAITS_FOR[step], None


def _to_token(position: tuple[str, str] | None) -> str | None:
    if position is None:
        return None
    requested_at, export_id = position
    text = json.dumps({"requested_at": requested_at, "export_id": export_id})
    return base64.urlsafe_b64encode(text.encode()).decode()


def _from_token(token: str | None) -> tuple[str, str] | None:
    if token is None:
        return None
    try:
        position = json.loads(base64.urlsafe_b64decode(token.encode()))
        requested_at, export_id = position["requested_at"], position["export_id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        requested_at = export_id = None
    is_time = isinstance(requested_at, str) and _TIMESTAMP.fullmatch(requested_at)
    if not (is_time and is_export_id(export_id)):
        raise InvalidRequest(
            f"page_token is {token[:80]!r}, which this API did not issue; leave it out to begin with the "
            "first page."
        )
    return requested_at, export_id
