"""Starts an export. Called by functions/bulk_read_submitter for POST /v1/e/zoho/bulk-read/{type}."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any

from crm_export.errors import (
    QueueUnavailable,
    RequestInProgress,
    StateUnavailable,
    StepPostponed,
    TooManyOpenExports,
    ZohoModuleNotSupported,
    types_to_use,
)
from crm_export.exports.idempotency import export_of, request_key
from crm_export.exports.model import (
    BULK_READ,
    RECORDS,
    Caller,
    Export,
    Part,
    RequestKey,
    new_export_id,
    next_step,
)
from crm_export.exports.pipeline import Pipeline
from crm_export.exports.records import check_readable
from crm_export.exports.request import ExportRequest, StartRequest, parse_request
from crm_export.exports.submit import submit_pending
from crm_export.telemetry import count, logger, note
from crm_export.zoho.catalog import has_bulk_read

_LONGEST_DEADLINE = timedelta(hours=241)  # the largest ExportDeadlineHours, and an hour to fail the export
_FULL_SECONDS, _BUSY_SECONDS = 60, 2  # after which to send a request again


@dataclass(frozen=True)
class Started:
    """An export. replayed: an earlier request with the same Idempotency-Key started it."""

    export: Export
    replayed: bool = False


def start_export(pipeline: Pipeline, caller: Caller, start: StartRequest) -> Started:
    """Start an export, or return the one that the same request with the same Idempotency-Key started.

    Raises ConnectionNotFound before it reads the body and the type, TypeNotSupported, InvalidRequest,
    IdempotencyConflict, and what `create_export` raises.
    """
    zoho = pipeline.zoho(caller.account_id, caller.owner)
    body = start.read_body()
    known_modules = partial(zoho.known_modules, pipeline.limits.api_version)
    request = parse_request(start.export_type, body, known_modules)
    try:
        return _start(pipeline, caller, start, request, body)
    except ZohoModuleNotSupported as error:
        names = known_modules()
        if names and request.module not in names:
            error.remedy = f"{error.remedy} {types_to_use(request.module, sorted(names))}"
        raise


def _start(
    pipeline: Pipeline, caller: Caller, start: StartRequest, request: ExportRequest, body: dict[str, Any]
) -> Started:
    create = partial(create_export, pipeline, caller, request, pipeline.callback_base_url or start.base_url)
    if start.idempotency_key is None:
        return Started(create())
    key = request_key(caller, start.idempotency_key, [request.module, body], pipeline.clock())
    bound = pipeline.table.bound_key(key)
    earlier = export_of(pipeline, key, bound)
    if earlier is not None:
        logger.info("request replayed", export_id=earlier.export_id)
        return Started(earlier, replayed=True)
    return Started(create(key, bound.export_id if bound else None))


def create_export(  # noqa: PLR0917 (_start binds the first four)
    pipeline: Pipeline,
    caller: Caller,
    request: ExportRequest,
    callback_base_url: str,
    key: RequestKey | None = None,
    replaces: str | None = None,
) -> Export:
    """Write the export and create its first job, so that the caller learns at once whether Zoho refuses it.

    If Zoho cannot take the job now, the export is RUNNING and the submit queue continues with it. key: bound
    to the export, if it is free or bound to the export `replaces`. Raises QueryRefused, TooManyOpenExports,
    RequestInProgress if another request has just bound the key, and the ExportError of a terminal refusal,
    after the export has become FAILED with it.
    """
    if not has_bulk_read(request.module):
        check_readable(request.module, request.query, request.page)
    check_open_exports(pipeline, caller.account_id)
    export = new_export(pipeline, caller, request, callback_base_url)
    first = Part(export.export_id, 1, export.requested_at)
    if not pipeline.table.create(export, first, key, replaces):
        raise RequestInProgress(
            f"A request with Idempotency-Key {key and key.shown} is still running; send this one again.",
            retry_after=_BUSY_SECONDS,
        )
    return begin(pipeline, export, first)


def begin(pipeline: Pipeline, export: Export, first: Part) -> Export:
    """Begin with an export that was just written; return it as it is then. Raises as `create_export` does."""
    note(account_id=export.account_id, owner=export.owner, export_id=export.export_id)
    count("ExportsStarted")
    logger.info("export started", zoho_module=export.module)
    try:
        if next_step(export, first).is_submitters:
            _submit_first_part(pipeline, export, first)
        else:
            pipeline.enqueue(export, first)
        return pipeline.table.get(export.export_id) or export
    except (StateUnavailable, QueueUnavailable) as error:  # the export is written
        reason = error.message
        logger.warning("first part left to the reconciler", export_id=export.export_id, reason=reason)
        return export


def _submit_first_part(pipeline: Pipeline, export: Export, first: Part) -> None:
    try:
        submit_pending(pipeline, export, first, caller_waits=True)
    except StepPostponed as postponed:
        logger.warning("first job postponed", export_id=export.export_id, reason=postponed.message)
        pipeline.enqueue_new(export, 1, delay=postponed.retry_after or 0)


def check_open_exports(pipeline: Pipeline, account_id: str) -> None:
    """Raise TooManyOpenExports if the account has as many running exports as it may have.

    Counts the exports themselves, so that one that ends is never counted; the index may lag a second.
    """
    most = pipeline.limits.max_open_exports
    running = pipeline.table.running_of_account(account_id, pipeline.clock() - _LONGEST_DEADLINE)
    if len(list(islice(running, most))) == most:
        raise TooManyOpenExports(
            f"Account {account_id} has {most} exports in state RUNNING, the most that it may have at a time. "
            "Start this one when another has ended.",
            retry_after=_FULL_SECONDS,
        )


def new_export(pipeline: Pipeline, caller: Caller, request: ExportRequest, callback_base_url: str) -> Export:
    """Return an export as it begins; nothing is written."""
    now, limits = pipeline.clock(), pipeline.limits
    return Export(
        export_id=new_export_id(now, pipeline.system.random_hex(8)),
        account_id=caller.account_id,
        owner=caller.owner,
        module=request.module,
        source=BULK_READ if has_bulk_read(request.module) else RECORDS,
        query=request.query,
        page=request.page,
        run_id=request.run_id,
        file_type=request.file_type,
        result_format=limits.result_format,
        api_version=limits.api_version,
        callback_base_url=callback_base_url,
        requested_at=now,
        deadline_at=now + limits.deadline,
        expires_at=now + limits.retention,
    )
