"""How the demo speaks: short headings, aligned figures, and the same words without a terminal."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from local.demo.verify import Check
from local.stack.invocation import Report


class Narrator:
    """Writes the demo's sections."""

    def __init__(self, console: Console) -> None:
        """Write to `console`."""
        self.console = console
        self._section = 0

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._section += 1
        self.console.print(f"\n[bold]{self._section}  {text}[/bold]", highlight=False)

    def line(self, text: str = "") -> None:
        """Write one line as it is."""
        self.console.print(f"   {text}", highlight=False, markup=False, soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> None:
        """Write aligned columns; the first `left` ones are flush left, the others flush right."""
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        for index, column in enumerate(columns):
            table.add_column(
                ("   " if not index else "") + column, justify="left" if index < left else "right"
            )
        for row in rows:
            table.add_row(*["   " + row[0], *row[1:]])
        self.console.print(table, highlight=False, soft_wrap=True)

    def checks(self, checks: Sequence[Check]) -> None:
        """Write what was checked, failures marked."""
        for check in checks:
            mark = "[green]ok  [/green]" if check.passed else "[red]FAIL[/red]"
            self.console.print(f"   {mark}  {check.what:<26}", end="", highlight=False)
            self.console.print(check.detail, highlight=False, markup=False, soft_wrap=True)

    def reports(self, reports: Sequence[Report]) -> None:
        """Write Lambda's figures, one line for each function."""
        rows = []
        for name in sorted({report.function for report in reports}):
            own = [report for report in reports if report.function == name]
            memory = [report.max_memory_mb for report in own if report.max_memory_mb is not None]
            starts = [report.init_ms for report in own if report.init_ms is not None]
            rows.append(
                (
                    name,
                    str(len(own)),
                    f"{max(report.duration_ms for report in own):,.0f} ms",
                    f"{max(starts):,.0f} ms" if starts else "",
                    f"{max(memory)} of {own[0].memory_mb} MB" if memory else "",
                )
            )
        self.table(("function", "invocations", "longest", "init", "max memory used"), rows)
