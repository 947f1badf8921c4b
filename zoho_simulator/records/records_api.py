"""The records API: lists, single records and the count of a module.

https://www.zoho.com/crm/developer/docs/api/v8/get-records.html
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from zoho_simulator.config import SimulatorConfig, at_least
from zoho_simulator.data.builder import OFFSET, iso_time
from zoho_simulator.data.catalog import MODULES_WITH_RECORDS, WITHOUT_COUNT
from zoho_simulator.data.changes import Changes
from zoho_simulator.data.modules import Module
from zoho_simulator.errors import ZohoError
from zoho_simulator.records.order import Orders, Place
from zoho_simulator.records.query import (
    RecordQuery,
    page_info,
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
    changes: Changes
    _page_tokens: PageTokens
    _orders: Orders

    def page(self, call: Call, name: str) -> Response:
        """GET /crm/{v}/{Module}: one page. HTTP 204 for an empty page, 304 if nothing was modified since."""
        total = self.changes.total(name)  # before the snapshot, which then contains all of them
        module = self.module(call.grant, name)
        query = parse_record_query(self._config, call.version, module, call.request.query)
        if name == "Leads":
            module = module.listed(total, query.converted)
        place = self._place(call.grant, module, query)
        since = modified_since(call.request)
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
        module = self.module(call.grant, name)
        index = module.index_of(record_id)
        if index is not None and index < self.changes.total(name) and index not in module.deleted:
            return json_response(HTTPStatus.OK, {"data": [self._with_parent(module.record(index))]})
        if not at_least(call.version, "v3"):
            return Response(HTTPStatus.NO_CONTENT)
        message = "the id given seems to be invalid"
        raise ZohoError("INVALID_DATA", {"resource_path_index": 1}, message=message)

    def count(self, call: Call, name: str) -> Response:
        """GET /crm/{v}/{Module}/actions/count, with an optional `criteria` on Created_Time.

        https://www.zoho.com/crm/developer/docs/api/v8/module_record_count.html
        """
        call.grant.require("securesearch", service="ZohoSearch")
        call.grant.require("settings", "layouts")
        module = self.module(call.grant, name)
        if name in WITHOUT_COUNT:
            raise ZohoError("INVALID_MODULE", {"resource_path_index": 0})
        since = _created_since(call.request.query.get("criteria"))
        lag = self._config.count_lag_seconds
        rows = self.changes.rows_at(name, self._clock() - lag if lag else math.inf)
        if since is not None:
            moments = module.columns["Created_Time"].keys(rows)
            return json_response(HTTPStatus.OK, {"count": sum(moment >= since for moment in moments)})
        return json_response(HTTPStatus.OK, {"count": len(rows)})

    def module(self, grant: Grant, name: str) -> Module:
        """Return a module as this user may read it. Raises ZohoError."""
        if name not in MODULES_WITH_RECORDS:
            raise ZohoError("INVALID_MODULE", {"resource_path_index": 0})
        grant.require("modules", name)
        if name in self._config.restricted_modules:
            details = {"permissions": [f"Crm_Implied_View_{name}"]}
            raise ZohoError("NO_PERMISSION", details, message="Permission denied")
        if name == "Notes" and self._config.notes_admin_only:
            raise ZohoError("NOT_SUPPORTED")
        return self.changes.module(name)

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


def _previous(place: Place, query: RecordQuery) -> Place | None:
    if place.before or place.page == 1:
        return place.before
    return Place(place.page - 1, max(0, place.offset - query.per_page))


def modified_since(request: Request) -> float | None:
    """Return the moment of If-Modified-Since, or None. Raises ZohoError for a malformed one."""
    value = request.header("if-modified-since")
    if not value:
        return None
    try:
        moment = datetime.fromisoformat(value) if value[:4].isdigit() else parsedate_to_datetime(value)
    except ValueError:
        raise pattern_not_matched("If-Modified-Since") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=OFFSET)).timestamp()


_CREATED_SINCE = re.compile(r"\(?Created_Time:greater_equal:([^()]+)\)?").fullmatch


def _created_since(criteria: str | None) -> float | None:
    """Return the moment of the only criterion that the simulator counts by, or None without criteria."""
    if criteria is None:
        return None
    found = _CREATED_SINCE(criteria)
    try:
        return datetime.fromisoformat(found[1]).timestamp() if found else _refuse_criteria()
    except ValueError:
        return _refuse_criteria()


def _refuse_criteria() -> float:
    raise ZohoError("INVALID_QUERY", {"reason": "invalid query formed"})
