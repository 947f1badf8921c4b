"""Builds the columns of one module from a seed, for the declarations in catalog.py."""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import cache
from itertools import cycle
from typing import Any, NamedTuple

from zoho_simulator.data.columns import Column, ComputedColumn, Field, LookupColumn, Pool, PoolColumn, Rows

ID_BASE = 3_652_397 * 10**12
OFFSET = timezone(timedelta(hours=5, minutes=30))
_STEP_SECONDS = 30  # one new record every half minute
_PER_DAY = 86_400 // _STEP_SECONDS
_MODIFIED_DAYS = 200  # so much later, at most, a record is modified
_PRIMES = (
    997, 1009, 1013, 1019, 1021, 1031, 1033, 1039, 1049, 1051, 1061, 1063, 1069, 1087, 1091, 1093, 1097, 1103,
)  # fmt: skip
_JSON_TYPES = {
    "integer": "integer", "bigint": "string", "double": "double", "currency": "double", "percent": "double",
    "formula": "double", "boolean": "boolean",
    "lookup": "jsonobject", "ownerlookup": "jsonobject", "userlookup": "jsonobject",
    "multi_module_lookup": "jsonobject",
    "multiselectpicklist": "jsonarray", "multiselectlookup": "jsonarray", "fileupload": "jsonarray",
    "address": "jsonobject",
}  # fmt: skip

type Draw = Callable[[random.Random], Any]


class Target(NamedTuple):
    """Where a lookup points: the first `size` records of a module. `display` returns one as JSON."""

    module: str
    module_id: str
    id_base: int
    size: int
    display: Callable[[int], Any]


class Builder:
    """Collects the columns of a module. Each pool has a generator seeded by (seed, module, column)."""

    def __init__(
        self, seed: int, module: str, id_base: int, first_day: str, resolve: Callable[[str], Target]
    ) -> None:
        """The first record is created when `first_day` begins."""
        self.module = module
        self._first_day = date.fromisoformat(first_day)
        self.columns: dict[str, Column] = {}
        self._seed = seed
        self._id_base = id_base
        self._resolve = resolve
        self._primes = cycle(_PRIMES)

    def id(self) -> None:
        """Add the record id."""

        def numbers(rows: Rows) -> list[int]:
            return [row + self._id_base for row in rows]

        field = _field("id", "bigint", read_only=True, length=20)
        self._add(ComputedColumn(field, lambda rows: list(map(str, numbers(rows))), numbers))

    def pool(self, api_name: str, data_type: str, choose: Draw, blank: float = 0.0, **more: Any) -> None:
        """Add a pool of values drawn by `choose`; a share `blank` of them is None."""
        length = next(self._primes)

        def fill() -> Pool:
            rng = self._rng(api_name)
            values = [None if rng.random() < blank else choose(rng) for _ in range(length)]
            texts = [_cell_text(value) for value in values]
            keys = [_compare_key(value, data_type, text) for value, text in zip(values, texts, strict=True)]
            return Pool(rng.randrange(length), values, texts, keys)

        self._add(PoolColumn(_field(api_name, data_type, **more), fill))

    def lookup(self, api_name: str, module: str, blank: float, data_type: str, **more: Any) -> None:
        """Add a pool of references to records of another module."""
        to, length = self._resolve(module), next(self._primes)

        def fill() -> Pool:
            rng = self._rng(api_name)
            targets = [None if rng.random() < blank else rng.randrange(to.size) for _ in range(length)]
            keys = [None if t is None else to.id_base + t for t in targets]
            texts = ["" if key is None else str(key) for key in keys]
            return Pool(rng.randrange(length), texts, texts, keys, targets)

        self._add(LookupColumn(_field(api_name, data_type, lookup=module, **more), fill, to.display))

    def parent(self, api_name: str, modules: Sequence[str], **more: Any) -> None:
        """Add references to records of several modules, and $se_module, which names the module of each."""
        found, length = [self._resolve(module) for module in modules], next(self._primes)

        @cache
        def targets() -> list[tuple[Target, int]]:
            rng = self._rng(api_name)
            return [(to, rng.randrange(to.size)) for to in rng.choices(found, k=length)]

        def lookups() -> Pool:
            values = [
                {"module": {"api_name": to.module, "id": to.module_id}, **to.display(row)}
                for to, row in targets()
            ]
            keys = [to.id_base + row for to, row in targets()]
            return Pool(0, values, [str(key) for key in keys], keys)

        def names() -> Pool:
            texts = [to.module for to, _ in targets()]
            return Pool(0, texts, texts, [text.casefold() for text in texts])

        field = _field(api_name, "multi_module_lookup", modules=tuple(modules), **more)
        self._add(PoolColumn(field, lookups))
        self._add(PoolColumn(_field("$se_module", "text", system=True), names))

    def computed(
        self,
        api_name: str,
        data_type: str,
        text_of: Callable[[Rows], list[str]],
        *,
        quotes: bool,
        **more: Any,
    ) -> None:
        """Add a column that is computed from the record number; `quotes`: its cells may need quotes."""
        self._add(ComputedColumn(_field(api_name, data_type, **more), text_of, may_need_quotes=quotes))

    def times(self) -> None:
        """Add Created_Time, which grows with the record number, and Modified_Time, up to 200 days later."""
        n, first_day = next(self._primes), self._first_day

        @cache
        def delays() -> list[int]:
            rng = self._rng("Modified_Time")
            return [rng.randrange(_PER_DAY * _MODIFIED_DAYS) if rng.random() < 0.6 else 0 for _ in range(n)]

        def modified(rows: Rows) -> list[int]:
            steps = delays()
            return [row + steps[row % n] for row in rows]

        field = _field("Created_Time", "datetime", read_only=True)
        self._add(
            ComputedColumn(
                field, lambda rows: _moments(first_day, rows), lambda rows: _epochs(first_day, rows)
            )
        )
        field = _field("Modified_Time", "datetime", read_only=True)
        self._add(
            ComputedColumn(
                field,
                lambda rows: _moments(first_day, modified(rows)),
                lambda rows: _epochs(first_day, modified(rows)),
            )
        )

    def unexportable(self, api_name: str, data_type: str) -> None:
        """Add a field that Bulk Read refuses; it is always empty in JSON."""
        custom = data_type in {"fileupload", "multiselectlookup"}
        field = _field(api_name, data_type, exportable=False, custom=custom)
        self._add(PoolColumn(field, lambda: Pool(0, [None], [""], [None])))

    def _add(self, column: Column) -> None:
        self.columns[column.field.api_name] = column

    def _rng(self, api_name: str) -> random.Random:
        seed = f"{self._seed}/{self.module}/{api_name}"
        return random.Random(seed)  # noqa: S311 # nosec B311 # test data, not secrets


