"""Columns of a module: the value of record i, one at a time (JSON) or a block at a time (CSV, criteria).

Most columns are a pool of prepared values through which the records cycle, each column with another
prime length. A block of rows is then a slice of a list, which is what makes large files cheap.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

BLOCK = 4096
_NEEDS_QUOTES = re.compile('[",\r\n]').search

type Keys = Sequence[Any]


@dataclass(frozen=True)
class Field:
    """Metadata of a column, as settings/fields tells it."""

    api_name: str
    data_type: str
    json_type: str = "string"
    length: int = 255
    lookup: str = ""
    custom: bool = False
    read_only: bool = False
    mandatory: bool = False
    exportable: bool = True
    system: bool = False  # such as $converted: selectable, yet in no listing


class Column(Protocol):
    """What both kinds of column can do; indices are ascending record numbers."""

    field: Field

    def texts(self, indices: Sequence[int]) -> Sequence[str]:
        """Plain cell texts; empty where there is no value."""

    def cells(self, indices: Sequence[int]) -> Sequence[str]:
        """Cell texts quoted as RFC 4180 asks where they need it."""

    def keys(self, indices: Sequence[int]) -> Keys:
        """Values to compare: numbers, epoch seconds, casefolded text, booleans, None."""

    def flags(self, test: Callable[[Any], bool]) -> Callable[[Sequence[int]], Sequence[bool]]:
        """A function that says for each index whether its key passes the test."""

    def value(self, index: int) -> Any:
        """The JSON value."""


def quote(text: str) -> str:
    """A CSV cell, quoted only if it must be."""
    if _NEEDS_QUOTES(text):
        return '"' + text.replace('"', '""') + '"'
    return text


@dataclass
class PoolColumn:
    """Record i has entry (i + offset) of the pool, cyclically."""

    field: Field
    offset: int
    values: Sequence[Any]
    plain: Sequence[str]
    compare: Sequence[Any]

    @cached_property
    def _cells(self) -> list[str]:
        return _tiled([quote(text) for text in self.plain])

    @cached_property
    def _texts(self) -> list[str]:
        return _tiled(self.plain)

    @cached_property
    def _keys(self) -> list[Any]:
        return _tiled(self.compare)

    def texts(self, indices: Sequence[int]) -> Sequence[str]:
        """See Column."""
        return self._pick(self._texts, indices)

    def cells(self, indices: Sequence[int]) -> Sequence[str]:
        """See Column."""
        return self._pick(self._cells, indices)

    def keys(self, indices: Sequence[int]) -> Keys:
        """See Column."""
        return self._pick(self._keys, indices)

    def flags(self, test: Callable[[Any], bool]) -> Callable[[Sequence[int]], Sequence[bool]]:
        """See Column."""
        # The test runs once per pool entry, not once per record.
        tiled = _tiled([test(key) for key in self.compare])
        return lambda indices: self._pick(tiled, indices)

    def value(self, index: int) -> Any:
        """See Column."""
        return self.values[(index + self.offset) % len(self.values)]

    def _pick[T](self, tiled: list[T], indices: Sequence[int]) -> list[T]:
        n, offset = len(self.plain), self.offset
        if isinstance(indices, range) and indices.step == 1 and len(indices) <= BLOCK:
            start = (indices.start + offset) % n
            return tiled[start : start + len(indices)]
        return [tiled[(i + offset) % n] for i in indices]


def _tiled[T](pool: Sequence[T]) -> list[T]:
    """The pool, repeated so that any block is one slice."""
    return list(pool) * (1 + -(-BLOCK // len(pool)))


@dataclass
class LookupColumn(PoolColumn):
    """A pool whose entries are records of another module; `targets` holds their numbers, or None."""

    targets: Sequence[int | None] = ()
    display: Callable[[int], Any] = str

    def value(self, index: int) -> Any:
        """The {name, id} object of Zoho's JSON, or None."""
        target = self.targets[(index + self.offset) % len(self.targets)]
        return None if target is None else self.display(target)

    def through(self, api_name: str, inner: Column) -> PoolColumn:
        """The column `Lookup.Field`: a field of the record that is looked up."""
        values = [None if t is None else inner.value(t) for t in self.targets]
        plain = ["" if t is None else inner.texts((t,))[0] for t in self.targets]
        compare = [None if t is None else inner.keys((t,))[0] for t in self.targets]
        field = replace(inner.field, api_name=api_name)
        if not isinstance(inner, LookupColumn):
            return PoolColumn(field, self.offset, values, plain, compare)
        # A lookup through a lookup can be followed further.
        n, off = len(inner.targets), inner.offset
        onward = [None if t is None else inner.targets[(t + off) % n] for t in self.targets]
        return LookupColumn(field, self.offset, values, plain, compare, onward, inner.display)


@dataclass
class ComputedColumn:
    """A column worked out from the record number, for values no two records share."""

    field: Field
    text_of: Callable[[Sequence[int]], list[str]]
    key_of: Callable[[Sequence[int]], Keys] | None = None
    value_of: Callable[[int], Any] | None = None
    may_need_quotes: bool = False

    def texts(self, indices: Sequence[int]) -> Sequence[str]:
        """See Column."""
        return self.text_of(indices)

    def cells(self, indices: Sequence[int]) -> Sequence[str]:
        """See Column."""
        texts = self.text_of(indices)
        return [quote(text) for text in texts] if self.may_need_quotes else texts

    def keys(self, indices: Sequence[int]) -> Keys:
        """See Column."""
        if self.key_of:
            return self.key_of(indices)
        return [text.casefold() or None for text in self.text_of(indices)]

    def flags(self, test: Callable[[Any], bool]) -> Callable[[Sequence[int]], Sequence[bool]]:
        """See Column."""
        return lambda indices: [test(key) for key in self.keys(indices)]

    def value(self, index: int) -> Any:
        """See Column."""
        if self.value_of:
            return self.value_of(index)
        return self.text_of((index,))[0] or None
