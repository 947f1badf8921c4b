"""Validation of the query parameters of GET /crm/{v}/{Module}, for v2 and for v3 and later."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from zoho_simulator.bulk_query import at_least
from zoho_simulator.config import SimulatorConfig
from zoho_simulator.data import Module
from zoho_simulator.errors import ZohoError, bad_request, pattern_not_matched

_PER_PAGE_MAX = 200
_FIELDS_MAX = 50
_IDS_MAX = 100
_SORTABLE = ("id", "Created_Time", "Modified_Time")


@dataclass(frozen=True)
class RecordQuery:
    """A validated list request."""

    fields: tuple[str, ...] | None
    sort_by: str
    sort_order: Literal["asc", "desc"]
    page: int
    per_page: int
    page_token: str | None
    cvid: str | None
    ids: tuple[str, ...] | None

    def bound(self) -> tuple[object, ...]:
        """What must stay the same from page token to page token."""
        return (self.fields, self.sort_by, self.sort_order, self.cvid, self.ids)


def parse_record_query(
    config: SimulatorConfig, version: str, module: Module, query: Mapping[str, str]
) -> RecordQuery:
    """The validated parameters. Raises ZohoError."""
    newer = at_least(version, "v3")
    token = query.get("page_token") if newer else None
    page, per_page = _number(query, "page", 1), _number(query, "per_page", _PER_PAGE_MAX)
    if per_page > _PER_PAGE_MAX:
        raise _limit("per_page", _PER_PAGE_MAX)
    if token and "page" in query:
        due_to = [{"param_name": "page"}, {"param_name": "page_token"}]
        raise bad_request(
            "AMBIGUITY_DURING_PROCESSING", "Ambiguity while processing the request", ambiguity_due_to=due_to
        )
    if newer and not token and page * per_page > config.records_page_cap:
        cap = config.records_page_cap
        message = f"You can only get the first {cap} records without using page_token param"
        raise bad_request("DISCRETE_PAGINATION_LIMIT_EXCEEDED", message, limit=cap)
    order = query.get("sort_order", "desc")
    if order not in ("asc", "desc"):
        raise pattern_not_matched("sort_order")
    return RecordQuery(
        _fields(query.get("fields"), required=newer),
        _sort_by(module, query, newer=newer),
        "asc" if order == "asc" else "desc",
        page, per_page, token, query.get("cvid"), _ids(query.get("ids")),
    )  # fmt: skip


def _fields(text: str | None, *, required: bool) -> tuple[str, ...] | None:
    names = tuple(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))
    if required and not names:
        message = "One of the expected parameter is missing"
        raise bad_request("REQUIRED_PARAM_MISSING", message, param_name="fields")
    if required and len(names) > _FIELDS_MAX:
        raise _limit("fields", _FIELDS_MAX)
    return names or None


def _ids(text: str | None) -> tuple[str, ...] | None:
    if not text:
        return None
    ids = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if not all(part.isascii() and part.isdigit() for part in ids):
        raise pattern_not_matched("ids")
    if len(ids) > _IDS_MAX:
        raise _limit("ids", _IDS_MAX)
    return ids


def _sort_by(module: Module, query: Mapping[str, str], *, newer: bool) -> str:
    name = query.get("sort_by", "id")
    if newer and "sort_by" in query and "cvid" in query:
        due_to = [{"param_name": "sort_by"}, {"param_name": "cvid"}]
        raise bad_request(
            "AMBIGUITY_DURING_PROCESSING", "Ambiguity while processing the request", ambiguity_due_to=due_to
        )
    if name not in (_SORTABLE if newer else module.columns):
        raise pattern_not_matched("sort_by")
    return name


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise pattern_not_matched(name)
    return int(text)


def _limit(param_name: str, limit: int) -> ZohoError:
    return bad_request("LIMIT_EXCEEDED", "limit exceeded", limit=limit, param_name=param_name)
