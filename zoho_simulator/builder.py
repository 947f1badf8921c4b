"""Builds the columns of one module from a seed; used by modules.py, where the modules are declared."""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from itertools import cycle
from typing import Any

from zoho_simulator.columns import Column, ComputedColumn, Field, LookupColumn, PoolColumn

ID_BASE = 3_652_397 * 10**12
OFFSET = timezone(timedelta(hours=5, minutes=30))
FIRST_MOMENT = datetime(2015, 1, 1, tzinfo=OFFSET)
STEP_SECONDS = 30  # one new record every half minute: ten million records end in 2024
_PER_DAY = 86_400 // STEP_SECONDS
_PRIMES = (
    997,
    1009,
    1013,
    1019,
    1021,
    1031,
    1033,
    1039,
    1049,
    1051,
    1061,
    1063,
    1069,
    1087,
    1091,
    1093,
    1097,
    1103,
)
_JSON_TYPES = {
    "integer": "integer", "bigint": "string", "double": "double", "currency": "double", "percent": "double",
    "boolean": "boolean", "lookup": "jsonobject", "ownerlookup": "jsonobject", "userlookup": "jsonobject",
    "multiselectpicklist": "jsonarray", "multiselectlookup": "jsonarray", "fileupload": "jsonarray",
    "address": "jsonobject",
}  # fmt: skip


@cache
def _days() -> list[str]:
    # Enough for 57 million records; after that the last day is never left.
    return [(FIRST_MOMENT + timedelta(days=n)).strftime("%Y-%m-%dT") for n in range(20_000)]


@cache
def _slots() -> list[str]:
    seconds = (n * STEP_SECONDS for n in range(_PER_DAY))
    return [f"{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}+05:30" for s in seconds]


def moments(slots: Sequence[int]) -> list[str]:
    """ISO 8601 texts of moments given in steps since FIRST_MOMENT."""
    days, times = _days(), _slots()
    return [days[s // _PER_DAY] + times[s % _PER_DAY] for s in slots]


def epochs(slots: Sequence[int]) -> list[int]:
    """The same moments as seconds since 1970."""
    first = int(FIRST_MOMENT.timestamp())
    return [first + s * STEP_SECONDS for s in slots]


def iso_time(seconds: float) -> str:
    """A moment as Zoho writes it: ISO 8601, whole seconds, with offset."""
    return datetime.fromtimestamp(int(seconds), UTC).astimezone(OFFSET).isoformat()


def field_of(api_name: str, data_type: str, **more: Any) -> Field:
    """Field metadata with the JSON type that goes with the data type."""
    return Field(api_name, data_type, **{"json_type": _JSON_TYPES.get(data_type, "string"), **more})


class Builder:
    """Collects columns; every pool is drawn from a generator seeded by (seed, module, column)."""

    def __init__(self, seed: int, module: str, id_base: int, delimiter: str = ",") -> None:
        self.columns: list[Column] = []
        self._where = f"{seed}/{module}"
        self._id_base = id_base
        self._delimiter = delimiter
        self._primes = cycle(_PRIMES)

    def id(self) -> None:
        """The record id."""
        base = self._id_base
        field = field_of("id", "bigint", read_only=True, length=20)
        self.columns.append(
            ComputedColumn(
                field,
                lambda idx: (
                    list(map(str, range(idx[0] + base, idx[-1] + base + 1)))
                    if isinstance(idx, range) and idx and idx.step == 1
                    else [str(i + base) for i in idx]
                ),
                lambda idx: [i + base for i in idx],
            )
        )

    def pool(
        self,
        api_name: str,
        data_type: str,
        choose: Callable[[random.Random], Any],
        blank: float = 0.0,
        **more: Any,
    ) -> PoolColumn:
        """A pool of values drawn by `choose`; the share `blank` of them is None."""
        rng, length = self._rng(api_name), next(self._primes)
        values = [None if rng.random() < blank else choose(rng) for _ in range(length)]
        field = field_of(api_name, data_type, **more)
        texts = [cell_text(value, self._delimiter) for value in values]
        keys = [compare_key(value, data_type, text) for value, text in zip(values, texts, strict=True)]
        column = PoolColumn(field, rng.randrange(length), values, texts, keys)
        self.columns.append(column)
        return column

    def lookup(
        self, api_name: str, to: "Target", blank: float = 0.0, data_type: str = "lookup", **more: Any
    ) -> LookupColumn:
        """A pool of references to records of another module."""
        rng, length = self._rng(api_name), next(self._primes)
        targets = [None if rng.random() < blank else rng.randrange(to.size) for _ in range(length)]
        texts = ["" if t is None else str(to.id_base + t) for t in targets]
        keys = [None if t is None else to.id_base + t for t in targets]
        field = field_of(api_name, data_type, lookup=to.module, **more)
        column = LookupColumn(field, rng.randrange(length), texts, texts, keys, targets, to.display)
        self.columns.append(column)
        return column

    def computed(
        self, api_name: str, data_type: str, text_of: Callable[[Sequence[int]], list[str]], **more: Any
    ) -> None:
        """A column worked out block by block."""
        quotes = bool(more.pop("may_need_quotes", False))
        self.columns.append(
            ComputedColumn(field_of(api_name, data_type, **more), text_of, may_need_quotes=quotes)
        )

    def times(self) -> None:
        """Created_Time grows with the record number; Modified_Time is up to 200 days later."""
        rng = self._rng("Modified_Time")
        n = next(self._primes)
        later = [rng.randrange(_PER_DAY * 200) if rng.random() < 0.6 else 0 for _ in range(n)]

        def modified(idx: Sequence[int]) -> list[int]:
            return [i + later[i % n] for i in idx]

        created_field = field_of("Created_Time", "datetime", read_only=True)
        modified_field = field_of("Modified_Time", "datetime", read_only=True)
        self.columns.append(ComputedColumn(created_field, moments, epochs))
        self.columns.append(
            ComputedColumn(
                modified_field, lambda idx: moments(modified(idx)), lambda idx: epochs(modified(idx))
            )
        )

    def unexportable(self, api_name: str, data_type: str) -> None:
        """A field that settings/fields lists although Bulk Read refuses it; always empty in JSON."""
        field = field_of(
            api_name, data_type, exportable=False, custom=data_type in {"fileupload", "multiselectlookup"}
        )
        self.columns.append(PoolColumn(field, 0, [None], [""], [None]))

    def _rng(self, api_name: str) -> random.Random:
        return random.Random(f"{self._where}/{api_name}")  # noqa: S311 # nosec B311 # test data, not secrets


class Target:
    """Where a lookup points: a module's first `size` records."""

    def __init__(self, module: str, id_base: int, size: int, display: Callable[[int], Any]) -> None:
        self.module = module
        self.id_base = id_base
        self.size = size
        self.display = display


def cell_text(value: Any, delimiter: str) -> str:
    """A JSON value as Bulk Read writes it into a cell, before quoting."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return delimiter.join(v["name"] if isinstance(v, dict) else str(v) for v in value)
    return str(value)


def compare_key(value: Any, data_type: str, text: str) -> Any:
    """What criteria compare: numbers, dates as ordinals, moments as epoch seconds, casefolded text."""
    if value is None:
        return None
    if data_type == "date":
        return date.fromisoformat(text).toordinal()
    if data_type == "datetime":
        return int(datetime.fromisoformat(text).timestamp())
    if isinstance(value, bool | int | float):
        return value
    return text.casefold()
