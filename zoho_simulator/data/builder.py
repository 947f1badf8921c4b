"""Builds the columns of one module from a seed, for the declarations in catalog.py."""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from itertools import cycle
from typing import Any, NamedTuple

from zoho_simulator.data import pools
from zoho_simulator.data.columns import Column, ComputedColumn, Field, LookupColumn, Pool, PoolColumn, Rows

ID_BASE = 3_652_397 * 10**12
OFFSET = timezone(timedelta(hours=5, minutes=30))
_FIRST_MOMENT = datetime(2015, 1, 1, tzinfo=OFFSET)
_STEP_SECONDS = 30  # one new record every half minute: ten million records end in 2024
_PER_DAY = 86_400 // _STEP_SECONDS
_PRIMES = (
    997, 1009, 1013, 1019, 1021, 1031, 1033, 1039, 1049, 1051, 1061, 1063, 1069, 1087, 1091, 1093, 1097, 1103,
)  # fmt: skip
_JSON_TYPES = {
    "integer": "integer", "bigint": "string", "double": "double", "currency": "double", "percent": "double",
    "boolean": "boolean", "lookup": "jsonobject", "ownerlookup": "jsonobject", "userlookup": "jsonobject",
    "multiselectpicklist": "jsonarray", "multiselectlookup": "jsonarray", "fileupload": "jsonarray",
    "address": "jsonobject",
}  # fmt: skip

type Draw = Callable[[random.Random], Any]


class Target(NamedTuple):
    """Where a lookup points: the first `size` records of a module. `display` returns one as JSON."""

    module: str
    id_base: int
    size: int
    display: Callable[[int], Any]


class Builder:
    """Collects the columns of a module. Each pool has a generator seeded by (seed, module, column)."""

    def __init__(
        self, seed: int, module: str, id_base: int, delimiter: str, resolve: Callable[[str], Target]
    ) -> None:
        self.columns: list[Column] = []
        self._where = f"{seed}/{module}"
        self._id_base = id_base
        self._delimiter = delimiter
        self._resolve = resolve
        self._primes = cycle(_PRIMES)

    def id(self) -> None:
        """Add the record id."""
        base = self._id_base

        def numbers(rows: Rows) -> Sequence[int]:
            if isinstance(rows, range):
                return range(rows.start + base, rows.stop + base, rows.step)
            return [row + base for row in rows]

        field = field_of("id", "bigint", read_only=True, length=20)
        self.columns.append(ComputedColumn(field, lambda rows: list(map(str, numbers(rows))), numbers))

    def pool(
        self, api_name: str, data_type: str, choose: Draw, blank: float = 0.0, **more: Any
    ) -> PoolColumn:
        """Add a pool of values drawn by `choose`; a share `blank` of them is None."""
        length, delimiter = next(self._primes), self._delimiter

        def fill() -> Pool:
            rng = self._rng(api_name)
            values = [None if rng.random() < blank else choose(rng) for _ in range(length)]
            texts = [cell_text(value, delimiter) for value in values]
            keys = [compare_key(value, data_type, text) for value, text in zip(values, texts, strict=True)]
            return Pool(rng.randrange(length), values, texts, keys)

        column = PoolColumn(field_of(api_name, data_type, **more), fill)
        self.columns.append(column)
        return column

    def lookup(
        self, api_name: str, module: str, blank: float = 0.0, data_type: str = "lookup", **more: Any
    ) -> None:
        """Add a pool of references to records of another module."""
        to, length = self._resolve(module), next(self._primes)

        def fill() -> Pool:
            rng = self._rng(api_name)
            targets = [None if rng.random() < blank else rng.randrange(to.size) for _ in range(length)]
            keys = [None if t is None else to.id_base + t for t in targets]
            texts = ["" if key is None else str(key) for key in keys]
            return Pool(rng.randrange(length), texts, texts, keys, targets)

        field = field_of(api_name, data_type, lookup=module, **more)
        self.columns.append(LookupColumn(field, fill, to.display))

    def computed(
        self,
        api_name: str,
        data_type: str,
        text_of: Callable[[Rows], list[str]],
        *,
        may_need_quotes: bool = False,
        **more: Any,
    ) -> None:
        """Add a column that is computed from the record number."""
        field = field_of(api_name, data_type, **more)
        self.columns.append(ComputedColumn(field, text_of, may_need_quotes=may_need_quotes))

    def times(self) -> None:
        """Add Created_Time, which grows with the record number, and Modified_Time, up to 200 days later."""
        n = next(self._primes)

        @cache
        def later() -> list[int]:
            rng = self._rng("Modified_Time")
            return [rng.randrange(_PER_DAY * 200) if rng.random() < 0.6 else 0 for _ in range(n)]

        def modified(rows: Rows) -> list[int]:
            steps = later()
            return [row + steps[row % n] for row in rows]

        created, changed = (
            field_of(name, "datetime", read_only=True) for name in ("Created_Time", "Modified_Time")
        )
        self.columns.append(ComputedColumn(created, _moments, _epochs))
        self.columns.append(
            ComputedColumn(
                changed, lambda rows: _moments(modified(rows)), lambda rows: _epochs(modified(rows))
            )
        )

    def unexportable(self, **data_types: str) -> None:
        """Add fields that settings/fields lists although Bulk Read refuses them; always empty in JSON."""
        for api_name, data_type in data_types.items():
            custom = data_type in {"fileupload", "multiselectlookup"}
            field = field_of(api_name, data_type, exportable=False, custom=custom)
            self.columns.append(PoolColumn(field, lambda: Pool(0, [None], [""], [None])))

    def _rng(self, api_name: str) -> random.Random:
        return random.Random(f"{self._where}/{api_name}")  # noqa: S311 # nosec B311 # test data, not secrets


