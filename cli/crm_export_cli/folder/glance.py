"""What shell completion reads of a folder: quickly, without waiting, and without an error."""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

from crm_export_cli.folder import STATE

_LONGEST_WAIT = 0.2  # seconds, for other processes
_MOST_EXPORTS = 100


def keep_modules(root: Path, names: Iterable[str]) -> None:
    """Keep the API names of the organisation's modules in a folder; if that fails, nothing depends on it."""
    path = root / STATE / "modules.json"
    new = path.with_suffix(".new")
    with suppress(OSError):
        new.touch(mode=0o600)
        new.write_text(json.dumps(sorted(names)))
        new.replace(path)


def kept_modules(root: Path) -> list[str]:
    """Return the names that were last kept, or none."""
    try:
        names = json.loads((root / STATE / "modules.json").read_bytes())
    except (OSError, ValueError):
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def recent_exports(root: Path) -> list[tuple[str, str, str]]:
    """Return id, module and state of the folder's exports, newest first; none while it is locked."""
    path = (root / STATE / "state.db").resolve()
    try:
        with closing(
            sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_LONGEST_WAIT)
        ) as database:
            return database.execute(
                "SELECT export_id, body ->> 'module', state FROM exports "
                "ORDER BY requested_at DESC, export_id DESC LIMIT ?",
                (_MOST_EXPORTS,),
            ).fetchall()
    except sqlite3.Error:
        return []
