"""What commands print: one JSON document on stdout, or text."""

import json
import sys
from typing import Any


def print_json(document: Any) -> None:
    """Write the command's one document to stdout."""
    json.dump(document, sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def printable(text: str) -> str:
    """Return somebody else's text without characters that would control a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
