"""The Bulk Read endpoints: create a job, tell its state, send its result."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from zoho_simulator.builder import iso_time
from zoho_simulator.bulk_create import CreateRequest, parse_create
from zoho_simulator.bulk_query import BulkQuery
from zoho_simulator.callbacks import arrange_callback
from zoho_simulator.columns import Column
from zoho_simulator.errors import ZohoError, bad_request, resource_not_found
from zoho_simulator.faults import Fault, job_faults
from zoho_simulator.job_document import created_by, job_document
from zoho_simulator.jobs import Job
from zoho_simulator.modules import NOT_IN_BULK_READ
from zoho_simulator.oauth import Grant, require_scope
from zoho_simulator.results import Layout, archive_length, csv_chunks, ics_chunks, measure, zip_stream
from zoho_simulator.simulation import Simulation
from zoho_simulator.wire import Request, Response, json_response


def create_job(
    sim: Simulation, grant: Grant, version: str, request: Request, fault: Fault | None
) -> Response:
    """POST /crm/bulk/{v}/read."""
    require_scope(grant, "bulk")
    created = parse_create(sim.config, sim.changes.module, version, request)
    query, total = _continue(sim, grant, created) if created.page_token else _begin(sim, created)
    require_scope(grant, "modules", query.module.name)
    faults = job_faults(fault.job if fault else {})
    job = sim.jobs.add(
        query,
        total,
        user=grant.refresh_token,
        version=version,
        callback_url=created.callback_url,
        faults=faults,
    )
    arrange_callback(sim, job)
    details = {
        "id": job.id,
        "operation": "read",
        "state": "ADDED",
        "created_by": created_by(),
        "created_time": iso_time(job.created_at),
    }
    answer = {
        "status": "success",
        "code": "ADDED_SUCCESSFULLY",
        "message": "Added successfully.",
        "details": details,
    }
    return json_response(201, {"data": [answer], "info": {}})


def _begin(sim: Simulation, created: CreateRequest) -> tuple[BulkQuery, int]:
    if created.query is None:
        raise bad_request("REQUEST_BODY_IS_EMPTY", "Request body is empty.")
    name = created.query.module.name
    # What the switches let through all the same ends without records: so it was seen for Notes.
    return created.query, 0 if name in NOT_IN_BULK_READ else sim.config.records.get(name, 0)


def _continue(sim: Simulation, grant: Grant, created: CreateRequest) -> tuple[BulkQuery, int]:
    token = sim.page_tokens.find(created.page_token or "")
    details = {"api_name": "page_token", "json_path": "$.query.page_token"}
    if token is None or not isinstance(token.payload, Job):
        raise bad_request("INVALID_DATA", "invalid data", **details)
    if token.user != grant.refresh_token:
        raise bad_request("TOKEN_BOUND_DATA_MISMATCH", "The page token belongs to another user", **details)
    if sim.page_tokens.expired(token):
        raise bad_request("EXPIRED_VALUE", "Page token expired", **details)
    before = token.payload
    return replace(before.query, page=before.query.page + 1), before.total


def job_status(sim: Simulation, grant: Grant, version: str, job_id: str) -> Response:
    """GET /crm/bulk/{v}/read/{job_id}."""
    require_scope(grant, "bulk")
    return json_response(200, {"data": [job_document(sim, _job(sim, job_id), version, sim.config.clock())]})


def job_result(sim: Simulation, grant: Grant, job_id: str) -> Response:
    """GET /crm/bulk/{v}/read/{job_id}/result: the ZIP, generated while it is sent."""
    require_scope(grant, "bulk")
    sim.limits.download()
    job = _job(sim, job_id)
    now, config = sim.config.clock(), sim.config
    if job.state(now) != "COMPLETED":
        raise _no_result(job_id, config.result_not_ready_status)
    if job.faults.expired or now >= job.ended_at + config.result_seconds:
        raise _no_result(job_id, config.result_gone_status)
    return _archive(sim, job)


def _archive(sim: Simulation, job: Job) -> Response:
    config = sim.config
    layout = Layout(config.zip_method, config.zip_sizes, config.zip_zip64, job.faults.corrupt_crc)
    rows, _ = sim.jobs.rows(job)
    rows = rows[: max(0, len(rows) - job.faults.missing_rows)]
    name = job.faults.entry_name or f"{job.id}.{job.query.file_type}"

    def content() -> Iterator[bytes]:
        return _content(sim, job, rows)

    measured = (
        measure(layout, content()) if config.result_content_length or config.zip_sizes == "header" else None
    )
    length = archive_length(layout, name, measured) if measured and config.result_content_length else None
    filename = f"{job.id}.zip"
    plain = config.result_filename_style == "plain"
    disposition = (
        f'attachment; filename="{filename}"' if plain else f"attachment; filename*=UTF-8''{filename}"
    )
    headers = {"Content-Type": config.result_content_type, "Content-Disposition": disposition}
    return Response(200, headers, zip_stream(layout, name, content, measured), length)


def _content(sim: Simulation, job: Job, rows: Sequence[int]) -> Iterator[bytes]:
    if job.query.file_type == "ics":
        found = job.query.module.columns
        return ics_chunks([found[n] for n in ("id", "Event_Title", "Start_DateTime", "End_DateTime")], rows)
    header, columns = csv_columns(sim, job.query)
    return csv_chunks(sim.config, header, columns, rows)


def csv_columns(sim: Simulation, query: BulkQuery) -> tuple[list[str], list[Column]]:
    """Header and columns of a CSV result: the fields as asked for, the id added where it is configured."""
    columns = list(query.columns) if query.columns else query.module.exportable()
    identifier = query.module.columns["id"]
    if identifier not in columns or not query.columns:
        columns = [c for c in columns if c is not identifier]
        columns.insert(0 if sim.config.id_position == "first" else len(columns), identifier)
    header = [sim.config.id_header if c is identifier else c.field.api_name for c in columns]
    return header, columns


def _job(sim: Simulation, job_id: str) -> Job:
    job = sim.jobs.find(job_id)
    if job is None:
        raise resource_not_found(job_id)
    return job


def _no_result(job_id: str, status: int) -> ZohoError:
    error = resource_not_found(job_id)
    error.status = status
    return error


def job_overview(sim: Simulation) -> list[dict[str, Any]]:
    """All jobs for the control endpoint: state, counts, timetable and what became of the callbacks."""
    now = sim.config.clock()
    return [_overview(sim, job, now) for job in sim.jobs.all()]


def _overview(sim: Simulation, job: Job, now: float) -> dict[str, Any]:
    rows, more = sim.jobs.rows(job)
    return {
        "id": job.id,
        "version": job.version,
        "module": job.query.module.name,
        "state": job.state(now),
        "page": job.query.page,
        "count": len(rows),
        "more_records": more,
        "created_at": job.created_at,
        "ended_at": job.ended_at,
        "callback_url": job.callback_url,
        "callbacks": list(job.callbacks),
        "faults": vars(job.faults),
    }
