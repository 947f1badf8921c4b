"""From request to answer: faults, authentication, credits and the route. Used by server.py."""

import re
import sys
import time
import traceback
from dataclasses import dataclass

from zoho_simulator.bulk_read import create_job, job_result, job_status
from zoho_simulator.control import control
from zoho_simulator.errors import ZohoError, invalid_method, invalid_url
from zoho_simulator.faults import Fault
from zoho_simulator.limits import cost_of
from zoho_simulator.metadata import fields_metadata, modules_metadata, organisation, users
from zoho_simulator.oauth import Grant, authenticate, revoke_endpoint, server_info, token_endpoint
from zoho_simulator.records import deleted_records, list_records, one_record
from zoho_simulator.simulation import Simulation
from zoho_simulator.wire import Request, Response, json_response

_CRM = re.compile(r"/crm/(?P<bulk>bulk/)?(?P<version>v[0-9][0-9.]*)/(?P<rest>.+)").fullmatch


@dataclass(frozen=True)
class Call:
    """An authenticated request to the CRM."""

    sim: Simulation
    grant: Grant
    version: str
    request: Request
    fault: Fault


def handle(sim: Simulation, request: Request) -> Response:
    """Answer one request. Never raises; everything but /__sim__/ goes into the journal."""
    if request.path.startswith("/__sim__/"):
        return _answer(sim, request, Fault())
    received = time.time()
    fault = sim.faults.take("request", request.method, request.path) or Fault()
    if fault.drop == "before":
        response = Response(drop=True)
    elif fault.status and not fault.process:
        response = _scripted(fault)
    else:
        response = _answer(sim, request, fault)
        response = _scripted(fault) if fault.status else response
    for module, change in fault.change.items():
        sim.changes.apply(module, change)
    time.sleep(fault.delay)
    response.cut_after = fault.cut_after
    response.drop = bool(fault.drop)
    response.headers.update({} if fault.status else fault.headers)
    sim.journal.add(request, response, received, time.time() - received)
    return response


def _scripted(fault: Fault) -> Response:
    if isinstance(fault.body, str):
        kind = fault.headers.get("Content-Type", "text/html;charset=UTF-8")
        return Response(fault.status, {**fault.headers, "Content-Type": kind}, fault.body.encode())
    if fault.body is None:
        return Response(fault.status, dict(fault.headers))
    return json_response(fault.status, fault.body, fault.headers)


def _answer(sim: Simulation, request: Request, fault: Fault) -> Response:
    try:
        if request.path.startswith("/__sim__/"):
            return control(sim, request)
        return _accounts(sim, request) or _crm(sim, request, fault)
    except ZohoError as error:
        return error.response()
    except Exception:  # the simulator must survive its own mistakes and show them
        traceback.print_exc(file=sys.stderr)
        return ZohoError(500, "INTERNAL_ERROR", "Internal Server Error").response()


def _accounts(sim: Simulation, request: Request) -> Response | None:
    if request.path == "/oauth/v2/token":
        return token_endpoint(sim.config, sim.tokens, request, sim.url)
    if request.path == "/oauth/v2/token/revoke":
        return revoke_endpoint(sim.tokens, request)
    return server_info(sim.url) if request.path == "/oauth/serverinfo" else None


def _crm(sim: Simulation, request: Request, fault: Fault) -> Response:
    found = _CRM(request.path)
    if not found:
        raise invalid_url()
    grant = authenticate(sim.tokens, request)
    version = found["version"]
    if version not in sim.config.versions:
        supported = sim.config.versions[-1]
        raise ZohoError(
            404,
            "API_NOT_SUPPORTED",
            "The API is not supported in this version",
            {"supported_version": supported},
        )
    parts = found["rest"].split("/")
    with sim.limits.one_request():
        sim.limits.spend(cost_of(request))
        route = _bulk if found["bulk"] else _records
        response = route(Call(sim, grant, version, request, fault), parts)
    response.headers.update(sim.limits.headers())
    return response


def _bulk(call: Call, parts: list[str]) -> Response:
    sim, grant, version = call.sim, call.grant, call.version
    match call.request.method, parts:
        case "POST", ["read"]:
            return _create(call)
        case "GET", ["read", job_id]:
            return job_status(sim, grant, version, job_id)
        case "GET", ["read", job_id, "result"]:
            return job_result(sim, grant, job_id)
        case _, ["read"] | ["read", _] | ["read", _, "result"]:
            raise invalid_method()
        case _:
            raise invalid_url()


def _create(call: Call) -> Response:
    try:
        return create_job(call.sim, call.grant, call.version, call.request, call.fault)
    except ZohoError as error:
        error.in_data = call.sim.config.bulk_error_envelope == "data"
        raise


def _records(call: Call, parts: list[str]) -> Response:
    if call.request.method != "GET":
        raise invalid_method()
    match parts:
        case ["settings", "modules"]:
            return modules_metadata(call.grant)
        case ["settings", "fields"]:
            return fields_metadata(call.sim, call.grant, call.request)
        case ["users"]:
            return users(call.grant)
        case ["org"]:
            return organisation(call.grant)
        case _:
            return _module_records(call, parts)


def _module_records(call: Call, parts: list[str]) -> Response:
    sim, grant, version = call.sim, call.grant, call.version
    match parts:
        case [module]:
            return list_records(sim, grant, version, module, call.request)
        case [module, "deleted"]:
            return deleted_records(sim, grant, module, call.request)
        case [module, record_id] if record_id.isdigit():
            return one_record(sim, grant, version, module, record_id)
        case _:
            raise invalid_url()