def field_of(api_name: str, data_type: str, **more: Any) -> Field:
    """Return field metadata with the JSON type that Zoho uses for the data type."""
    return Field(api_name, data_type, **{"json_type": _JSON_TYPES.get(data_type, "string"), **more})


@cache
def _days() -> list[str]:
    # Enough for 57 million records.
    return [(_FIRST_MOMENT + timedelta(days=n)).strftime("%Y-%m-%dT") for n in range(20_000)]


@cache
def _times_of_day() -> list[str]:
    seconds = (n * _STEP_SECONDS for n in range(_PER_DAY))
    return [f"{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}+05:30" for s in seconds]


def _moments(steps: Rows) -> list[str]:
    days, times = _days(), _times_of_day()
    return [days[step // _PER_DAY] + times[step % _PER_DAY] for step in steps]


def _epochs(steps: Rows) -> list[int]:
    first = int(_FIRST_MOMENT.timestamp())
    return [first + step * _STEP_SECONDS for step in steps]


def iso_time(seconds: float) -> str:
    """Return a moment as Zoho writes it: ISO 8601, whole seconds, with offset."""
    return datetime.fromtimestamp(int(seconds), UTC).astimezone(OFFSET).isoformat()


def cell_text(value: Any, delimiter: str) -> str:
    """Return a JSON value as Bulk Read writes it into a cell, before quoting."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return delimiter.join(v["name"] if isinstance(v, dict) else str(v) for v in value)
    return str(value)


def compare_key(value: Any, data_type: str, text: str) -> Any:
    """Return what criteria compare: a number, a day's ordinal, epoch seconds or a casefolded string."""
    if value is None:
        return None
    if data_type == "date":
        return date.fromisoformat(text).toordinal()
    if data_type == "datetime":
        return int(datetime.fromisoformat(text).timestamp())
    if isinstance(value, bool | int | float):
        return value
    return text.casefold()


def one_of(values: Sequence[Any]) -> Draw:
    """Return a function that draws one of the values."""
    return lambda rng: rng.choice(values)


def some_of(values: Sequence[Any]) -> Draw:
    """Return a function that draws one to three of the values."""
    return lambda rng: rng.sample(values, rng.randint(1, 3))


def tags(rng: random.Random) -> list[dict[str, str]]:
    """Draw tags in the shape of the records API."""
    chosen = rng.sample(range(len(pools.TAGS)), rng.randint(1, 2))
    return [
        {"name": pools.TAGS[n], "id": str(ID_BASE + 9_000_000 + n), "color_code": "#1DB9B4"} for n in chosen
    ]


def text(rng: random.Random) -> str:
    """Draw one to five phrases, joined by spaces, commas and line breaks."""
    phrases = rng.sample(pools.PHRASES, rng.randint(1, 5))
    return "".join(p + rng.choice(pools.JOINTS) for p in phrases).rstrip()


def phone(rng: random.Random) -> str:
    """Draw a telephone number."""
    return f"+{rng.randint(1, 99)} {rng.randint(100, 999)} {rng.randint(1_000_000, 9_999_999)}"


def day(rng: random.Random) -> str:
    """Draw a date."""
    return str(date(2018, 1, 1) + timedelta(days=rng.randrange(3000)))


def moment(rng: random.Random) -> str:
    """Draw a date and time with offset."""
    return f"{day(rng)}T{rng.randrange(24):02d}:{rng.choice(('00', '15', '30', '45'))}:00+05:30"


def money(rng: random.Random) -> float:
    """Draw an amount with cents."""
    return round(rng.uniform(100, 2_000_000), 2)


def company(rng: random.Random) -> str:
    """Draw the name of a company."""
    return rng.choice(pools.COMPANIES) + rng.choice(pools.COMPANY_TAILS)
