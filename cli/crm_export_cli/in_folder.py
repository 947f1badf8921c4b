"""AdminStore over a folder: DIR/.crm-export/connections.json, which only its owner can read."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crm_export_cli.entries import AdminStore, Entry
from crm_export_cli.exits import CliError

type Documents = dict[str, Any]


def connections_file(folder: Path) -> Path:
    """Return the file of a folder's connections."""
    return folder / ".crm-export" / "connections.json"
