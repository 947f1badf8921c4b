"""Columns of a module: the value of one record (JSON) or of a block of records (CSV, criteria).

Most columns are a pool of prepared values through which the records cycle. Each column has another prime
length, and a block of rows is a slice of a list: that makes large files cheap.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

BLOCK = 4096
_NEEDS_QUOTES = re.compile('[",\r\n]').search

type Rows = Sequence[int]


@dataclass(frozen=True)
class Field:
    """Metadata of a column, as settings/fields lists it."""

    api_name: str
    data_type: str
    json_type: str = "string"
    length: int = 255
    lookup: str = ""
    modules: tuple[str, ...] = ()  # of a lookup whose records belong to several modules
    custom: bool = False
    read_only: bool = False
    mandatory: bool = False
    exportable: bool = True
    return_type: str = ""  # of a formula
    system: bool = False  # such as $converted: can be selected, but is not listed


@dataclass(eq=False)
class Column(ABC):
    """The values of one field. Rows are record numbers in ascending order."""

    field: Field

    @abstractmethod
    def texts(self, rows: Rows) -> Sequence[str]:
        """Return the cells without quotes; an empty string where there is no value."""

    @abstractmethod
    def keys(self, rows: Rows) -> Sequence[Any]:
        """Return comparable values: numbers, epoch seconds, casefolded strings, booleans, None."""

    @abstractmethod
    def value(self, row: int) -> Any:
        """Return the JSON value of one record."""

    def cells(self, rows: Rows) -> Sequence[str]:
        """Return the cells, quoted as RFC 4180 says where necessary."""
        return [quote(text) for text in self.texts(rows)]

    def flags(self, test: Callable[[Any], bool]) -> Callable[[Rows], Sequence[bool]]:
        """Return a function that applies a test to the key of each row."""
        return lambda rows: [test(key) for key in self.keys(rows)]


def quote(text: str) -> str:
    """Return a CSV cell, with quotes only if they are necessary."""
    if _NEEDS_QUOTES(text):
        return '"' + text.replace('"', '""') + '"'
    return text


class Pool(NamedTuple):
    """The entries of a pool: record i has entry (i + offset), cyclically. `targets` belong to lookups."""

    offset: int
    values: Sequence[Any]
    texts: Sequence[str]
    keys: Sequence[Any]
    targets: Sequence[int | None] = ()


@dataclass(eq=False)
class PoolColumn(Column):
    """A column over a pool, which is filled at the first use."""

    fill: Callable[[], Pool]

    @cached_property
    def pool(self) -> Pool:
        """The entries."""
        return self.fill()

    @cached_property
    def _tiles(self) -> tuple[list[str], list[str], list[Any]]:
        texts = self.pool.texts
        return _tiled(texts), _tiled([quote(text) for text in texts]), _tiled(self.pool.keys)

    def texts(self, rows: Rows) -> Sequence[str]:
        return self._pick(self._tiles[0], rows)

    def cells(self, rows: Rows) -> Sequence[str]:
        return self._pick(self._tiles[1], rows)

    def keys(self, rows: Rows) -> Sequence[Any]:
        return self._pick(self._tiles[2], rows)

    def flags(self, test: Callable[[Any], bool]) -> Callable[[Rows], Sequence[bool]]:
        # The test runs once per entry of the pool, not once per record.
        tiled = _tiled([test(key) for key in self.pool.keys])
        return lambda rows: self._pick(tiled, rows)

    def value(self, row: int) -> Any:
        values = self.pool.values
        return values[(row + self.pool.offset) % len(values)]

    def _pick[T](self, tiled: list[T], rows: Rows) -> list[T]:
        offset, n = self.pool.offset, len(self.pool.texts)
        if isinstance(rows, range) and rows.step == 1 and len(rows) <= BLOCK:
            start = (rows.start + offset) % n
            return tiled[start : start + len(rows)]
        return [tiled[(row + offset) % n] for row in rows]


def _tiled[T](pool: Sequence[T]) -> list[T]:
    """Return the pool, repeated so that any block is one slice."""
    return list(pool) * (1 + -(-BLOCK // len(pool)))


@dataclass(eq=False)
class LookupColumn(PoolColumn):
    """A pool of records of another module. `display` returns the JSON object of one of them."""

    display: Callable[[int], Any]

    def value(self, row: int) -> Any:
        targets = self.pool.targets
        target = targets[(row + self.pool.offset) % len(targets)]
        return None if target is None else self.display(target)

    def through(self, api_name: str, inner: Column) -> PoolColumn:
        """Return the column `Lookup.Field`: a field of the record that is looked up."""
        field = replace(inner.field, api_name=api_name)
        if isinstance(inner, LookupColumn):  # a lookup through a lookup can be followed further
            return LookupColumn(field, lambda: self._joined(inner, inner.pool), inner.display)
        return PoolColumn(field, lambda: self._joined(inner, None))

    def _joined(self, inner: Column, onward: Pool | None) -> Pool:
        def through[T](value: Callable[[int], T], blank: T) -> list[T]:
            return [blank if target is None else value(target) for target in self.pool.targets]

        def onward_target(target: int) -> int | None:
            return onward.targets[(target + onward.offset) % len(onward.targets)] if onward else None

        return Pool(
            self.pool.offset,
            through(inner.value, None),
            through(lambda target: inner.texts((target,))[0], ""),
            through(lambda target: inner.keys((target,))[0], None),
            through(onward_target, None),
        )


@dataclass(eq=False)
class ComputedColumn(Column):
    """A column computed from the record number, for values that differ between any two records."""

    text_of: Callable[[Rows], list[str]]
    key_of: Callable[[Rows], Sequence[Any]] | None = None
    may_need_quotes: bool = False

    def texts(self, rows: Rows) -> Sequence[str]:
        return self.text_of(rows)

    def cells(self, rows: Rows) -> Sequence[str]:
        return super().cells(rows) if self.may_need_quotes else self.text_of(rows)

    def keys(self, rows: Rows) -> Sequence[Any]:
        if self.key_of:
            return self.key_of(rows)
        return [text.casefold() or None for text in self.text_of(rows)]

    def value(self, row: int) -> Any:
        return self.text_of((row,))[0] or None
