"""Which records a page of the records API contains: their order, and where the page begins in it."""

import json
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from threading import Lock
from typing import Any

from zoho_simulator.config import SimulatorConfig
from zoho_simulator.data.columns import Rows
from zoho_simulator.data.criteria import Criteria, select, view_criteria
from zoho_simulator.data.modules import Module
from zoho_simulator.errors import ZohoError
from zoho_simulator.records.query import RecordQuery

_ORDERS_KEPT = 16


@dataclass(frozen=True)
class Place:
    """Where a page begins: after the sort key `after`, or after `offset` records if that is None."""

    page: int
    offset: int  # records returned before this page, which the cap limits
    after: Any = None
    before: "Place | None" = None  # where the previous page began
    listing: "tuple[Module, Order] | None" = None  # of records_paging `snapshot`


@dataclass(frozen=True)
class Order:
    """Record numbers sorted ascending by `key`; `descending` reads them backwards."""

    rows: Sequence[int]
    key: Callable[[int], Any]
    descending: bool

    def start(self, place: Place) -> int:
        """Return the position of the first record of the page at this place."""
        if place.after is None:
            return place.offset
        if self.descending:
            return len(self.rows) - bisect_left(self.rows, place.after, key=self.key)
        return bisect_right(self.rows, place.after, key=self.key)

    def cut(self, start: int, count: int) -> list[int]:
        """Return up to `count` record numbers from a position on."""
        positions = range(start, min(start + count, len(self.rows)))
        last = len(self.rows) - 1
        return [self.rows[last - p if self.descending else p] for p in positions]


@dataclass
class Orders:
    """Computes orders; those that need a scan are kept until the module changes. Thread-safe."""

    _config: SimulatorConfig
    _rng: Random
    _lock: Lock = field(default_factory=Lock)
    _kept: dict[tuple[Any, ...], Sequence[int]] = field(default_factory=dict)

    def order(self, module: Module, total: int, query: RecordQuery, since: float | None) -> Order:
        """Return the records of a list. Raises ZohoError for an unknown custom view."""
        if since is not None and not self._config.records_since_inclusive:
            since = math.nextafter(since, math.inf)
        key = _sort_key(module, query.sort_by)
        is_descending = query.sort_order == "desc"
        if query.ids is not None:
            return Order(sorted(_by_id(module, total, query.ids, since), key=key), key, is_descending)
        view = self._view(module, query.cvid)
        is_by_id = query.sort_by in ("id", "Created_Time")
        if view is None and since is None and is_by_id:
            return Order(module.living(total), key, is_descending)
        if self._config.records_paging == "snapshot":
            found = list(_scan(module, total, view, since))
            self._rng.shuffle(found)  # a stable sort keeps this order among equals
            return Order(sorted(found, key=key if is_by_id else lambda row: key(row)[:2]), key, is_descending)
        settings = json.dumps(self._config.custom_views.get(query.cvid or ""))
        facts = (
            module.name,
            module.seed,
            module.first_day,
            module.revision,
            total,
            settings,
            since,
            query.sort_by,
        )
        with self._lock:
            if facts not in self._kept:
                rows = _scan(module, total, view, since)
                self._kept[facts] = rows if is_by_id else sorted(rows, key=_sort_keys(module, rows, query))
                if len(self._kept) > _ORDERS_KEPT:
                    del self._kept[next(iter(self._kept))]
            return Order(self._kept[facts], key, is_descending)

    def _view(self, module: Module, cvid: str | None) -> Criteria | None:
        try:
            return view_criteria(self._config, module, cvid) if cvid is not None else None
        except KeyError:
            message = "the id given seems to be invalid"
            raise ZohoError("INVALID_DATA", {"param_name": "cvid"}, message=message) from None


def _scan(module: Module, total: int, view: Criteria | None, since: float | None) -> Rows:
    rows = module.living(total)
    if view is not None:
        rows = select(view, rows)
    return rows if since is None else _newer(module, rows, since)


def _newer(module: Module, rows: Rows, since: float) -> list[int]:
    moments = module.columns["Modified_Time"].keys(rows)
    return [row for row, moment in zip(rows, moments, strict=True) if moment is not None and moment >= since]


def _by_id(module: Module, total: int, ids: Sequence[str], since: float | None) -> list[int]:
    numbers = {module.index_of(record_id) for record_id in ids}
    rows = [i for i in numbers if i is not None and i < total and i not in module.deleted]
    return rows if since is None else _newer(module, rows, since)


def _sort_key(module: Module, sort_by: str) -> Callable[[int], Any]:
    if sort_by in ("id", "Created_Time"):
        return lambda row: row
    column = module.columns[sort_by]
    return lambda row: _nulls_last(column.keys((row,))[0], row)


def _sort_keys(module: Module, rows: Rows, query: RecordQuery) -> Callable[[int], Any]:
    # All keys at once: asking a column for one record at a time takes seconds for a large module.
    keys = zip(rows, module.columns[query.sort_by].keys(rows), strict=True)
    return {row: _nulls_last(key, row) for row, key in keys}.__getitem__


def _nulls_last(key: Any, row: int) -> tuple[bool, Any, int]:
    return (key is None, 0 if key is None else key, row)
