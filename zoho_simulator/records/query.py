"""Validation of the query parameters of GET /crm/{v}/{Module}, for v2 and for v3 and later.

https://www.zoho.com/crm/developer/docs/api/v8/get-records.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from zoho_simulator.config import SimulatorConfig, at_least
from zoho_simulator.data.modules import Module
from zoho_simulator.errors import ZohoError
from zoho_simulator.wire import Json

_FIELDS_MAX = 50
_IDS_MAX = 100


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
    converted: str = "false"  # of leads: false, true or both

    def bound(self) -> tuple[object, ...]:
        """Return the parameters that must not change from page token to page token."""
        return (self.fields, self.sort_by, self.sort_order, self.cvid, self.ids, self.converted)


def parse_record_query(
    config: SimulatorConfig, version: str, module: Module, query: Mapping[str, str]
) -> RecordQuery:
    """Return the validated parameters. Raises ZohoError for the first mistake."""
    is_newer = at_least(version, "v3")
    token = query.get("page_token") if is_newer else None
    page, per_page = parse_paging(config, query)
    if token and "page" in query:
        raise _ambiguous("page", "page_token")
    cap = config.records_page_cap
    if is_newer and not token and page * per_page > cap:
        message = f"You can only get the first {cap} records without using page_token param"
        raise ZohoError("DISCRETE_PAGINATION_LIMIT_EXCEEDED", {"limit": cap}, message=message)
    order = query.get("sort_order", "desc")
    if order not in ("asc", "desc"):
        raise pattern_not_matched("sort_order")
    return RecordQuery(
        _fields(query.get("fields"), is_required=is_newer),
        _sort_by(module, query, config.records_sort_by if is_newer else None),
        "asc" if order == "asc" else "desc",
        page, per_page, token, query.get("cvid"), _ids(query.get("ids")), _converted(query),
    )  # fmt: skip


def parse_paging(config: SimulatorConfig, query: Mapping[str, str]) -> tuple[int, int]:
    """Return `page` (from 1) and `per_page`. Raises ZohoError for malformed or too large ones."""
    most = config.records_per_page
    page, per_page = _number(query, "page", 1), _number(query, "per_page", most)
    if per_page > most:
        raise _limit_exceeded("per_page", most)
    return page, per_page


def page_info(page: int, per_page: int, count: int, *, more: bool) -> Json:
    """Return the `info` object of a page."""
    return {"per_page": per_page, "count": count, "page": page, "more_records": more}


def _fields(value: str | None, *, is_required: bool) -> tuple[str, ...] | None:
    names = tuple(dict.fromkeys(name.strip() for name in (value or "").split(",") if name.strip()))
    if is_required and not names:
        raise ZohoError("REQUIRED_PARAM_MISSING", {"param_name": "fields"})
    if is_required and len(names) > _FIELDS_MAX:
        raise _limit_exceeded("fields", _FIELDS_MAX)
    return names or None


def _converted(query: Mapping[str, str]) -> str:
    value = query.get("converted", "false")
    if value not in ("false", "true", "both"):
        raise pattern_not_matched("converted")
    return value


def _ids(value: str | None) -> tuple[str, ...] | None:
    if not value:
        return None
    ids = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
    if not all(part.isascii() and part.isdigit() for part in ids):
        raise pattern_not_matched("ids")
    if len(ids) > _IDS_MAX:
        raise _limit_exceeded("ids", _IDS_MAX)
    return ids


def _sort_by(module: Module, query: Mapping[str, str], sortable: Sequence[str] | None) -> str:
    name = query.get("sort_by", "id")
    if sortable is not None and "sort_by" in query and "cvid" in query:
        raise _ambiguous("sort_by", "cvid")
    if name not in (module.columns if sortable is None else sortable):
        raise pattern_not_matched("sort_by")
    return name


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    value = query.get(name)
    if value is None:
        return default
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise pattern_not_matched(name)
    return int(value)


def pattern_not_matched(param_name: str) -> ZohoError:
    """Return the error for a malformed query parameter or header."""
    return ZohoError("PATTERN_NOT_MATCHED", {"param_name": param_name})


def _limit_exceeded(param_name: str, limit: int) -> ZohoError:
    return ZohoError("LIMIT_EXCEEDED", {"limit": limit, "param_name": param_name})


def _ambiguous(*param_names: str) -> ZohoError:
    due_to = [{"param_name": name} for name in param_names]
    return ZohoError("AMBIGUITY_DURING_PROCESSING", {"ambiguity_due_to": due_to})
