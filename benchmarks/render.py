"""Writes reports: as tables to the terminal, as Markdown with SVG plots to docs/."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks.report import Cell, Plot, Report, Table

_WIDTH = 80
_SCRIPT = re.compile(rb"<script.*?</script>", re.DOTALL)
_CHARTS = {"bar": "Bar", "hbar": "HorizontalBar", "line": "Line", "log": "Line"}  # classes of pygal
_COLOURS = ("#d33682", "#6c71c4", "#2aa198", "#859900", "#b58900", "#cb4b16", "#268bd2", "#93a1a1", "#586e75")


def print_report(report: Report, console: Console | None = None) -> None:
    """Print tables and facts, 80 columns wide."""
    console = console or Console(width=_WIDTH, highlight=False)
    console.rule(report.name)
    for table in report.tables:
        console.print(_rich(table))
    for name, value in report.facts.items():
        console.print(f"[bold]{name}:[/bold] {value}")


def _rich(table: Table) -> RichTable:
    shown = RichTable(title=table.title, caption=table.note or None, title_justify="left")
    for number, column in enumerate(table.columns):
        shown.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*map(text_of, row))
    return shown


def text_of(cell: Cell) -> str:
    """Return a cell as text: thousands with separators, small numbers with enough digits, a dash for None."""
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int):
        return f"{cell:,}"
    if cell and abs(cell) < 0.1:
        return f"{cell:.2g}" if abs(cell) >= 0.0001 else f"{cell:.1e}"
    return f"{cell:,.2f}" if abs(cell) < 100 else f"{cell:,.0f}"


def markdown(report: Report, plots_folder: str) -> str:
    """Return a report as a section of a Markdown page that shows its plots from this folder."""
    parts = [f"## {report.name}", report.text.strip(), _facts(report.facts)]
    parts += [_markdown_table(table) for table in report.tables]
    parts += [f"![{plot.title}]({plots_folder}/{plot.name}.svg)" for plot in report.plots]
    return "\n\n".join(part for part in parts if part).replace("$", "\\$") + "\n"  # $…$ would be a formula


def _facts(facts: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: **{value}**" for name, value in facts.items())


def _markdown_table(table: Table) -> str:
    lines = [
        f"### {table.title}\n",
        "| " + " | ".join(table.columns) + " |",
        "|---|" + "---:|" * (len(table.columns) - 1),
        *("| " + " | ".join(text_of(cell).replace("|", "\\|") for cell in row) + " |" for row in table.rows),
    ]
    return "\n".join(lines) + (f"\n\n{table.note}" if table.note else "")


def svg(plot: Plot) -> bytes:
    """Return a plot as SVG that loads nothing from elsewhere and runs nothing."""
    import pygal  # noqa: PLC0415 (only the group "bench" has it)

    style = pygal.style.Style(
        background="white",
        plot_background="white",
        font_family="sans-serif",
        title_font_size=18,
        colors=_COLOURS,
    )
    chart = getattr(pygal, _CHARTS[plot.kind])(
        style=style,
        js=[],
        title=plot.title,
        x_title=plot.x_title or None,
        y_title=plot.y_title or None,
        legend_at_bottom=True,
        legend_at_bottom_columns=2,
        logarithmic=plot.kind == "log",
        width=900,
        height=520,
        no_prefix=True,
        disable_xml_declaration=False,
        pretty_print=True,
    )
    chart.x_labels = list(plot.x)
    for name, values in plot.series.items():
        chart.add(name, list(values))
    rendered: bytes = chart.render()
    return _SCRIPT.sub(b"", rendered)  # it only holds pygal's settings


def write_page(
    page: Path, introduction: str, machine: Mapping[str, str], reports: Iterable[Report], outro: str
) -> None:
    """Write the page, and its plots into a folder of the same name next to it."""
    plots = page.with_suffix("")
    plots.mkdir(parents=True, exist_ok=True)
    sections = []
    for report in reports:
        sections.append(markdown(report, plots.name))
        for plot in report.plots:
            (plots / f"{plot.name}.svg").write_bytes(svg(plot))
    page.write_text("\n".join([introduction, _facts(machine) + "\n", *sections, outro]))
