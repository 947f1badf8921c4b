"""Seeded records: record i of a module follows from (seed, module, i) alone, so nothing is stored."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, overload

from zoho_simulator.builder import ID_BASE, Builder, Target
from zoho_simulator.columns import BLOCK, Column, LookupColumn
from zoho_simulator.modules import DISPLAY_FIELDS, LOOKUP_TARGETS, MODULES
from zoho_simulator.pools import USERS

RECORDS_PER_MODULE_MAX = 10**9


@dataclass(frozen=True)
class Module:
    """One module: its columns by API name, in Zoho's order, id first."""

    name: str
    seed: int
    delimiter: str
    id_base: int
    columns: dict[str, Column]
    deleted: tuple[int, ...] = ()  # ascending
    revision: int = 0  # grows with every change to its records

    @property
    def id(self) -> str:
        """The module's own id, as settings/modules tells it."""
        return module_id(self.name)

    def column(self, path: str) -> Column | None:
        """The column of a field, or of `Lookup.Field` in the record looked up; None if there is none."""
        head, _, rest = path.partition(".")
        column: Column | None = self.columns.get(head)
        walked = head
        while rest and isinstance(column, LookupColumn):
            head, _, rest = rest.partition(".")
            inner = load_module(self.seed, column.field.lookup, self.delimiter).columns.get(head)
            walked = f"{walked}.{head}"
            column = column.through(walked, inner) if inner else None
        return None if rest else column

    def index_of(self, record_id: str) -> int | None:
        """The number of the record with this id, or None if it cannot be one of this module."""
        if not record_id.isdigit():
            return None
        index = int(record_id) - self.id_base
        return index if 0 <= index < RECORDS_PER_MODULE_MAX else None

    def record(self, index: int, fields: Sequence[str] | None = None) -> dict[str, Any]:
        """Record `index` as the records API shows it; `id` is always there."""
        names = [n for n, c in self.columns.items() if not c.field.system] if fields is None else fields
        record: dict[str, Any] = {"id": str(self.id_base + index)}
        for name in names:
            column = self.column(name)
            if column is not None:
                record[name] = column.value(index)
        return record

    def living(self, total: int) -> Sequence[int]:
        """The numbers of those of the first `total` records that are not deleted, ascending."""
        return Living(total, self.deleted) if self.deleted else range(total)

    def exportable(self) -> list[Column]:
        """The columns Bulk Read writes when no fields are named, id first."""
        return [c for c in self.columns.values() if c.field.exportable and not c.field.system]


class Living(Sequence[int]):
    """The numbers below `total` without the deleted ones; nothing is listed until it is asked for."""

    def __init__(self, total: int, deleted: Sequence[int]) -> None:
        gone = deleted[: bisect_left(deleted, total)]
        self._length = total - len(gone)
        self._living_before = [number - n for n, number in enumerate(gone)]

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> list[int]: ...
    def __getitem__(self, at: int | slice) -> int | list[int]:
        positions = range(self._length)[at]
        if isinstance(positions, int):
            return self._number(positions)
        return [self._number(position) for position in positions]

    def _number(self, position: int) -> int:
        return position + bisect_right(self._living_before, position)


def module_id(name: str) -> str:
    """The id of a module."""
    return str(ID_BASE + 2000 + list(MODULES).index(name))


def field_id(module: str, api_name: str) -> str:
    """The id of a field; the same in every run."""
    number = sum(ord(c) * (n + 7) for n, c in enumerate(api_name))
    return str(ID_BASE + 100_000 * (1 + list(MODULES).index(module)) + number)


@cache
def load_module(seed: int, name: str, delimiter: str = ",") -> Module:
    """The module of that name. Raises KeyError for an unknown one."""
    declare = MODULES[name]
    id_base = _id_base(name)
    builder = Builder(seed, name, id_base, delimiter)
    declare(builder, lambda to: _target(seed, to, delimiter))
    return Module(name, seed, delimiter, id_base, {c.field.api_name: c for c in builder.columns})


def blocks(rows: Sequence[int]) -> Iterator[Sequence[int]]:
    """The rows, cut into pieces that columns handle fast."""
    for start in range(0, len(rows), BLOCK):
        yield rows[start : start + BLOCK]


def _id_base(name: str) -> int:
    return ID_BASE + (1 + list(MODULES).index(name)) * RECORDS_PER_MODULE_MAX


def _target(seed: int, name: str, delimiter: str) -> Target:
    """A lookup target; its display is resolved when asked for, since modules may point at each other."""

    def display(index: int) -> dict[str, Any]:
        module = load_module(seed, name, delimiter)
        shown = module.columns[DISPLAY_FIELDS[name]].value(index)
        more = {"email": module.columns["email"].value(index)} if name == "Users" else {}
        return {"name": shown, "id": str(module.id_base + index), **more}

    size = len(USERS) if name == "Users" else LOOKUP_TARGETS
    return Target(name, _id_base(name), size, display)
