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
    """Tell a person something on stderr, in lines that fit the terminal. A URL or a list is not cut."""
    width = max(shutil.get_terminal_size().columns, 60)
    for line in text.splitlines() or [""]:
        indent = line[: len(line) - len(line.lstrip())]
        for part in textwrap.wrap(
            line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [""]:
            print(part, file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Return somebody else's text without characters that would control a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
