"""Which records a page of the records API holds: the order, the place in it, the cut."""

import json
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from zoho_simulator.bulk_criteria import Scope, parse_criteria
from zoho_simulator.bulk_query import all_records_view
from zoho_simulator.config import SimulatorConfig
from zoho_simulator.criteria import select
from zoho_simulator.data import Module
from zoho_simulator.errors import bad_request
from zoho_simulator.record_query import RecordQuery

_KEPT = 16


@dataclass(frozen=True)
class Place:
    """Where a page begins. `after` None: behind `offset` records; else behind that sort key."""

    page: int
    offset: int  # records given before this page: what the cap counts
    after: Any = None
    before: "Place | None" = None  # where the page before began


@dataclass(frozen=True)
class Order:
    """Record numbers in the order that is asked for; `key` is what they ascend by before any reversal."""

    rows: Sequence[int]
    key: Callable[[int], Any]
    descending: bool

    def __len__(self) -> int:
        return len(self.rows)

    def start(self, place: Place) -> int:
        """The position of the first record of the page at this place."""
        if place.after is None:
            return place.offset
        if self.descending:
            return len(self.rows) - bisect_left(self.rows, place.after, key=self.key)
        return bisect_right(self.rows, place.after, key=self.key)

    def cut(self, start: int, count: int) -> list[int]:
        """Record numbers from this position on."""
        positions = range(start, min(start + count, len(self.rows)))
        last = len(self.rows) - 1
        return [self.rows[last - p if self.descending else p] for p in positions]


class Listings:
    """Orders that cost a scan, kept until something changes. Safe to use from any thread."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._config = config
        self._lock = Lock()
        self._kept: OrderedDict[tuple[Any, ...], Sequence[int]] = OrderedDict()

    def order(self, module: Module, total: int, query: RecordQuery, since: float | None) -> Order:
        """The records of a listing. Raises ZohoError for a custom view that is none."""
        key = _sort_key(module, query.sort_by)
        down = query.sort_order == "desc"
        if query.ids is not None:
            return Order(sorted(_asked_for(module, total, query.ids, since), key=key), key, down)
        view = _view(self._config, module, query.cvid)
        by_id = query.sort_by in ("id", "Created_Time")
        if view is None and since is None and by_id:
            return Order(module.living(total), key, down)
        facts = (module.name, module.seed, module.revision, total, json.dumps(view), since, query.sort_by)
        with self._lock:
            if facts not in self._kept:
                rows = self._scan(module, total, view, since)
                self._kept[facts] = rows if by_id else sorted(rows, key=_sort_keys(module, rows, query))
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            return Order(self._kept[facts], key, down)

    def _scan(self, module: Module, total: int, view: Any, since: float | None) -> Sequence[int]:
        rows = module.living(total)
        if view is not None:
            rows = select(parse_criteria(Scope(self._config, "v8", module), view), rows)
        return rows if since is None else _newer(module, rows, since)


def _newer(module: Module, rows: Sequence[int], since: float) -> list[int]:
    moments = module.columns["Modified_Time"].keys(rows)
    return [row for row, moment in zip(rows, moments, strict=True) if moment > since]


def _asked_for(module: Module, total: int, ids: Sequence[str], since: float | None) -> list[int]:
    gone = set(module.deleted)
    found = {module.index_of(record_id) for record_id in ids}
    rows = [i for i in found if i is not None and i < total and i not in gone]
    return rows if since is None else _newer(module, rows, since)


def _view(config: SimulatorConfig, module: Module, cvid: str | None) -> Any:
    """The criteria of a custom view; None where nothing is left out."""
    if cvid is None or cvid == all_records_view(module.name):
        return None
    view = config.custom_views.get(cvid)
    if view is None or view.get("module") != module.name:
        raise bad_request("INVALID_DATA", "the id given seems to be invalid", param_name="cvid")
    return view["criteria"]


def _sort_key(module: Module, sort_by: str) -> Callable[[int], Any]:
    if sort_by in ("id", "Created_Time"):
        return lambda row: row
    column = module.columns[sort_by]

    def key(row: int) -> Any:
        found = column.keys((row,))[0]
        return (found is None, 0 if found is None else found, row)

    return key


def _sort_keys(module: Module, rows: Sequence[int], query: RecordQuery) -> Callable[[int], Any]:
    # All keys at once: asking a column for one record at a time takes seconds for a large module.
    found = module.columns[query.sort_by].keys(rows)
    keys = {row: (key is None, 0 if key is None else key, row) for row, key in zip(rows, found, strict=True)}
    return keys.__getitem__
