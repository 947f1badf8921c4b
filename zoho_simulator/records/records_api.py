"""The records API: lists, single records and deleted records of a module.

https://www.zoho.com/crm/developer/docs/api/v8/get-records.html
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from zoho_simulator.config import SimulatorConfig, at_least
from zoho_simulator.data.builder import OFFSET, iso_time
from zoho_simulator.data.catalog import MODULES_WITH_RECORDS
from zoho_simulator.data.changes import Changes
from zoho_simulator.data.modules import Module, current_user
from zoho_simulator.errors import ZohoError
from zoho_simulator.records.order import Orders, Place
from zoho_simulator.records.query import (
    RecordQuery,
    page_info,
    parse_paging,
    parse_record_query,
    pattern_not_matched,
)
from zoho_simulator.tokens import Call, Grant, PageTokens
from zoho_simulator.wire import Json, Request, Response, json_response


@dataclass
class RecordsApi:
    """The records API of an organisation."""

    _config: SimulatorConfig
    _clock: Callable[[], float]
    _changes: Changes
    _page_tokens: PageTokens
    _orders: Orders

    def page(self, call: Call, name: str) -> Response:
        """GET /crm/{v}/{Module}: one page. HTTP 204 for an empty page, 304 if nothing was modified since."""
        total = self._changes.total(name)  # before the snapshot, which then contains all of them
        module = self._module(call.grant, name)
        query = parse_record_query(self._config, call.version, module, call.request.query)
        place = self._place(call.grant, module, query)
        since = _modified_since(call.request)
        module, order = place.listing or (module, self._orders.order(module, total, query, since))
        if self._config.records_paging == "snapshot":
            place = replace(place, listing=(module, order))
        if since is not None and not order.rows:
            return Response(HTTPStatus.NOT_MODIFIED)
        start = order.start(place)
        rows = order.cut(start, query.per_page)
        if not rows:
            return Response(HTTPStatus.NO_CONTENT)
        more = start + len(rows) < len(order.rows)
        info = page_info(place.page, query.per_page, len(rows), more=more)
        if at_least(call.version, "v3"):
            last = order.key(rows[-1]) if self._config.records_paging == "cursor" else None
            offset = place.offset + query.per_page
            following = Place(place.page + 1, offset, last, place, place.listing) if more else None
            info |= self._newer_info(call, module, query, (_previous(place, query), following))
        return json_response(HTTPStatus.OK, {"data": self._shown(call, module, query, rows), "info": info})

    def one(self, call: Call, name: str, record_id: str) -> Response:
        """GET /crm/{v}/{Module}/{id}."""
        module = self._module(call.grant, name)
        index = module.index_of(record_id)
        if index is not None and index < self._changes.total(name) and index not in module.deleted:
            return json_response(HTTPStatus.OK, {"data": [self._with_parent(module.record(index))]})
        if not at_least(call.version, "v3"):
            return Response(HTTPStatus.NO_CONTENT)
        message = "the id given seems to be invalid"
        raise ZohoError("INVALID_DATA", {"resource_path_index": 1}, message=message)

    def deleted(self, call: Call, name: str) -> Response:
        """GET /crm/{v}/{Module}/deleted: the newest deletion first."""
        module = self._module(call.grant, name)
        kind = call.request.query.get("type", "all")
        if kind not in ("all", "recycle", "permanent"):
            raise pattern_not_matched("type")
        page, per_page = parse_paging(self._config, call.request.query)
        rows = [row for row in self._deleted_rows(module) if kind in ("all", row["type"])]
        since = _modified_since(call.request)
        if since is not None:
            rows = [row for row in rows if datetime.fromisoformat(row["deleted_time"]).timestamp() > since]
            if not rows:
                return Response(HTTPStatus.NOT_MODIFIED)
        start = (page - 1) * per_page
        shown = rows[start : start + per_page]
        if not shown:
            return Response(HTTPStatus.NO_CONTENT)
        info = page_info(page, per_page, len(shown), more=start + len(shown) < len(rows))
        return json_response(HTTPStatus.OK, {"data": shown, "info": info})

    def _module(self, grant: Grant, name: str) -> Module:
        if name not in MODULES_WITH_RECORDS:
            raise ZohoError("INVALID_MODULE", {"resource_path_index": 0})
        grant.require("modules", name)
        if name in self._config.restricted_modules:
            details = {"permissions": [f"Crm_Implied_View_{name}"]}
            raise ZohoError("NO_PERMISSION", details, message="Permission denied")
        if name == "Notes" and self._config.notes_admin_only:
            raise ZohoError("NOT_SUPPORTED")
        return self._changes.module(name)

    def _shown(self, call: Call, module: Module, query: RecordQuery, rows: list[int]) -> list[Json]:
        names = query.fields
        if names and not self._config.records_dotted_fields:
            names = tuple(name for name in names if "." not in name)
        is_older = not query.fields and not at_least(call.version, "v3")
        extra = {"$editable": True, "$approved": True} if is_older else {}
        system = ("$se_module",) if is_older and "$se_module" in module.columns else ()
        return [
            self._with_parent({**module.record(row, names), **module.record(row, system), **extra})
            for row in rows
        ]

    def _with_parent(self, record: Json) -> Json:
        """Return the record with the module of its parent named where the settings say."""
        if self._config.records_parent_module == "lookup":
            return {name: value for name, value in record.items() if name != "$se_module"}
        return {
            name: {key: item for key, item in value.items() if key != "module"}
            if isinstance(value, dict)
            else value
            for name, value in record.items()
        }

    def _place(self, grant: Grant, module: Module, query: RecordQuery) -> Place:
        if query.page_token is None:
            return Place(query.page, (query.page - 1) * query.per_page)
        token = self._page_tokens.find(query.page_token)
        if token is None or not isinstance(token.payload, tuple):
            raise pattern_not_matched("page_token")
        details = {"param_name": "page_token"}
        place: Place
        bound, place = token.payload
        if token.user != grant.refresh_token or bound != (module.name, *query.bound()):
            message = "The parameters do not match those the page token was issued for"
            raise ZohoError("TOKEN_BOUND_DATA_MISMATCH", details, message=message)
        if self._page_tokens.has_expired(token):
            raise ZohoError("EXPIRED_VALUE", details)
        cap = self._config.records_token_cap
        if place.offset + query.per_page > cap:
            message = f"You can only get upto {cap} records using page_token param"
            raise ZohoError("PAGINATION_LIMIT_EXCEEDED", details, message=message)
        return place

    def _newer_info(
        self, call: Call, module: Module, query: RecordQuery, around: tuple[Place | None, Place | None]
    ) -> Json:
        bound = (module.name, *query.bound())
        previous, following = (
            self._page_tokens.issue(call.grant.refresh_token, (bound, place)) if place else None
            for place in around
        )
        expiry = following or previous
        info: Json = {"call": False, "email": False}
        if call.version != "v3":
            info |= {"sort_by": query.sort_by, "sort_order": query.sort_order}
        return info | {
            "next_page_token": following[0] if following else None,
            "previous_page_token": previous[0] if previous else None,
            "page_token_expiry": iso_time(expiry[1].expires_at) if expiry else None,
        }

    def _deleted_rows(self, module: Module) -> list[Json]:
        """Return the records deleted at run time, then the configured ones, every third of them permanent."""
        deleted = list(self._changes.of(module.name).deleted.items())
        rows = [_recycled(module, index, index, moment) for index, moment in reversed(deleted)]
        now = self._clock()
        for index in range(self._config.deleted.get(module.name, 0)):
            # Ids below those of living records: such a record can never be read.
            row = _recycled(module, index, -1000 - index, now - 3600 * (index + 1))
            unknown = {"created_by": None, "display_name": None, "deleted_by": None}
            rows.append({**row, "type": "permanent", **unknown} if index % 3 == 2 else row)
        return rows


def _recycled(module: Module, number: int, index: int, moment: float) -> Json:
    return {
        "deleted_by": current_user(),
        "id": str(module.id_base + index),
        "display_name": f"Deleted {number}",
        "type": "recycle",
        "created_by": current_user(),
        "deleted_time": iso_time(moment),
    }


def _previous(place: Place, query: RecordQuery) -> Place | None:
    if place.before or place.page == 1:
        return place.before
    return Place(place.page - 1, max(0, place.offset - query.per_page))


def _modified_since(request: Request) -> float | None:
    value = request.header("if-modified-since")
    if not value:
        return None
    try:
        moment = datetime.fromisoformat(value) if value[:4].isdigit() else parsedate_to_datetime(value)
    except ValueError:
        raise pattern_not_matched("If-Modified-Since") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=OFFSET)).timestamp()
