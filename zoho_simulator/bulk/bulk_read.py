"""The Bulk Read endpoints: create a job, return its details, send its result.

https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/overview.html
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from zoho_simulator.bulk.callbacks import Callbacks
from zoho_simulator.bulk.jobs import Job, Jobs
from zoho_simulator.bulk.query import BulkQuery, CreateRequestParser
from zoho_simulator.bulk.results import Layout, archive_length, csv_chunks, ics_chunks, measure, zip_stream
from zoho_simulator.config import SimulatorConfig, at_least
from zoho_simulator.data.builder import iso_time
from zoho_simulator.data.catalog import NOT_IN_BULK_READ
from zoho_simulator.data.changes import Changes
from zoho_simulator.data.columns import Column
from zoho_simulator.data.criteria import all_records_view
from zoho_simulator.data.modules import current_user, field_id
from zoho_simulator.errors import ZohoError
from zoho_simulator.faults import JobFaults
from zoho_simulator.tokens import Call, PageTokens
from zoho_simulator.wire import Json, Response, json_response, merged


@dataclass
class BulkRead:
    """The Bulk Read API of an organisation."""

    _config: SimulatorConfig
    _clock: Callable[[], float]
    _changes: Changes
    _jobs: Jobs
    _page_tokens: PageTokens
    _callbacks: Callbacks

    def create(self, call: Call, faults: JobFaults) -> Response:
        """POST /crm/bulk/{v}/read."""
        parser = CreateRequestParser(self._config, self._changes.module, call.version)
        create = parser.parse(call.request)
        if isinstance(create.query, BulkQuery):
            query, total = create.query, self._total(create.query.module.name)
        else:
            query, total = self._continued(create.query, call.grant.refresh_token)
        call.grant.require("modules", query.module.name)
        job = self._jobs.add(query, total, call, create.callback_url, faults)
        self._callbacks.arrange(job, self._callback_document)
        return json_response(201, {"data": [_created(job)], "info": {}})

    def _total(self, module: str) -> int:
        # A job for a module that Bulk Read does not support, let through by a setting, ends without records.
        return 0 if module in NOT_IN_BULK_READ else self._changes.total(module)

    def _continued(self, page_token: str, user: str) -> tuple[BulkQuery, int]:
        token = self._page_tokens.find(page_token)
        details = {"api_name": "page_token", "json_path": "$.query.page_token"}
        if token is None or not isinstance(token.payload, Job):
            raise ZohoError("INVALID_DATA", details)
        if token.user != user:
            raise ZohoError("TOKEN_BOUND_DATA_MISMATCH", details)
        if self._page_tokens.has_expired(token):
            raise ZohoError("EXPIRED_VALUE", details)
        before = token.payload
        return replace(before.query, page=before.query.page + 1, is_continued=True), before.total

    def details(self, call: Call, job_id: str) -> Response:
        """GET /crm/bulk/{v}/read/{job_id}."""
        job = self._find(job_id)
        document = merged(self._document(job, call.version, self._clock()), job.faults.details)
        return json_response(200, {"data": [document]})

    def result(self, job_id: str) -> Response:
        """GET /crm/bulk/{v}/read/{job_id}/result: a ZIP that is generated while it is sent."""
        job, now = self._find(job_id), self._clock()
        if job.state(now) != "COMPLETED":
            raise _not_found(job_id)
        if job.faults.expired or now >= job.ended_at + self._config.result_seconds:
            raise _not_found(job_id, self._config.result_gone_status)
        return self._archive(job)

    def _find(self, job_id: str) -> Job:
        job = self._jobs.find(job_id)
        if job is None:
            raise _not_found(job_id)
        return job

    def _archive(self, job: Job) -> Response:
        config = self._config
        layout = Layout(config.zip_method, config.zip_sizes, config.zip_zip64, job.faults.corrupt_crc)
        entry = f"{job.id}.{job.query.file_type}"
        content = self.content(job)
        measured = length = None
        if config.result_content_length:
            measured = measure(layout, content())
            length = archive_length(layout, entry, measured)
        name = f'="{job.id}.zip"' if config.result_filename_style == "plain" else f"*=UTF-8''{job.id}.zip"
        disposition = f"attachment; filename{name}"
        headers = {"Content-Type": config.result_content_type, "Content-Disposition": disposition}
        return Response(200, headers, zip_stream(layout, entry, content, measured), length)

    def content(self, job: Job) -> Callable[[], Iterator[bytes]]:
        """Return a function that yields the file of a job, which its result is the archive of."""
        rows, _ = self._jobs.rows(job)
        rows = rows[: max(0, len(rows) - job.faults.missing_rows)]
        if job.query.file_type == "ics":
            found = job.query.module.columns
            events = [found[name] for name in ("id", "Event_Title", "Start_DateTime", "End_DateTime")]
            return lambda: ics_chunks(events, rows)
        header, columns = self._csv_columns(job.query)
        return lambda: csv_chunks(self._config, header, columns, rows)

    def _csv_columns(self, query: BulkQuery) -> tuple[list[str], list[Column]]:
        """Return header and columns: the requested fields, and the id where it is configured to be."""
        columns = list(query.columns or query.module.exportable())
        identifier = query.module.columns["id"]
        if identifier not in columns or not query.columns:
            columns = [c for c in columns if c is not identifier]
            columns.insert(0 if self._config.id_position == "first" else len(columns), identifier)
        header = [self._config.id_header if c is identifier else c.field.api_name for c in columns]
        return header, columns

    def overview(self) -> list[Json]:
        """Return all jobs for the control API: state, counts, times and the attempts at callbacks."""
        now = self._clock()
        return [self._overview(job, now) for job in self._jobs.all()]

    def _overview(self, job: Job, now: float) -> Json:
        rows, more = self._jobs.rows(job)
        names = ("id", "created_at", "ended_at", "callback_url", "callbacks")
        return {
            **{name: getattr(job, name) for name in names},
            "version": job.call.version,
            "module": job.query.module.name,
            "state": job.state(now),
            "page": job.query.page,
            "count": len(rows),
            "more_records": more,
            "faults": vars(job.faults),
        }

    def _document(self, job: Job, version: str, now: float) -> Json:
        """Return the element of `data` in the job details."""
        state = job.state(now)
        result = self._result(job, version, state)
        return {
            "id": job.id,
            "operation": "read",
            "state": state,
            **({"result": result} if result else {}),
            "query": _query(job, version, {"page": job.query.page} if self._has_page(job) else {}),
            "created_by": current_user(),
            "created_time": iso_time(job.created_at),
            "file_type": job.query.file_type,
        }

    def _has_page(self, job: Job) -> bool:
        return self._config.bulk_page_of_token or not job.query.is_continued

    def _callback_document(self, job: Job, now: float) -> Json:
        """Return the body of the callback: the job details, or the flat shape that some receivers expect."""
        document = self._document(job, job.call.version, now)
        if self._config.callback_shape == "documented":
            return {"data": [document]}
        flat = {"job_id": job.id, "state": document["state"], "operation": "read"}
        return {**flat, **({"result": document["result"]} if "result" in document else {})}

    def _result(self, job: Job, version: str, state: str) -> Json | None:
        if state == "FAILURE":
            return {"error_message": job.faults.error}
        if state != "COMPLETED":
            return None
        rows, more = self._jobs.rows(job)
        result: Json = {
            "page": job.query.page if self._has_page(job) else 1,
            "per_page": job.page_size,
            "count": len(rows) + job.faults.count_delta,
            "download_url": f"/crm/bulk/{version}/read/{job.id}/result",
            "more_records": more,
        }
        if more and at_least(version, "v7"):
            result["next_page_token"] = self._next_page_token(job)
        return result

    def _next_page_token(self, job: Job) -> str:
        with job.lock:  # one token per job, however often the details are read
            if job.next_page_token is None:
                user = job.call.grant.refresh_token
                job.next_page_token, _ = self._page_tokens.issue(user, job, job.ended_at)
            return job.next_page_token


def _not_found(job_id: str, status: int = 0) -> ZohoError:
    return ZohoError("RESOURCE_NOT_FOUND", {"resource": job_id}, status=status)


def _created(job: Job) -> Json:
    details = {
        "id": job.id,
        "operation": "read",
        "state": "ADDED",
        "created_by": current_user(),
        "created_time": iso_time(job.created_at),
    }
    return {
        "status": "success",
        "code": "ADDED_SUCCESSFULLY",
        "message": "Added successfully.",
        "details": details,
    }


def _query(job: Job, version: str, page: Json) -> Json:
    query = job.query
    module: Any = query.module.name
    if version == "v2":
        return {**query.echo, "module": module, **page}
    echo: Json = {**query.echo, "module": {"id": query.module.id, "api_name": module}, **page}
    if "criteria" in echo:
        echo["criteria"] = _with_ids(echo["criteria"], module)
    if at_least(version, "v7") and query.cvid == all_records_view("Leads"):
        echo["criteria"] = _without_converted(echo.get("criteria"))
    return echo


def _with_ids(criteria: Json, module: str) -> Json:
    if "group" in criteria:
        return {**criteria, "group": [_with_ids(member, module) for member in criteria["group"]]}
    name = criteria["field"]["api_name"] if "field" in criteria else criteria["api_name"]
    rest = {k: v for k, v in criteria.items() if k not in ("field", "api_name")}
    return {"field": {"id": field_id(module, name), "api_name": name}, **rest}


def _without_converted(criteria: Json | None) -> Json:
    # Zoho's v7 sample shows this criterion, which the request does not contain, with the id null.
    implicit = {"field": {"id": None, "api_name": "$converted"}, "comparator": "equal", "value": False}
    if criteria is None:
        return implicit
    return {"group_operator": "and", "group": [criteria, implicit]}
