"""Shows how the start of the demo's stack gets on: the step, a bar, and the time left. Called by `run`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task, TextColumn
from rich.progress_bar import ProgressBar
from rich.text import Text

_FIRST_START_SECONDS = 6.0
_LONGEST_STEP = 40


@contextmanager
def starting(console: Console, seconds_file: Path) -> Iterator[Callable[[str], None]]:
    """Yield a function that shows the next step. `seconds_file` has the duration of the last start."""
    expected = read_seconds(seconds_file)
    columns = (TextColumn(f"   {{task.description:<{_LONGEST_STEP}}}"), _TimeBar(), _TimeLeft())
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as progress:
        task = progress.add_task("starting", total=expected)
        yield lambda step: progress.update(task, description=step)
        seconds = progress.tasks[0].elapsed or expected
    seconds_file.write_text(f"{seconds:.1f}\n")


def read_seconds(path: Path) -> float:
    """Return how long the last start took; for the first one, a guess."""
    try:
        return float(path.read_text())
    except (FileNotFoundError, ValueError):
        return _FIRST_START_SECONDS


class _TimeBar(ProgressColumn):
    """A bar by the time: how much of a step is done is not known."""

    def render(self, task: Task) -> ProgressBar:
        total = task.total or _FIRST_START_SECONDS
        return ProgressBar(total=total, completed=min(task.elapsed or 0, total), width=16)


class _TimeLeft(ProgressColumn):
    """The time left, if the start takes as long as the last one."""

    def render(self, task: Task) -> Text:
        return Text(time_left((task.total or 0) - (task.elapsed or 0)))


def time_left(seconds: float) -> str:
    """Return the time left in words of at most 16 characters."""
    return f"about {seconds:.0f} s left" if seconds >= 0.5 else "almost there"
