"""The simulator's own endpoints under /__sim__/, without authentication.

GET requests, faults, config, jobs, data/{Module}/digest, health; POST faults, data/{Module} (changes.py);
PATCH config, jobs/{id}; DELETE requests, faults, tokens (access tokens are invalid), page_tokens (all are
past their day), results (those of the jobs ended so far are gone).
"""

import hashlib
import json
from bisect import bisect_left
from dataclasses import asdict, replace

from zoho_simulator.bulk_read import job_overview
from zoho_simulator.data import blocks
from zoho_simulator.faults import job_faults
from zoho_simulator.modules import MODULES
from zoho_simulator.simulation import Simulation
from zoho_simulator.wire import Json, Request, Response, json_response


def control(sim: Simulation, request: Request) -> Response:
    """Answer a request to /__sim__/. A document that makes no sense gets a 400 that says why."""
    try:
        return _answer(sim, request)
    except (ValueError, TypeError) as error:
        return json_response(400, {"error": str(error)})


def _answer(sim: Simulation, request: Request) -> Response:
    what = request.path.removeprefix("/__sim__/").split("/")
    match request.method, what:
        case _, ["requests"]:
            document = _requests(sim, request)
        case _, ["faults"]:
            document = _faults(sim, request)
        case "GET" | "PATCH", ["config"]:
            document = _config(sim, request)
        case "GET", ["jobs"]:
            document = {"jobs": job_overview(sim)}
        case "PATCH", ["jobs", job_id]:
            document = _change_job(sim, job_id, _document(request))
        case "GET", ["data", module, "digest"]:
            document = _digest(sim, module, request)
        case "POST", ["data", module]:
            document = sim.changes.apply(module, _document(request))
        case "DELETE", ["tokens" | "page_tokens" | "results" as kind]:
            document = _expire(sim, kind)
        case "GET", ["health"]:
            document = {"status": "ok", "url": sim.url}
        case _:
            raise ValueError(f"no control endpoint {request.method} {request.path}")
    return json_response(200, document)


def _expire(sim: Simulation, kind: str) -> Json:
    if kind == "tokens":
        return {"invalidated": sim.tokens.expire_all()}
    return {"expired": sim.page_tokens.expire_all() if kind == "page_tokens" else sim.jobs.expire_results()}


def _requests(sim: Simulation, request: Request) -> Json:
    if request.method == "DELETE":
        sim.journal.clear()
    return {"requests": sim.journal.requests(request.query.get("path"), request.query.get("method"))}


def _faults(sim: Simulation, request: Request) -> Json:
    if request.method == "DELETE":
        sim.faults.clear()
    if request.method == "POST":
        document = json.loads(request.body)
        for rule in document if isinstance(document, list) else [document]:
            sim.faults.add(rule)
    return {"faults": sim.faults.list()}


def _config(sim: Simulation, request: Request) -> Json:
    if request.method == "PATCH":
        sim.config.patch(_document(request))
    return sim.config.public()


def _digest(sim: Simulation, name: str, request: Request) -> Json:
    """The ids of records from..to (a half-open range) as one SHA-256 over their lines, ascending."""
    if name not in MODULES:
        raise ValueError(f"no module {name}")
    module = sim.changes.module(name)
    start = int(request.query.get("from", 0))
    rows = module.living(int(request.query.get("to", sim.config.records.get(name, 0))))
    rows = rows[bisect_left(rows, start) :]
    digest = hashlib.sha256()
    for block in blocks(rows):
        ids = module.columns["id"].texts(block)
        digest.update("".join(f"{i}\n" for i in ids).encode())
    return {"module": name, "count": len(rows), "ids_sha256": digest.hexdigest()}


def _change_job(sim: Simulation, job_id: str, changes: Json) -> Json:
    job = sim.jobs.find(job_id)
    if job is None:
        raise ValueError(f"no job {job_id}")
    job_faults(changes)
    job.faults = replace(job.faults, **changes)
    return asdict(job.faults)


def _document(request: Request) -> Json:
    document = json.loads(request.body or b"{}")
    if not isinstance(document, dict):
        raise TypeError("a JSON object is needed")
    return document
