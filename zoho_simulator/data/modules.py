"""Seeded records: record i depends on (seed, first day, module, i) alone, so nothing is stored."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

from zoho_simulator.data.builder import ID_BASE, Builder, Target
from zoho_simulator.data.catalog import DISPLAY_FIELDS, LOOKUP_TARGETS, MODULES, build
from zoho_simulator.data.columns import BLOCK, Column, LookupColumn, Rows
from zoho_simulator.data.pools import USERS

_RECORDS_MAX = 10**9  # of one module: the distance between the first ids of two modules


@dataclass(frozen=True)
class Module:
    """One module: its columns by API name, in Zoho's order, id first."""

    name: str
    seed: int
    first_day: str
    id_base: int
    columns: dict[str, Column]
    deleted: tuple[int, ...] = ()  # ascending
    converted: frozenset[int] = frozenset()  # of leads
    revision: int = 0  # another one after every change to its records

    @property
    def id(self) -> str:
        """The module's own id."""
        return module_id(self.name)

    def column(self, path: str) -> Column | None:
        """Return the column of a field or of a dotted `Lookup.Field`, or None if there is no such field."""
        head, _, rest = path.partition(".")
        column = self.columns.get(head)
        walked = head
        while rest and isinstance(column, LookupColumn):
            head, _, rest = rest.partition(".")
            inner = load_module(self.seed, column.field.lookup, self.first_day).columns.get(head)
            walked = f"{walked}.{head}"
            column = column.through(walked, inner) if inner else None
        return None if rest else column

    def index_of(self, record_id: str) -> int | None:
        """Return the number of the record with this id, or None if the id is not one of this module's."""
        if not record_id.isdigit():
            return None
        index = int(record_id) - self.id_base
        return index if 0 <= index < _RECORDS_MAX else None

    def record(self, index: int, fields: Sequence[str] | None = None) -> dict[str, Any]:
        """Return a record as the records API shows it: all fields or the named ones, and always `id`."""
        names = [n for n, c in self.columns.items() if not c.field.system] if fields is None else fields
        record: dict[str, Any] = {"id": str(self.id_base + index)}
        for name in names:
            column = self.column(name)
            if column is not None:
                record[name] = column.value(index)
        return record

    def living(self, total: int) -> Rows:
        """Return the numbers of those of the first `total` records that are not deleted, ascending."""
        return _without(total, self.deleted) if self.deleted else range(total)

    def listed(self, total: int, converted: str) -> "Module":
        """Return the module as a list shows it: `converted` false (Zoho's default), true or both."""
        if converted == "both" or (converted == "false" and not self.converted):
            return self
        hidden = self.converted if converted == "false" else set(range(total)) - self.converted
        revision = hash((self.revision, converted))
        return replace(self, deleted=tuple(sorted(hidden.union(self.deleted))), revision=revision)

    def exportable(self) -> list[Column]:
        """Return the columns that Bulk Read writes if a query names no fields."""
        return [c for c in self.columns.values() if c.field.exportable and not c.field.system]


@lru_cache(maxsize=8)
def _without(total: int, deleted: tuple[int, ...]) -> Rows:
    gone = set(deleted)
    return array("q", (row for row in range(total) if row not in gone))


def module_id(name: str) -> str:
    """Return the id of a module."""
    return str(ID_BASE + 2000 + MODULES.index(name))


def field_id(module: str, api_name: str) -> str:
    """Return the id of a field; it is the same in every run."""
    number = sum(ord(c) * (n + 7) for n, c in enumerate(api_name))
    return str(ID_BASE + 100_000 * (1 + MODULES.index(module)) + number)


def current_user() -> dict[str, str]:
    """Return the user of the tokens, as the APIs show users."""
    return {"id": str(ID_BASE + 1_000_000_000), "name": " ".join(USERS[0])}


@cache
def load_module(seed: int, name: str, first_day: str = "2015-01-01") -> Module:
    """Return the module of that name. Raises KeyError for an unknown one."""
    id_base = _id_base(name)
    builder = Builder(seed, name, id_base, first_day, lambda to: _target(seed, to, first_day))
    build(builder)
    return Module(name, seed, first_day, id_base, builder.columns)


def blocks(rows: Rows) -> Iterator[Rows]:
    """Yield the rows in pieces that columns handle fast."""
    for start in range(0, len(rows), BLOCK):
        yield rows[start : start + BLOCK]


def _id_base(name: str) -> int:
    return ID_BASE + (1 + MODULES.index(name)) * _RECORDS_MAX


def _target(seed: int, name: str, first_day: str) -> Target:
    def display(index: int) -> dict[str, Any]:
        module = load_module(
            seed, name, first_day
        )  # loaded only here, because modules may point at each other
        shown = module.columns[DISPLAY_FIELDS[name]].value(index)
        more = {"email": module.columns["email"].value(index)} if name == "Users" else {}
        return {"name": shown, "id": str(module.id_base + index), **more}

    size = len(USERS) if name == "Users" else LOOKUP_TARGETS
    return Target(name, module_id(name), _id_base(name), size, display)
