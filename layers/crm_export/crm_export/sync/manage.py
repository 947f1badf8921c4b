"""Creates, changes, shows and deletes syncs. Called by functions/bulk_read_submitter and the command line."""

import re
from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial
from typing import Any

from crm_export import strict_json
from crm_export.errors import InvalidRequest, QueryRefused, StateUnavailable, SyncNotFound
from crm_export.exports.model import Caller, Export, ExportState, timestamp
from crm_export.exports.records import check_readable
from crm_export.exports.request import StartRequest, parse_request, resolve_module
from crm_export.exports.runs import CHANGES, FULL, REQUESTED
from crm_export.sync.chain import latest_key
from crm_export.sync.model import (
    LONGEST_EVERY,
    LONGEST_FULL_EVERY,
    NEVER,
    SHORTEST_EVERY,
    Sync,
    Syncs,
)
from crm_export.sync.run import start_run
from crm_export.telemetry import logger, note
from crm_export.zoho.catalog import has_bulk_read
from crm_export.zoho.criteria import MAX_CRITERIA, shown

_SPAN = re.compile(r"([1-9][0-9]{0,4})(m|h|d)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_KEYS = {"every", "full_every", "query", "enabled"}
_TRIES = 5
# Bytes: the query is part of the items of the sync (400 KB) and of its exports (256 KB when they begin).
_LARGEST_QUERY = 200 * 1024
_MODIFIED = "Modified_Time"


def put_sync(syncs: Syncs, caller: Caller, put: StartRequest) -> tuple[Sync, bool]:
    """Create a sync, or change what the body names; return it, and True if it is new.

    A new sync and one with another query begin with a full run, at the next tick. Raises ConnectionNotFound,
    TypeNotSupported, InvalidRequest, QueryRefused.
    """
    pipeline = syncs.pipeline
    zoho = pipeline.zoho(caller.account_id, caller.owner)
    body = put.read_body()
    module = resolve_module(put.export_type, partial(zoho.known_modules, pipeline.limits.api_version))
    changes = parse_sync(module, body)
    note(zoho_module=module)
    for _ in range(_TRIES):
        sync = syncs.table.get(caller.account_id, module)
        base_url = pipeline.callback_base_url or put.base_url
        new = Sync(caller.account_id, caller.owner, module, base_url, pipeline.clock())
        after = _created(new, changes) if sync is None else _changed(sync, new, changes)
        if syncs.table.write(after):
            logger.info("sync written", zoho_module=module, new=sync is None)
            return after, sync is None
    raise StateUnavailable(f"The sync of {module} was changed again and again by others.")


def _created(new: Sync, changes: dict[str, Any]) -> Sync:
    due_at = new.updated_at if changes.get("enabled", True) else None
    return replace(new, due_at=due_at, **changes)


def _changed(sync: Sync, new: Sync, changes: dict[str, Any]) -> Sync:
    """Return a sync with what a request changes; its owner is the last who changed it."""
    now = new.updated_at
    more: dict[str, Any] = {"owner": new.owner, "updated_at": now}
    every, enabled = changes.get("every", sync.every), changes.get("enabled", sync.enabled)
    if changes.get("query", sync.query) != sync.query:
        # What was read with another query is no part of the chain.
        more |= {"full_reason": REQUESTED, "due_at": now, "blocked": None}
    elif (every, enabled) != (sync.every, sync.enabled):
        due = sync.due_at or now
        more["due_at"] = due if due <= now else max(due - sync.every + every, now)
    if not enabled:
        more["due_at"] = None
    return sync.next(**changes, **more)


def parse_sync(module: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return the members of `Sync` that a body {"every"?, "full_every"?, "query"?, "enabled"?} names.

    Raises InvalidRequest, QueryRefused.
    """
    for key in body:
        if key not in _KEYS:
            raise InvalidRequest(f"The body has the key {shown(key)}; allowed: {', '.join(sorted(_KEYS))}.")
    found: dict[str, Any] = {}
    if "every" in body:
        found["every"] = _span("every", body["every"], SHORTEST_EVERY, LONGEST_EVERY)
    if "full_every" in body:
        value = body["full_every"]
        is_never = value == NEVER
        found["full_every"] = (
            None if is_never else _span("full_every", value, SHORTEST_EVERY, LONGEST_FULL_EVERY)
        )
    if "enabled" in body:
        if not isinstance(body["enabled"], bool):
            raise InvalidRequest(f"enabled is {shown(body['enabled'])}; it must be true or false.")
        found["enabled"] = body["enabled"]
    if "query" in body:
        found["query"] = _query(module, body["query"])
    return found


def _query(module: str, given: Any) -> dict[str, Any]:
    """Return the query of a sync's exports: that of an export, with Modified_Time among its fields."""
    request = parse_request(module, {"query": _with_modified(given)}, lambda: [module])
    query = request.query
    if request.page != 1:
        raise QueryRefused("query.page is not allowed: a sync reads all pages.")
    if request.file_type != "csv":
        raise QueryRefused(f'query.file_type is "{request.file_type}"; a sync reads csv.')
    if not has_bulk_read(module):
        check_readable(module, query, 1)
    if "criteria" in query and _criteria_in(query["criteria"]) >= MAX_CRITERIA:
        raise QueryRefused(
            f"query.criteria has {MAX_CRITERIA} criteria; a sync allows {MAX_CRITERIA - 1}, because it adds "
            "one on Modified_Time."
        )
    if (size := len(strict_json.dumps(query).encode())) > _LARGEST_QUERY:
        raise QueryRefused(
            f"query has {size} bytes; a sync allows {_LARGEST_QUERY}. Give fewer or shorter values in "
            "query.criteria, or fewer names in query.fields."
        )
    return query


def _with_modified(given: Any) -> Any:
    """Add Modified_Time to the fields of a query, before they are counted: Zoho allows 200."""
    fields = given.get("fields") if isinstance(given, dict) else None
    if not isinstance(fields, list) or not fields or _MODIFIED in fields:
        return given
    return {**given, "fields": [*fields, _MODIFIED]}


def _criteria_in(criteria: dict[str, Any]) -> int:
    return sum(map(_criteria_in, criteria["group"])) if "group" in criteria else 1


def _span(name: str, value: Any, shortest: timedelta, longest: timedelta) -> timedelta:
    """Read a span such as 15m, 6h or 7d."""
    match = _SPAN.fullmatch(value) if isinstance(value, str) else None
    span = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None
    if span is None or not shortest <= span <= longest:
        never = ', or "never"' if name == "full_every" else ""
        raise InvalidRequest(
            f"{name} is {shown(value)}; it must be a number with m, h or d, from {span_text(shortest)} to "
            f"{span_text(longest)}{never}."
        )
    return span


def span_text(span: timedelta | None) -> str:
    """Return a span as requests have it: 15m, 6h, 7d, or never."""
    if span is None:
        return NEVER
    minutes = int(span.total_seconds()) // 60
    for unit, size in (("d", 1440), ("h", 60)):
        if minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"


def find_sync(syncs: Syncs, caller: Caller, export_type: str) -> Sync:
    """Return one of the caller's syncs. Raises SyncNotFound."""
    # Without asking Zoho: a sync must be shown and deleted even if the connection is gone.
    names = {sync.module.lower(): sync for sync in syncs.table.list_of_account(caller.account_id)}
    known = resolve_module(export_type, lambda: None)
    sync = names.get(known.lower()) or names.get(export_type.lower())
    if sync is None:
        missing = f"Account {caller.account_id} has no sync of {known}."
        raise SyncNotFound("Sync is not Found", remedy=f"{missing} {SyncNotFound.remedy}")
    note(zoho_module=sync.module)
    return sync


def delete_sync(syncs: Syncs, caller: Caller, export_type: str) -> Sync:
    """Delete a sync; its files stay, and a run in progress ends as an export. Raises SyncNotFound."""
    for _ in range(_TRIES):
        sync = find_sync(syncs, caller, export_type)
        if syncs.table.delete(sync):
            logger.info("sync deleted", zoho_module=sync.module)
            return sync
    raise StateUnavailable(f"The sync of {export_type} was changed again and again by others.")


def request_run(syncs: Syncs, caller: Caller, export_type: str, body: dict[str, Any]) -> Export:
    """Start a run now: {"kind": "changes" | "full"}, by default changes.

    Raises SyncNotFound, InvalidRequest, RunInProgress, and what else `start_run` raises.
    """
    kind = body.get("kind", CHANGES)
    if set(body) - {"kind"} or kind not in (CHANGES, FULL):
        raise InvalidRequest(f'The body is {shown(body)}; it must be {{"kind": "changes"}} or "full".')
    return start_run(syncs, find_sync(syncs, caller, export_type), kind)


def describe_sync(syncs: Syncs, sync: Sync) -> dict[str, Any]:
    """Return a sync as the API shows it, docs/openapi.yaml's Sync."""
    export = syncs.pipeline.table.get(sync.open_run) if sync.open_run else None
    running = export is not None and export.state is ExportState.RUNNING
    failed = export if export is not None and export.state is ExportState.FAILED else None
    state = "RUNNING" if running else "BLOCKED" if sync.blocked or failed else "IDLE"
    return {
        "module": sync.module,
        "owner": sync.owner,
        "every": span_text(sync.every),
        "full_every": span_text(sync.full_every),
        "query": sync.query,
        "enabled": sync.enabled,
        "state": state if sync.enabled or running else "DISABLED",
        "watermark": sync.watermark and timestamp(sync.watermark),
        "overlap_minutes": None if sync.overlap is None else int(sync.overlap.total_seconds()) // 60,
        "next_run_at": sync.due_at and timestamp(sync.due_at),
        "next_full_because": sync.full_reason,
        "run": _describe_run(export) if running and export else None,
        "last_run": _describe_last(sync),
        "blocked": _describe_blocked(sync, failed),
        "latest_key": latest_key(sync.account_id, sync.module) if sync.previous else None,
        "updated_at": timestamp(sync.updated_at),
    }


def _describe_run(export: Export) -> dict[str, Any]:
    run = export.sync
    return {
        "export_id": export.export_id,
        "kind": run and run.kind,
        "reason": run and run.reason,
        "requested_at": timestamp(export.requested_at),
    }


def _describe_last(sync: Sync) -> dict[str, Any] | None:
    last = sync.last_run
    return asdict(last) | {"completed_at": timestamp(last.completed_at)} if last else None


def _describe_blocked(sync: Sync, failed: Export | None) -> dict[str, Any] | None:
    """Return why the sync does not get on: what keeps a run from starting, or why the last one failed."""
    if sync.blocked is not None:
        return asdict(sync.blocked) | {"since": timestamp(sync.blocked.since), "export_id": None}
    if failed is None or failed.failure is None:
        return None
    since = timestamp(failed.completed_at or failed.requested_at)
    return vars(failed.failure) | {"since": since, "export_id": failed.export_id}
