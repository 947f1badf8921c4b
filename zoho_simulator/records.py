"""The records API: lists, single records and deleted records of a module."""

from datetime import datetime
from email.utils import parsedate_to_datetime

from zoho_simulator.builder import OFFSET, iso_time
from zoho_simulator.bulk_query import at_least
from zoho_simulator.data import Module
from zoho_simulator.errors import ZohoError, bad_request, invalid_module, pattern_not_matched
from zoho_simulator.job_document import created_by
from zoho_simulator.listing import Place
from zoho_simulator.modules import MODULES
from zoho_simulator.oauth import Grant, require_scope
from zoho_simulator.page_tokens import PageToken
from zoho_simulator.record_query import RecordQuery, parse_record_query
from zoho_simulator.simulation import Simulation
from zoho_simulator.wire import Json, Request, Response, json_response


def list_records(sim: Simulation, grant: Grant, version: str, name: str, request: Request) -> Response:
    """GET /crm/{v}/{Module}. An empty page is 204, nothing modified since is 304."""
    # In this order, so that what is created in between is not looked for in an older module.
    total = sim.config.records.get(name, 0)
    module = _module(sim, grant, name)
    query = parse_record_query(sim.config, version, module, request.query)
    place = _place(sim, grant, module, query)
    header = request.header("if-modified-since")
    since = _moment(header) if header else None
    order = sim.listings.order(module, total, query, since)
    if since is not None and not len(order):
        return Response(304)
    start = order.start(place)
    rows = order.cut(start, query.per_page)
    if not rows:
        return Response(204)
    more = start + len(rows) < len(order)
    info: Json = {"per_page": query.per_page, "count": len(rows), "page": place.page, "more_records": more}
    if at_least(version, "v3"):
        last = order.key(rows[-1]) if sim.config.records_paging == "cursor" else None
        following = Place(place.page + 1, place.offset + query.per_page, last, place) if more else None
        info |= _newer_info(sim, grant, version, (module, query), (_previous(place, query), following))
    names = query.fields
    if names and not sim.config.records_dotted_fields:
        names = tuple(name for name in names if "." not in name)
    extra = {} if query.fields or at_least(version, "v3") else {"$editable": True, "$approved": True}
    return json_response(200, {"data": [{**module.record(i, names), **extra} for i in rows], "info": info})


def one_record(sim: Simulation, grant: Grant, version: str, name: str, record_id: str) -> Response:
    """GET /crm/{v}/{Module}/{id}."""
    module = _module(sim, grant, name)
    index = module.index_of(record_id)
    gone = sim.changes.of(name).deleted
    if index is not None and index < sim.config.records.get(name, 0) and index not in gone:
        return json_response(200, {"data": [module.record(index)]})
    if not at_least(version, "v3"):
        return Response(204)
    raise bad_request("INVALID_DATA", "the id given seems to be invalid", resource_path_index=1)


def deleted_records(sim: Simulation, grant: Grant, name: str, request: Request) -> Response:
    """GET /crm/{v}/{Module}/deleted: the newest deletion first, every third of them permanent."""
    module = _module(sim, grant, name)
    wanted = request.query.get("type", "all")
    if wanted not in ("all", "recycle", "permanent"):
        raise pattern_not_matched("type")
    paging = {k: v for k, v in request.query.items() if k in ("page", "per_page")}
    query = parse_record_query(sim.config, "v2", module, paging)
    rows = [_deleted_now(module, *entry) for entry in list(sim.changes.of(name).deleted.items())[::-1]]
    rows += [_deleted(sim, module, i) for i in range(sim.config.deleted.get(name, 0))]
    rows = [row for row in rows if wanted in ("all", row["type"])]
    since = request.header("if-modified-since")
    if since:
        rows = [
            row for row in rows if datetime.fromisoformat(row["deleted_time"]).timestamp() > _moment(since)
        ]
        if not rows:
            return Response(304)
    offset = (query.page - 1) * query.per_page
    page = rows[offset : offset + query.per_page]
    if not page:
        return Response(204)
    more = offset + len(page) < len(rows)
    info = {"per_page": query.per_page, "count": len(page), "page": query.page, "more_records": more}
    return json_response(200, {"data": page, "info": info})


