"""What a benchmark returns: tables and plots of plain values, and the arithmetic they share.

A benchmark is a module with `run(quick: bool) -> Report`; `benchmarks/__main__.py` lists them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

type Cell = str | int | float | None  # None: not measured, shown as a dash


@dataclass(frozen=True)
class Table:
    """Rows under `columns`, all of the same length. `note` is Markdown that is shown after the table."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


def table_of(title: str, rows: Sequence[Mapping[str, Cell]], note: str = "") -> Table:
    """Return a table of rows as mappings, with the keys of the first row as columns."""
    columns = list(rows[0])
    return Table(title, columns, [[row.get(column) for column in columns] for row in rows], note)


@dataclass(frozen=True)
class Plot:
    """An SVG named `name`.svg: bars of `series` over the labels `x`, or lines if `kind` is "line" or "log".

    series: for each name one value per label; None leaves a gap. "log" has a logarithmic y axis.
    """

    name: str
    title: str
    x: Sequence[str]
    series: Mapping[str, Sequence[float | None]]
    x_title: str = ""
    y_title: str = ""
    kind: str = "bar"


@dataclass(frozen=True)
class Report:
    """One section of docs/benchmarks.md. `text` is its Markdown introduction; `facts` are shown as a list.

    name: the heading. facts: such as how many rounds were run, or the largest ratio.
    """

    name: str
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""


def interleaved(names: Sequence[str], rounds: int) -> Iterator[str]:
    """Yield the names as A B C A B C, so that a slow minute of the machine hits all of them."""
    for _ in range(rounds):
        yield from names


def medians(samples: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each figure over several runs of one row."""
    runs = list(samples)
    return {name: median(run[name] for run in runs) for name in runs[0]}


def ratio(value: float, base: float) -> float | None:
    """Return value / base with two decimals, or None if the base is 0."""
    return round(value / base, 2) if base else None


def run_interleaved[T](names: Sequence[str], rounds: int, run: Callable[[str], T]) -> dict[str, list[T]]:
    """Run each name once per round, interleaved. Returns the outcomes of each name in order."""
    outcomes: dict[str, list[T]] = {name: [] for name in names}
    for name in interleaved(names, rounds):
        outcomes[name].append(run(name))
    return outcomes
