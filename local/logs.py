"""`python -m local logs`: the functions' logs, as lines that a person can read."""

import argparse
import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from local.host.processes import LocalStackError
from local.runtime.log_files import LogFiles
from local.state import logs_folder

_POLL_SECONDS = 0.3
_INDENT = " " * 14
_COLOURS = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "31"}
# Powertools writes these on every line. The rest of a line is what its author chose.
_ON_EVERY_LINE = {
    "level", "location", "message", "timestamp", "service", "cold_start", "function_name",
    "function_memory_size", "function_arn", "xray_trace_id", "exception_name", "stack_trace",
}  # fmt: skip
_OF_LAMBDA = ("START RequestId: ", "END RequestId: ", "REPORT RequestId: ")


@dataclass(frozen=True)
class Entry:
    """One entry of a log. `moment` is empty if the line has no time."""

    function: str
    message: str
    moment: str = ""
    level: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)
    trace: str = ""


def logs(options: argparse.Namespace) -> int:
    """Print the logs of a stack, running or stopped; with --follow, until Ctrl-C."""
    folder = logs_folder(options.state_file)
    if not folder.is_dir():
        raise LocalStackError(f"there are no logs in {folder}: no stack has run there")
    files = LogFiles(folder)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    is_coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    with suppress(BrokenPipeError):
        while True:
            for entry in in_order(read_entries(files.new_lines())):
                if options.export is None or mentions(entry, options.export):
                    print(formatted(entry, width, is_coloured), flush=True)
            if not options.follow:
                break
            time.sleep(_POLL_SECONDS)
    return 0


def read_entries(lines: Iterable[tuple[str, str]]) -> list[Entry]:
    """Return the entries in lines of logs, without metrics and without Lambda's lines about successes."""
    entries: list[Entry] = []
    last: dict[str, str] = {}  # the time of a line that has none is that of the line before
    for function, line in lines:
        entry = _entry(function, line)
        if entry:
            last[function] = entry.moment or last.get(function, "")
            entries.append(
                entry if entry.moment else Entry(function, entry.message, last[function], entry.level)
            )
    return entries


def in_order(entries: Sequence[Entry]) -> list[Entry]:
    """Sort the entries of all functions by time."""
    return sorted(entries, key=lambda entry: entry.moment)


def mentions(entry: Entry, export_id: str) -> bool:
    """Return whether an entry is about an export."""
    return export_id in entry.message or export_id in map(str, entry.more.values())


def formatted(entry: Entry, width: int | None, is_coloured: bool) -> str:
    """Return an entry as text: time, function, level, message, then key=value. `width` None: one line."""
    head = f"{_local_time(entry.moment):12}  {entry.function:17}  {entry.level:7}  "
    pairs = [f"{key}={_value(value)}" for key, value in entry.more.items()]
    if width is None:
        text = head + "  ".join([entry.message, *pairs])
    else:
        lines = textwrap.wrap(entry.message, max(width - len(head), 20), subsequent_indent=" ") or [""]
        options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
        rest = textwrap.wrap(
            " ".join(pairs), width, initial_indent=_INDENT, subsequent_indent=_INDENT, **options
        )
        text = "\n".join([head + lines[0], *(_INDENT + line for line in lines[1:]), *rest])
    if entry.trace:
        text += "\n" + textwrap.indent(entry.trace.rstrip(), _INDENT)
    colour = _COLOURS.get(entry.level) if is_coloured else None
    return f"\x1b[{colour}m{text}\x1b[0m" if colour else text


def _entry(function: str, line: str) -> Entry | None:
    if not line.strip() or (line.startswith(_OF_LAMBDA) and "Status: " not in line):
        return None
    try:
        document = json.loads(line)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return Entry(function, line.replace("\t", "  "), level="ERROR" if "Status: " in line else "")
    if "_aws" in document:
        return None
    return Entry(
        function=function,
        message=str(document.get("message", "")),
        moment=str(document.get("timestamp", "")),
        level=str(document.get("level", "")),
        more=_pairs(document),
        trace=str(document.get("exception", "")),
    )


def _pairs(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a line says besides its message, with the long request id at the end."""
    pairs = {key: value for key, value in document.items() if key not in _ON_EVERY_LINE}
    request_id = pairs.pop("function_request_id", None)
    return pairs if request_id is None else {**pairs, "request_id": request_id}


def _local_time(moment: str) -> str:
    """Return the time of day of a Powertools timestamp, in the local time zone."""
    try:
        return f"{datetime.strptime(moment, '%Y-%m-%d %H:%M:%S,%f%z').astimezone():%H:%M:%S.%f}"[:-3]
    except ValueError:
        return moment[11:23]


def _value(value: Any) -> str:
    """Return a value in a form that can be told apart from the next pair."""
    text = value if isinstance(value, str) else json.dumps(value)
    return json.dumps(text, ensure_ascii=False) if " " in text or not text else text
