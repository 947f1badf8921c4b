"""Lands a completed export, and lets its module's tables show it: full exports, and changes.

An event that arrives again or late changes nothing. Called for the event of an export's manifest by
functions/parquet_writer, and by the command line.
"""

from collections.abc import Callable, Mapping
from typing import Any

from crm_export.errors import StorageUnavailable
from crm_export.lake import catalog
from crm_export.lake.land import is_change, land_nothing, landed, previous_key
from crm_export.lake.place import Place
from crm_export.lake.schema import Column
from crm_export.lake.store import LakeStore, TableCatalog, read_json
from crm_export.telemetry import logger

_MOST_ATTEMPTS = 10


def land_export(store: LakeStore, place: Place, tables: TableCatalog | None = None) -> None:
    """Write the export's Parquet files and manifest, and show them in the module's table.

    tables: where that table is registered, if anywhere.
    Does nothing if the export's manifest is gone, or if the export is a calendar. An export that is landed
    stays as it is. Raises StorageUnavailable and StorageRefused; StepPostponed if the time is over before all
    parts are written; CountMismatch or ObjectConflict if a part is not what the manifest says.
    """
    source = read_json(store, place.source)
    if source is None or source.get("file_format") not in {"csv", "csv.gz"}:
        logger.info("nothing to write as Parquet", key=place.source, found=source is not None)
        return
    if is_change(source):
        _show_change(store, place, source, tables)
        return
    changes = _show(store, place, source, tables)
    if is_full(source) and source.get("sync"):
        _replace_symlinks(store, place.changes_key, place.export_id, lambda _: changes)


def is_full(source: Mapping[str, Any]) -> bool:
    """Return True if the export has all records of its module, as far as its manifest says."""
    query = source.get("query") or {}
    narrowed = query.get("criteria") or query.get("cvid") or query.get("page") not in {None, 1}
    return not narrowed and not is_change(source)


def _show(
    store: LakeStore, place: Place, source: Mapping[str, Any], tables: TableCatalog | None
) -> list[str]:
    """Land an export that is no run of changes; let the module's table show it, or keep a newer one.

    Return what the table of changes has to show, until a run of changes is landed: a file without rows.
    """
    manifest = landed(store, place, source)

    def shown(_: list[str]) -> list[str]:
        return _urls(store, manifest)

    if not is_full(source):
        return []
    if _replace_symlinks(store, place.symlink_key, place.export_id, shown) and tables is not None:
        tables.register(_table(store, place, manifest))
    columns = [Column.from_dict(item) for item in manifest["schema"]]
    nothing = land_nothing(store, place, columns[:-1]) if source.get("sync") else None
    return [store.url(nothing["key"])] if nothing else []


def _show_change(
    store: LakeStore, place: Place, source: Mapping[str, Any], tables: TableCatalog | None
) -> None:
    """Land a run of changes; let the table of changes show all runs from the last full one to this one.

    Runs before it whose events have not arrived yet are landed, too, and shown.
    """
    manifest = landed(store, place, source)

    def shown(before: list[str]) -> list[str]:
        kept, missing = _since(store, source, before)
        earlier: list[str] = []
        for run, its_source in missing:
            if is_change(its_source):
                earlier += _urls(store, landed(store, run, its_source))
            else:
                earlier += _show(store, run, its_source, tables)
        return [*kept, *earlier, *_urls(store, manifest)]

    _replace_symlinks(store, place.changes_key, place.export_id, shown)


def _since(
    store: LakeStore, source: Mapping[str, Any], shown: list[str]
) -> tuple[list[str], list[tuple[Place, dict[str, Any]]]]:
    """Return the URLs that stay, and the runs after them and before this one, in their order.

    If no URL stays, the first run is the full one, if its manifest is still there.
    """
    missing: list[tuple[Place, dict[str, Any]]] = []
    known = {catalog.export_of(url) for url in shown}
    run: dict[str, Any] | None = dict(source)
    while run and is_change(run) and (before := Place.of(previous_key(run))):
        if before.export_id in known:
            return [url for url in shown if (catalog.export_of(url) or "") <= before.export_id], missing
        if run := read_json(store, before.source):
            missing.insert(0, (before, run))
    return [], missing


def _table(store: LakeStore, place: Place, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    name = catalog.table_of_account(place.account, place.module)
    columns = [Column.from_dict(item) for item in manifest["table"]]
    return catalog.glue_table(name, columns, store.url(place.symlink_key).removesuffix("manifest"))


def _urls(store: LakeStore, manifest: Mapping[str, Any]) -> list[str]:
    return [store.url(file["key"]) for file in manifest["files"]]


def _replace_symlinks(
    store: LakeStore, key: str, export_id: str, urls_after: Callable[[list[str]], list[str]]
) -> bool:
    """Write what a table shows, unless that is of the same or a newer export.

    urls_after: returns the URLs to show, given those that are shown. Returns whether it shows this export.
    """
    for _ in range(_MOST_ATTEMPTS):
        found = store.get(key)
        urls = found.content.decode().splitlines() if found else []
        if urls and (newest := catalog.export_of(urls[-1]) or "") >= export_id:
            return newest == export_id
        content = catalog.symlink_manifest(urls_after(urls)).encode()
        if store.put_if(key, content, found.version if found else None):
            return True
    raise StorageUnavailable(f"{key} was replaced by others again and again.")
