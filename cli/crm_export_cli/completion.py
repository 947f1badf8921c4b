"""Completes modules, ids of exports and formats in the shell. Reads files only: a TAB must not call Zoho."""

from collections.abc import Callable

import typer

from crm_export.zoho.catalog import MODULES
from crm_export_cli.folder.glance import kept_modules, recent_exports

FORMATS = ("csv", "csv.gz", "parquet", "ics")


def complete_modules(context: typer.Context, incomplete: str) -> list[str]:
    """Return the modules of the folder in --to, or Zoho's own ones if the folder has no list yet.

    They are in small letters if the user began so; every command accepts both.
    """
    to, given = context.params.get("to"), context.params.get("modules") or []
    names = (kept_modules(to) if to else []) or [module.api_name for module in MODULES.values()]
    spelled = (name if name.startswith(incomplete) else name.lower() for name in names)
    return [name for name in spelled if name not in given]


def complete_exports(*states: str) -> Callable[[typer.Context, str], list[tuple[str, str]]]:
    """Return a function that returns the ids of a folder's exports, those in some states or all.

    A stack has its own exports, which only a call would show.
    """

    def complete(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        to = context.params.get("to")
        if to is None or context.params.get("stack") or context.params.get("local"):
            return []
        return [
            (export_id, f"{module}, {state}")
            for export_id, module, state in recent_exports(to)
            if export_id.startswith(incomplete) and (not states or state in states)
        ]

    return complete


def complete_formats(incomplete: str) -> list[str]:
    """Return the values of --format."""
    return [name for name in FORMATS if name.startswith(incomplete)]
