"""The simulator's own API under /__sim__/, without authentication.

GET requests, faults, config, jobs, data/{Module}/digest, health. POST faults, data/{Module} (see
data/changes.py), codes (makes one for a self client), devices/{user_code} (approves or denies). PATCH config.
DELETE requests or faults removes them; DELETE tokens, page_tokens or results lets them expire.
"""

import hashlib
import json
from bisect import bisect_left
from collections.abc import Callable

from zoho_simulator.data.catalog import MODULES_WITH_RECORDS
from zoho_simulator.data.modules import blocks
from zoho_simulator.http.oauth import Decision
from zoho_simulator.http.organisation import Organisation
from zoho_simulator.wire import Json, Request, Response, json_response

_PREFIX = "/__sim__/"


def respond(organisation: Organisation, request: Request) -> Response:
    """Return the response of the control API or of the organisation."""
    if not request.path.startswith(_PREFIX):
        return organisation.handle(request)
    try:
        what = request.path.removeprefix(_PREFIX).split("/")
        return json_response(200, _control(organisation, request, what))
    except (ValueError, TypeError) as error:
        return json_response(400, {"error": str(error)})


def _control(organisation: Organisation, request: Request, what: list[str]) -> Json:
    match request.method, what:
        case "DELETE", [kind] if kind in _EXPIRE:
            document = _EXPIRE[kind](organisation)
        case _, [kind] if kind in _COLLECTIONS:
            document = _COLLECTIONS[kind](organisation, request)
        case "GET", ["data", module, "digest"]:
            document = _digest(organisation, module, request)
        case "POST", ["codes"]:
            document = {"code": organisation.accounts.make_code(**_document(request))}
        case "POST", ["devices", user_code]:
            decision: Decision = "deny" if _document(request).get("decision") == "deny" else "approve"
            document = {"decided": organisation.accounts.decide(user_code, decision)}
        case "POST", ["data", module]:
            document = organisation.changes.apply(module, _document(request))
        case _:
            raise ValueError(f"There is no control endpoint {request.method} {request.path}.")
    return document


def _requests(organisation: Organisation, request: Request) -> Json:
    if request.method == "DELETE":
        organisation.journal.clear()
    return {"requests": organisation.journal.requests(request.query.get("path"), request.query.get("method"))}


def _faults(organisation: Organisation, request: Request) -> Json:
    if request.method == "DELETE":
        organisation.faults.clear()
    if request.method == "POST":
        document = json.loads(request.body)
        for rule in document if isinstance(document, list) else [document]:
            organisation.faults.add(rule)
    return {"faults": organisation.faults.list()}


def _config(organisation: Organisation, request: Request) -> Json:
    if request.method == "PATCH":
        organisation.config.patch(_document(request))
    return organisation.config.public()


def _digest(organisation: Organisation, name: str, request: Request) -> Json:
    """Return the SHA-256 of the ids of records from..to (a half-open range), one a line, ascending."""
    if name not in MODULES_WITH_RECORDS:
        raise ValueError(f"There is no module {name}.")
    module = organisation.changes.module(name)
    rows = module.living(int(request.query.get("to", organisation.changes.total(name))))
    rows = rows[bisect_left(rows, int(request.query.get("from", 0))) :]
    digest = hashlib.sha256()
    for block in blocks(rows):
        digest.update("".join(f"{i}\n" for i in module.columns["id"].texts(block)).encode())
    return {"module": name, "count": len(rows), "ids_sha256": digest.hexdigest()}


def _document(request: Request) -> Json:
    document = json.loads(request.body or b"{}")
    if not isinstance(document, dict):
        raise TypeError(f"The body must be a JSON object, not {type(document).__name__}.")
    return document


_COLLECTIONS: dict[str, Callable[[Organisation, Request], Json]] = {
    "requests": _requests,
    "faults": _faults,
    "config": _config,
    "jobs": lambda organisation, _: {"jobs": organisation.bulk_read.overview()},
    "health": lambda organisation, _: {"status": "ok", "url": organisation.url},
}
_EXPIRE: dict[str, Callable[[Organisation], Json]] = {
    "tokens": lambda organisation: {"invalidated": organisation.tokens.expire_all()},
    "page_tokens": lambda organisation: {"expired": organisation.page_tokens.expire_all()},
    "results": lambda organisation: {"expired": organisation.jobs.expire_results()},
}
