"""The records API: lists, single records and deleted records of a module."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime

from local.zoho.builder import ID_BASE, OFFSET, iso_time
from local.zoho.bulk_criteria import Scope, parse_criteria
from local.zoho.bulk_query import all_records_view, at_least
from local.zoho.criteria import select
from local.zoho.data import Module, load_module
from local.zoho.errors import ZohoError, bad_request, invalid_module, pattern_not_matched
from local.zoho.modules import MODULES
from local.zoho.oauth import Grant, require_scope
from local.zoho.page_tokens import PageToken
from local.zoho.record_query import RecordQuery, parse_record_query
from local.zoho.simulation import Simulation
from local.zoho.wire import Json, Request, Response, json_response


@dataclass(frozen=True)
class _Listing:
    """Where in which list a page is; `total` is the size of the module when the listing began."""

    module: Module
    query: RecordQuery
    offset: int
    total: int


def list_records(sim: Simulation, grant: Grant, version: str, name: str, request: Request) -> Response:
    """GET /crm/{v}/{Module}. An empty page is 204, nothing modified since is 304."""
    module = _module(sim, grant, name)
    query = parse_record_query(sim.config, version, module, request.query)
    offset, total, page = _position(sim, grant, module, query)
    query = replace(query, page=page)
    matching = _matching(sim, module, query, total)
    since = request.header("if-modified-since")
    if since:
        moment = _moment(since)
        matching = [i for i in matching if module.columns["Modified_Time"].keys((i,))[0] > moment]
        if not matching:
            return Response(304)
    rows = _sorted(module, matching, query)[offset : offset + query.per_page]
    if not rows:
        return Response(204)
    more = offset + len(rows) < len(matching)
    info: Json = {"per_page": query.per_page, "count": len(rows), "page": page, "more_records": more}
    if at_least(version, "v3"):
        info |= _newer_info(sim, grant, version, _Listing(module, query, offset, total), more=more)
    extra = {} if query.fields or at_least(version, "v3") else {"$editable": True, "$approved": True}
    return json_response(
        200, {"data": [{**module.record(i, query.fields), **extra} for i in rows], "info": info}
    )


def one_record(sim: Simulation, grant: Grant, version: str, name: str, record_id: str) -> Response:
    """GET /crm/{v}/{Module}/{id}."""
    module = _module(sim, grant, name)
    index = module.index_of(record_id)
    if index is not None and index < sim.config.records.get(name, 0):
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
    rows = [_deleted(sim, module, i) for i in range(sim.config.deleted.get(name, 0))]
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
    return load_module(sim.config.seed, name, sim.config.multiselect_delimiter)


def _position(sim: Simulation, grant: Grant, module: Module, query: RecordQuery) -> tuple[int, int, int]:
    """Offset, size of the module when the listing began, page number."""
    if query.page_token is None:
        return (query.page - 1) * query.per_page, sim.config.records.get(module.name, 0), query.page
    token: PageToken | None = sim.page_tokens.find(query.page_token)
    if token is None or not isinstance(token.payload, tuple):
        raise pattern_not_matched("page_token")
    bound, offset, total, page = token.payload
    if token.user != grant.refresh_token or bound != (module.name, *query.bound()):
        message = "The parameters do not match those the page token was issued for"
        raise bad_request("TOKEN_BOUND_DATA_MISMATCH", message, param_name="page_token")
    if sim.page_tokens.expired(token):
        raise bad_request("EXPIRED_VALUE", "Page token expired", param_name="page_token")
    cap = sim.config.records_token_cap
    if offset + query.per_page > cap:
        message = f"You can only get upto {cap} records using page_token param"
        raise bad_request("PAGINATION_LIMIT_EXCEEDED", message, param_name="page_token")
    return offset, total, page


def _matching(sim: Simulation, module: Module, query: RecordQuery, total: int) -> Sequence[int]:
    if query.ids is not None:
        found = {module.index_of(record_id) for record_id in query.ids}
        return sorted(i for i in found if i is not None and i < total)
    if query.cvid is None or query.cvid == all_records_view(module.name):
        return range(total)
    view = sim.config.custom_views.get(query.cvid)
    if view is None or view.get("module") != module.name:
        raise bad_request("INVALID_DATA", "the id given seems to be invalid", param_name="cvid")
    return select(parse_criteria(Scope(sim.config, "v8", module), view["criteria"]), total)


def _sorted(module: Module, matching: Sequence[int], query: RecordQuery) -> Sequence[int]:
    down = query.sort_order == "desc"
    if query.sort_by in ("id", "Created_Time"):
        return matching[::-1] if down else matching
    keys = module.columns[query.sort_by].keys(matching)
    pairs = sorted(
        ((key is None, key if key is not None else 0, i) for key, i in zip(keys, matching, strict=True)),
        reverse=down,
    )
    return [i for _, _, i in pairs]


def _newer_info(sim: Simulation, grant: Grant, version: str, listing: _Listing, *, more: bool) -> Json:
    module, query, offset = listing.module, listing.query, listing.offset

    def token(start: int, page: int) -> tuple[str, PageToken]:
        payload = ((module.name, *query.bound()), start, listing.total, page)
        return sim.page_tokens.issue(grant.refresh_token, payload)

    following = token(offset + query.per_page, query.page + 1) if more else None
    previous = token(offset - query.per_page, query.page - 1) if offset >= query.per_page else None
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


def _deleted(sim: Simulation, module: Module, index: int) -> Json:
    user = {"name": "Patricia Boyle", "id": str(ID_BASE + 1_000_000_000)}
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
