"""What commands print: one JSON document on stdout, or text."""

import json
import shutil
import sys
import textwrap
from typing import Any


def print_json(document: Any) -> None:
    """Write the command's one document to stdout."""
    json.dump(document, sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def tell(text: str) -> None:
    """Tell a person something on stderr, in lines that fit the terminal. A URL or a list is not cut.

    Without a terminal the lines stay whole, so that a program can search them.
    """
    if not sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)
        return
    width = max(shutil.get_terminal_size().columns, 60)
    for line in text.splitlines() or [""]:
        indent = line[: len(line) - len(line.lstrip())]
        for part in textwrap.wrap(
            line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [""]:
            print(part, file=sys.stderr, flush=True)


def fitted(line: str, indent: int) -> str:
    """Return a line for stdout, wrapped in a terminal; `indent`: the columns before its further lines."""
    if not sys.stdout.isatty():
        return line
    width = max(shutil.get_terminal_size().columns, 60)
    return textwrap.fill(
        line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
