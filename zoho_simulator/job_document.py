"""The JSON that describes a job: the status answer and both shapes of the callback."""

from typing import Any

from zoho_simulator.builder import ID_BASE, iso_time
from zoho_simulator.bulk_query import all_records_view, at_least
from zoho_simulator.data import field_id
from zoho_simulator.jobs import Job
from zoho_simulator.pools import USERS
from zoho_simulator.simulation import Simulation
from zoho_simulator.wire import Json


def created_by() -> Json:
    """The user whose token it is."""
    return {"id": str(ID_BASE + 1_000_000_000), "name": " ".join(USERS[0])}


def job_document(sim: Simulation, job: Job, version: str, now: float) -> Json:
    """The element of `data` in GET /crm/bulk/{v}/read/{job_id}."""
    state = job.state(now)
    result = _result(sim, job, version, state)
    return {
        "id": job.id,
        "operation": "read",
        "state": state,
        **({"result": result} if result else {}),
        "query": _query(job, version),
        "created_by": created_by(),
        "created_time": iso_time(job.created_at),
        "file_type": job.query.file_type,
    }


def callback_document(sim: Simulation, job: Job, now: float) -> Json:
    """The body of the callback: that of the status answer, or the flat one that some receivers expect."""
    document = job_document(sim, job, job.version, now)
    if sim.config.callback_shape == "documented":
        return {"data": [document]}
    flat = {"job_id": job.id, "state": document["state"], "operation": "read"}
    return {**flat, **({"result": document["result"]} if "result" in document else {})}


def _result(sim: Simulation, job: Job, version: str, state: str) -> Json | None:
    if state == "FAILURE":
        return {"error_message": job.faults.error}
    if state != "COMPLETED":
        return None
    rows, more = sim.jobs.rows(job)
    result: Json = {
        "page": job.query.page,
        "per_page": job.page_size,
        "count": len(rows) + job.faults.count_delta,
        "download_url": f"/crm/bulk/{version}/read/{job.id}/result",
        "more_records": more,
    }
    if more and at_least(version, "v7"):
        result["next_page_token"] = _next_page_token(sim, job)
    return result


def _next_page_token(sim: Simulation, job: Job) -> str:
    # One token per job, however often the status is asked for.
    with job.lock:
        if job.next_page_token is None:
            job.next_page_token, _ = sim.page_tokens.issue(job.user, job)
        return job.next_page_token


def _query(job: Job, version: str) -> Json:
    module = job.query.module
    if version == "v2":
        return {**job.query.echo, "module": module.name, "page": job.query.page}
    echo: Json = {
        **job.query.echo,
        "module": {"id": module.id, "api_name": module.name},
        "page": job.query.page,
    }
    if "criteria" in echo:
        echo["criteria"] = _with_ids(echo["criteria"], module.name)
    if at_least(version, "v7") and job.query.cvid == all_records_view("Leads"):
        echo["criteria"] = _without_converted(echo.get("criteria"))
    return echo


def _with_ids(criteria: Any, module: str) -> Any:
    if "group" in criteria:
        return {**criteria, "group": [_with_ids(member, module) for member in criteria["group"]]}
    name = criteria["field"]["api_name"] if "field" in criteria else criteria["api_name"]
    rest = {k: v for k, v in criteria.items() if k not in ("field", "api_name")}
    return {"field": {"id": field_id(module, name), "api_name": name}, **rest}


def _without_converted(criteria: Any) -> Json:
    # Zoho's v7 sample shows this criterion, which nobody asked for, with the id null.
    implicit = {"field": {"id": None, "api_name": "$converted"}, "comparator": "equal", "value": False}
    if criteria is None:
        return implicit
    return {"group_operator": "and", "group": [criteria, implicit]}
