"""Shows how exports get on, on stderr: live in a terminal, else as a plain line on a change."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil

from rich.console import Console
from rich.live import Live
from rich.table import Table

from crm_export_cli.backend import View

_LINE_SECONDS = 5.0  # at most one line in that time
_MEGABYTE = 1_000_000
_WAITS = {
    "JOB_CREATION": "for Zoho to accept a job",
    "ZOHO_JOB": "for Zoho to prepare part {part}",
    "DOWNLOAD": "to download part {part}",
    "OTHER_PARTS": "for the other parts",
    "DOWNLOADS_SPENT": "for Zoho's downloads per minute",
}


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Callable[[list[View]], None]]:
    """Yield a function that shows the exports as they are now."""
    console = Console(stderr=True)
    if quiet:
        yield lambda _views: None
    elif console.is_terminal:
        speed, time_left = Speed(), TimeLeft()
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            yield lambda views: live.update(show_table(views, speed, time_left))
    else:
        yield Lines()


@contextmanager
def transfer() -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows the bytes that have been downloaded, of all."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _size, _total: None
        return
    with console.status("Downloading") as status:
        yield lambda size, total: status.update(
            f"Downloading: {size / _MEGABYTE:,.1f} of {total / _MEGABYTE:,.1f} MB; Ctrl-C is safe"
        )


class Speed:
    """Bytes per second over the last seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: list[tuple[float, int]] = []

    def of(self, size: int) -> float:
        """Note the size that has arrived by now; return the speed."""
        now = self._clock()
        self._seen = [*((then, s) for then, s in self._seen if then > now - 10), (now, size)]
        then, first = self._seen[0]
        return max(size - first, 0) / (now - then) if now > then else 0.0


class TimeLeft:
    """Estimates how long exports still run, from the rate at which their records were stored so far.

    Records count when their part is stored. Between two parts the estimate counts down.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: dict[str, tuple[float, int]] = {}
        self._seen: dict[str, int] = {}
        self._ends_at: dict[str, float] = {}

    def of(self, view: View) -> float | None:
        """Note the records of an export by now; return the seconds that it still needs, None if unknown."""
        export_id, stored, now = view["export_id"], view["records"] or 0, self._clock()
        if stored < self._seen.get(export_id, 0):  # the export has begun again
            self._began.pop(export_id)
            self._ends_at.pop(export_id, None)
        began, before = self._began.setdefault(export_id, (now, stored))
        if stored > self._seen.setdefault(export_id, stored):
            seconds_each = (now - began) / (stored - before)
            self._ends_at[export_id] = now + (expected_records(view) - stored) * seconds_each
        self._seen[export_id] = stored
        left = self._ends_at.get(export_id, now) - now
        return left if left > 0 and view["state"] == "RUNNING" else None


def expected_records(view: View) -> int:
    """Return how many records an export will have: by its parts if all are known, or by Zoho's count.

    Return 0 if neither is known.
    """
    parts = [
        part["expected_records"] if part["records"] is None else part["records"]
        for part in view.get("parts", [])
    ]
    known = [records for records in parts if records is not None]
    return sum(known) if known and len(known) == len(parts) else view.get("expected_records") or 0


def about(seconds: float | None) -> str:
    """Return ", about 3 min left", rounded up; or "" if the time is not known."""
    if seconds is None:
        return ""
    if seconds <= 50:
        return f", about {10 * ceil(seconds / 10)} s left"
    minutes = ceil(seconds / 60)
    if minutes < 60:
        return f", about {minutes} min left"
    return f", about {minutes // 60} h {minutes % 60 // 10 * 10:02} min left"


class Lines:
    """Prints a plain line for each export that has changed, at most every five seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._time_left = TimeLeft(clock)
        self._printed_at = float("-inf")
        self._printed: dict[str, str] = {}

    def __call__(self, views: list[View]) -> None:
        now = self._clock()
        left = {view["export_id"]: about(self._time_left.of(view)) for view in views}
        has_ended = all(view["state"] != "RUNNING" for view in views)
        if now < self._printed_at + _LINE_SECONDS and not has_ended:
            return
        lines = {view["export_id"]: _line(view) for view in views}
        changed = [
            f"{line}{left[export_id]}"
            for export_id, line in lines.items()
            if self._printed.get(export_id) != line
        ]
        if changed:
            sys.stderr.write("".join(f"{line}\n" for line in changed))
            sys.stderr.flush()
            self._printed, self._printed_at = lines, now


def _line(view: View) -> str:
    words = [view["module"], _parts(view), _records(view), _size(view)]
    return f"{', '.join(words)}, {waiting(view) or _state(view)}"


def show_table(views: list[View], speed: Speed, time_left: TimeLeft) -> Table:
    """Return the exports as a table that wraps in a narrow terminal."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(5):
        table.add_column(overflow="fold")
    for view in views:
        words = f"{waiting(view) or _state(view)}{about(time_left.of(view))}"
        table.add_row(view["module"], _parts(view), _records(view), _size(view), words)
    rate = speed.of(sum(map(size_of, views)))
    table.caption = f"{rate / _MEGABYTE:,.1f} MB/s; Ctrl-C is safe" if rate else "Ctrl-C is safe"
    table.caption_justify = "left"
    return table


def size_of(view: View) -> int:
    """Return the bytes of an export that have arrived."""
    stored = sum(part["bytes"] or 0 for part in view.get("parts", []))
    return stored + int(view.get("bytes_in_transfer", 0))


def waiting(view: View) -> str:
    """Return what a RUNNING export waits for, as "waiting for ...", or ""."""
    if view["state"] != "RUNNING":
        return ""
    pending = [part for part in view.get("parts", []) if part["state"] != "STORED"]
    if any(part["waiting_for"] is None for part in pending):
        return ""
    for part in pending:
        why = _WAITS.get(part["waiting_for"])
        if why is None:
            until = (part["waiting_until"] or "")[11:19]
            return f"waiting after {part['waiting_for']} until {until} UTC"
        return f"waiting {why.format(part=part['part'])}"
    return ""


def _state(view: View) -> str:
    return "working" if view["state"] == "RUNNING" else str(view["state"]).lower()


def _parts(view: View) -> str:
    parts = view.get("parts", [])
    stored = sum(part["state"] == "STORED" for part in parts)
    return f"part {stored} of {len(parts)}" + ("+" if view["state"] == "RUNNING" else "")


def _records(view: View) -> str:
    return f"{view['records'] or 0:,} records"


def _size(view: View) -> str:
    return f"{size_of(view) / _MEGABYTE:,.1f} MB"