def _module(sim: Simulation, grant: Grant, name: str) -> Module:
    if name not in MODULES or name == "Users":
        raise invalid_module()
    require_scope(grant, "modules", name)
    if name in sim.config.restricted_modules:
        raise ZohoError(
            403, "NO_PERMISSION", "Permission denied", {"permissions": [f"Crm_Implied_View_{name}"]}
        )
    if name == "Notes" and sim.config.notes_admin_only:
        raise ZohoError(403, "NOT_SUPPORTED", "This API is supported only for admin users.")
    return sim.changes.module(name)


def _place(sim: Simulation, grant: Grant, module: Module, query: RecordQuery) -> Place:
    if query.page_token is None:
        return Place(query.page, (query.page - 1) * query.per_page)
    token: PageToken | None = sim.page_tokens.find(query.page_token)
    if token is None or not isinstance(token.payload, tuple):
        raise pattern_not_matched("page_token")
    bound, place = token.payload
    if token.user != grant.refresh_token or bound != (module.name, *query.bound()):
        message = "The parameters do not match those the page token was issued for"
        raise bad_request("TOKEN_BOUND_DATA_MISMATCH", message, param_name="page_token")
    if sim.page_tokens.expired(token):
        raise bad_request("EXPIRED_VALUE", "Page token expired", param_name="page_token")
    cap = sim.config.records_token_cap
    if place.offset + query.per_page > cap:
        message = f"You can only get upto {cap} records using page_token param"
        raise bad_request("PAGINATION_LIMIT_EXCEEDED", message, param_name="page_token")
    found: Place = place
    return found


def _previous(place: Place, query: RecordQuery) -> Place | None:
    if place.before or place.page == 1:
        return place.before
    return Place(place.page - 1, max(0, place.offset - query.per_page))


def _newer_info(
    sim: Simulation,
    grant: Grant,
    version: str,
    listed: tuple[Module, RecordQuery],
    around: tuple[Place | None, Place | None],
) -> Json:
    module, query = listed
    bound = (module.name, *query.bound())
    previous, following = (
        sim.page_tokens.issue(grant.refresh_token, (bound, place)) if place else None for place in around
    )
    expiry = following or previous
    info: Json = {"call": False, "email": False}
    if version != "v3":
        info |= {"sort_by": query.sort_by, "sort_order": query.sort_order}
    return info | {
        "next_page_token": following[0] if following else None,
        "previous_page_token": previous[0] if previous else None,
        "page_token_expiry": iso_time(expiry[1].expires_at) if expiry else None,
    }


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text) if text[:4].isdigit() else parsedate_to_datetime(text)
    except ValueError:
        raise pattern_not_matched("If-Modified-Since") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=OFFSET)).timestamp()


def _deleted_now(module: Module, index: int, moment: int) -> Json:
    """A record that POST /__sim__/data/{Module} has deleted."""
    return {
        "deleted_by": created_by(),
        "id": str(module.id_base + index),
        "display_name": f"Deleted {index}",
        "type": "recycle",
        "created_by": created_by(),
        "deleted_time": iso_time(moment),
    }


def _deleted(sim: Simulation, module: Module, index: int) -> Json:
    user = created_by()
    permanent = index % 3 == 2
    # Ids below those of living records: a deleted record is never one that can still be read.
    row: Json = {
        "deleted_by": user,
        "id": str(module.id_base - 1000 - index),
        "display_name": f"Deleted {index}",
    }
    row |= {
        "type": "recycle",
        "created_by": user,
        "deleted_time": iso_time(sim.config.clock() - 3600 * (index + 1)),
    }
    return (
        {**row, "type": "permanent", "created_by": None, "display_name": None, "deleted_by": None}
        if permanent
        else row
    )
