"""Columns whose values differ from the seeded ones: changed times, conversions, formulas and offsets."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from zoho_simulator.data.builder import OFFSET, iso_time
from zoho_simulator.data.columns import Column, Rows


class Offsets:
    """The offsets that times carry. changes: minutes east of UTC, by the moment from which they are used."""

    def __init__(self, changes: Mapping[str, float]) -> None:
        known = {datetime.fromisoformat(since).timestamp(): value for since, value in changes.items()}
        self._since = sorted(known)
        self._offsets = [OFFSET, *(timezone(timedelta(minutes=known[since])) for since in self._since)]

    def at(self, moment: float) -> timezone:
        """Return the offset at a moment; India's before the first change."""
        return self._offsets[bisect_right(self._since, moment)]


@dataclass(eq=False)
class ChangedTimes(Column):
    """A datetime column in which some records have another time, or none."""

    inner: Column
    moments: Mapping[int, int | None]

    def texts(self, rows: Rows) -> Sequence[str]:
        return self._replaced(self.inner.texts(rows), rows, iso_time, "")

    def keys(self, rows: Rows) -> Sequence[Any]:
        return self._replaced(self.inner.keys(rows), rows, int, None)

    def value(self, row: int) -> Any:
        return self.texts((row,))[0] or None

    def _replaced(
        self, values: Sequence[Any], rows: Rows, shown: Callable[[int], Any], empty: Any
    ) -> list[Any]:
        moments = self.moments

        def of(row: int) -> Any:
            moment = moments[row]
            return empty if moment is None else shown(moment)

        return [of(row) if row in moments else value for row, value in zip(rows, values, strict=True)]


@dataclass(eq=False)
class Converted(Column):
    """The column $converted of leads."""

    converted: frozenset[int]

    def texts(self, rows: Rows) -> Sequence[str]:
        return ["true" if row in self.converted else "false" for row in rows]

    def keys(self, rows: Rows) -> Sequence[Any]:
        return [row in self.converted for row in rows]

    def value(self, row: int) -> Any:
        return row in self.converted


@dataclass(eq=False)
class Drifted(Column):
    """A formula whose value has changed for some records, so many times."""

    inner: Column
    times: Mapping[int, int]

    def texts(self, rows: Rows) -> Sequence[str]:
        return [
            str(self.value(row)) if row in self.times else text
            for row, text in zip(rows, self.inner.texts(rows), strict=True)
        ]

    def keys(self, rows: Rows) -> Sequence[Any]:
        return [
            self.value(row) if row in self.times else key
            for row, key in zip(rows, self.inner.keys(rows), strict=True)
        ]

    def value(self, row: int) -> Any:
        value = self.inner.value(row)
        return round((value or 0.0) + self.times[row], 2) if row in self.times else value


@dataclass(eq=False)
class Zoned(Column):
    """A datetime column whose cells are written by `shown`."""

    inner: Column
    shown: Callable[[float], str]

    def texts(self, rows: Rows) -> Sequence[str]:
        return ["" if moment is None else self.shown(moment) for moment in self.inner.keys(rows)]

    def keys(self, rows: Rows) -> Sequence[Any]:
        return self.inner.keys(rows)

    def value(self, row: int) -> Any:
        return self.texts((row,))[0] or None