def _field(api_name: str, data_type: str, **more: Any) -> Field:
    return Field(api_name, data_type, **{"json_type": _JSON_TYPES.get(data_type, "string"), **more})


def first_day_before(today: date, records: int) -> date:
    """Return the first day with which `records` records are created and modified before `today`."""
    return today - timedelta(days=-(-records // _PER_DAY) + _MODIFIED_DAYS)


@cache
def _days(first_day: date) -> list[str]:
    # Enough for 57 million records.
    return [(first_day + timedelta(days=n)).strftime("%Y-%m-%dT") for n in range(20_000)]


@cache
def _times_of_day() -> list[str]:
    seconds = (n * _STEP_SECONDS for n in range(_PER_DAY))
    return [f"{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}+05:30" for s in seconds]


def _moments(first_day: date, steps: Rows) -> list[str]:
    days, times = _days(first_day), _times_of_day()
    return [days[step // _PER_DAY] + times[step % _PER_DAY] for step in steps]


def _epochs(first_day: date, steps: Rows) -> list[int]:
    first = int(datetime.combine(first_day, time(), OFFSET).timestamp())
    return [first + step * _STEP_SECONDS for step in steps]


def iso_time(seconds: float, offset: timezone = OFFSET) -> str:
    """Return a time as Zoho writes it: ISO 8601, whole seconds, with offset."""
    return datetime.fromtimestamp(int(seconds), UTC).astimezone(offset).isoformat()


def _cell_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(v["name"] if isinstance(v, dict) else str(v) for v in value)
    return str(value)


def _compare_key(value: Any, data_type: str, text: str) -> Any:
    if value is None:
        return None
    if data_type == "date":
        return date.fromisoformat(text).toordinal()
    if data_type == "datetime":
        return int(datetime.fromisoformat(text).timestamp())
    return value if isinstance(value, bool | int | float) else text.casefold()
