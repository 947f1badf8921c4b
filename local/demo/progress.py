"""How an export is getting on: a live table on a terminal, a line a second everywhere else."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from local.demo.api import Api

_POLL_SECONDS = 0.25
_LINE_SECONDS = 1.0
_MEGABYTE = 1_000_000
_ENDED = ("COMPLETED", "FAILED")


@dataclass(frozen=True)
class PartProgress:
    """One part: `received` counts the bytes in S3, those of an upload still open included."""

    number: int
    state: str
    records: int | None
    received: int


@dataclass(frozen=True)
class Progress:
    """An export at one moment."""

    state: str
    parts: list[PartProgress]
    seconds: float

    @property
    def received(self) -> int:
        """Return the bytes in S3 so far."""
        return sum(part.received for part in self.parts)

    @property
    def rate(self) -> float:
        """Return megabytes per second since the export was asked for."""
        return self.received / _MEGABYTE / max(self.seconds, 0.001)


class UploadSizes:
    """Sizes of multipart uploads still open: only S3 knows how far they are."""

    def __init__(self, s3: Any, bucket: str) -> None:
        """Look into `bucket`."""
        self._s3, self._bucket = s3, bucket
        self._seen: dict[int, int] = {}

    def of_part(self, export_id: str, number: int) -> int:
        """Return the bytes S3 has of a part; those last seen where its upload has just been completed."""
        uploads = self._s3.list_multipart_uploads(Bucket=self._bucket).get("Uploads", [])
        for upload in uploads:
            if f"export_id={export_id}/part-{number:05d}." in upload["Key"]:
                self._seen[number] = max(self._size(upload), self._seen.get(number, 0))
        return self._seen.get(number, 0)

    def _size(self, upload: dict[str, Any]) -> int:
        pages = self._s3.get_paginator("list_parts")
        try:
            found = pages.paginate(Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"])
            return sum(part["Size"] for page in found for part in page.get("Parts", []))
        except self._s3.exceptions.NoSuchUpload:
            return 0  # completed meanwhile


def watch(
    api: Api, export_id: str, sizes: UploadSizes, console: Console, give_up_seconds: float
) -> tuple[dict[str, Any], Progress]:
    """Poll the export until it ends, showing how it stands; returns its last answer and progress."""
    started = time.monotonic()

    def read() -> tuple[dict[str, Any], Progress]:
        export = api.call("GET", f"/v1/e/zoho/bulk-read/exports/{export_id}").data or {}
        return export, read_progress(export, sizes, time.monotonic() - started)

    if not console.is_terminal:
        return _poll(read, _line_printer(console), give_up_seconds)
    with Live(console=console, refresh_per_second=8) as live:
        return _poll(read, lambda progress: live.update(_table(progress)), give_up_seconds)


def _poll(
    read: Callable[[], tuple[dict[str, Any], Progress]], show: Callable[[Progress], None], give_up: float
) -> tuple[dict[str, Any], Progress]:
    while True:
        export, progress = read()
        show(progress)
        if progress.state in _ENDED or progress.seconds > give_up:
            return export, progress
        time.sleep(_POLL_SECONDS)


def read_progress(export: dict[str, Any], sizes: UploadSizes, seconds: float) -> Progress:
    """Return the progress an answer of the API tells of, with what S3 knows of open uploads."""
    parts = []
    for part in export.get("parts", []):
        stored = part["state"] == "STORED"
        received = (part["bytes"] or 0) if stored else 0
        if part["state"] == "READY":
            received = sizes.of_part(export["export_id"], part["part"])
        records = part["records"] if stored else part["expected_records"]
        parts.append(PartProgress(part["part"], part["state"], records, received))
    return Progress(export.get("state", "?"), parts, seconds)


def _line_printer(console: Console) -> Callable[[Progress], None]:
    last = -_LINE_SECONDS

    def show(progress: Progress) -> None:
        nonlocal last
        if progress.seconds - last < _LINE_SECONDS and progress.state not in _ENDED:
            return
        last = progress.seconds
        parts = "  ".join(
            f"{part.number}:{part.state} {part.received / _MEGABYTE:.1f} MB" for part in progress.parts
        )
        line = f"   {progress.seconds:5.1f} s  {progress.state:<9}  {progress.rate:5.1f} MB/s  {parts}"
        console.print(line, soft_wrap=True, highlight=False, markup=False)

    return show


def _table(progress: Progress) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name, width in (("   part", 7), ("state", 10), ("records", 9), ("MB in S3", 9)):
        table.add_column(name, justify="left" if name == "state" else "right", min_width=width)
    table.add_column("", min_width=10)
    colours = {"STORED": "green", "READY": "cyan", "SUBMITTED": "yellow", "FAILED": "red"}
    for part in progress.parts:
        state = f"[{colours.get(part.state, 'dim')}]{part.state}[/]"
        records = f"{part.records:,}" if part.records is not None else ""
        table.add_row(str(part.number), state, records, f"{part.received / _MEGABYTE:.1f}")
    total = f"{progress.received / _MEGABYTE:.1f}"
    took = f"{progress.seconds:.1f} s"
    table.add_row("export", progress.state, took, total, f"{progress.rate:.1f} MB/s", style="bold")
    return table
