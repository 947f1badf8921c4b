"""Compares the rows of a run with the chain before it: late rows, and, in a full run, drift.

All files are read as streams; in memory are the ids that differ, 8 bytes each, and the deletions.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crm_export.errors import ChainBroken, ResultError
from crm_export.exports.model import Export, Part
from crm_export.exports.pipeline import Results
from crm_export.exports.runs import Drift, Link, Run, RunResult
from crm_export.results.record_index import write_index
from crm_export.strict_json import moment
from crm_export.sync.audit import (
    ChangesIndex,
    Difference,
    compare,
    effective_deletions,
    late,
    merge_rows,
)
from crm_export.sync.chain import follow
from crm_export.sync.deletions import StoredDeletions
from crm_export.telemetry import logger

_COLUMNS = ("Id", "Modified_Time")
_KEEP_EVERY = 50_000  # rows

type Index = Iterator[tuple[int, int]]


@dataclass(frozen=True)
class Rows:
    """The rows of a run. keep: raises if another worker has taken the run over."""

    results: Results
    parts: list[Part]
    keep: Callable[[], None]

    def index(self) -> Index:
        """Yield id and hash of each row, by id. Raises ChainBroken if a part has no index."""
        return merged(self.results, [part.index for part in self.parts if part.key is not None])

    def modified(self) -> Iterator[tuple[int, datetime | None]]:
        """Yield id and Modified_Time of each row."""
        for part in self.parts:
            if part.key is None:
                continue
            for number, (record_id, changed) in enumerate(self.results.read_columns(part.key, _COLUMNS)):
                if number % _KEEP_EVERY == 0:
                    self.keep()
                if record_id.isdecimal():  # Zoho names no other ids as deleted, and they are in no index
                    yield int(record_id), moment(changed)

    @property
    def header(self) -> tuple[str, ...] | None:
        """The columns of the rows, or None if there are none."""
        return next((part.header for part in self.parts if part.header), None)


def compare_changes(run: Run, rows: Rows, deletions: StoredDeletions) -> RunResult:
    """Count late rows, and store which deletions remove a row of the chain."""
    began = _window_of_previous(rows.results, run)
    modified: dict[int, datetime | None] = {}
    early = set[int]()
    for record_id, changed in rows.modified():
        if record_id in deletions.times:
            modified[record_id] = changed
        if changed is not None and run.since is not None and began <= changed < run.since:
            early.add(record_id)
    return RunResult(
        deleted=deletions.count,
        deleted_key=deletions.key,
        removed_key=_store_removed(rows, deletions, modified),
        late=_late(run, rows, early) if early else 0,
    )


def _store_removed(
    rows: Rows, deletions: StoredDeletions, modified: dict[int, datetime | None]
) -> str | None:
    """Store the ids of the deletions that remove a row of the chain, as an index; return its key."""
    if deletions.key is None:
        return None
    removed = array("Q", sorted(effective_deletions(deletions.times, modified)))
    key = deletions.key.removesuffix(".csv") + ".index"
    index = write_index(removed, array("Q", bytes(8 * len(removed))))
    rows.results.write_object(key, index, rows.keep)
    return key


def _window_of_previous(results: Results, run: Run) -> datetime:
    """Return since when the previous run had all changes: of a full run, the beginning of time."""
    manifest = results.read_manifest(run.previous.manifest_key) if run.previous else None
    window = ((manifest or {}).get("sync") or {}).get("window") or {}
    is_full = ((manifest or {}).get("sync") or {}).get("kind") == "full"
    began = None if is_full else moment(window.get("from"))
    return began or datetime.min.replace(tzinfo=run.watermark.tzinfo)


def _late(run: Run, rows: Rows, early: set[int]) -> int:
    """Return how many of the rows that changed before the last watermark the previous run did not have.

    0 if what the previous run had cannot be read any more.
    """
    manifest = rows.results.read_manifest(run.previous.manifest_key) if run.previous else None
    if not manifest:
        return 0
    keys = [part.get("index") for part in manifest["parts"]]
    try:
        return late((row for row in rows.index() if row[0] in early), merged(rows.results, keys))
    except (ChainBroken, ResultError) as error:  # such as an object that has expired
        logger.warning("late rows not counted", code=error.code, reason=error.message)
        return 0


def compare_full(
    export: Export, run: Run, previous: Link, rows: Rows, deletions: StoredDeletions
) -> RunResult:
    """Compare a full run with the last full run (diff-00001.csv) and with the chain since then (drift).

    A difference from the chain is drift if neither the window since the last run nor the deletions explain
    it. Raises ChainBroken, ResultError if the chain cannot be read.
    """
    results = rows.results
    chain = follow(results.read_manifest, previous)
    if chain.full["query"] != export.query:  # another query reads other records
        return RunResult(deleted=deletions.count)
    same_fields = rows.header == header_of(chain.full)
    differences = compare(
        merged(results, _indices(chain.full)),
        [_changes_index(results, manifest) for manifest in chain.changes],
        rows.index(),
        same_fields=same_fields,
    )
    found = _Found()
    key = f"{export.folder}/diff-{export.first_part:05d}.csv"
    results.write_object(key, found.lines(differences, rows.keep), rows.keep)
    drift, late_rows = found.drift(run, rows, deletions)
    return RunResult(deleted=deletions.count, late=late_rows, drift=drift, diff_key=key)


class _Found:
    """The ids whose row in the chain is not as in the full run."""

    def __init__(self) -> None:
        self.inserted, self.updated, self.deleted = array("Q"), array("Q"), array("Q")

    def lines(self, differences: Iterable[Difference], keep: Callable[[], None]) -> Iterator[bytes]:
        """Yield diff-00001.csv, and remember what differs from the chain."""
        yield b"op,Id\r\n"
        lines = list[str]()
        for number, found in enumerate(differences, 1):
            self._note(found)
            if (op := _op(found.old, found.new)) is not None:
                lines.append(f"{op},{found.record_id}\r\n")
            if number % _KEEP_EVERY == 0:
                keep()
                yield "".join(lines).encode()
                lines = []
        yield "".join(lines).encode()

    def _note(self, found: Difference) -> None:
        match _op(found.chain, found.new):
            case "I":
                self.inserted.append(found.record_id)
            case "U":
                self.updated.append(found.record_id)
            case "D":
                self.deleted.append(found.record_id)

    def drift(self, run: Run, rows: Rows, deletions: StoredDeletions) -> tuple[Drift, int]:
        """Return what neither window nor deletions explain, and how many rows came late."""
        unexplained, late_rows = {"inserted": 0, "updated": 0}, 0
        if self.inserted or self.updated:
            for record_id, changed in rows.modified():
                kind = self._kind(record_id)
                if kind is None:
                    continue
                if changed is None or run.window_from is None or changed < run.window_from:
                    unexplained[kind] += 1
                elif run.since is not None and changed < run.since:
                    late_rows += 1
        gone = sum(record_id not in deletions.times for record_id in self.deleted)
        return Drift(**unexplained, deleted=gone), late_rows

    def _kind(self, record_id: int) -> str | None:
        if _has(self.inserted, record_id):
            return "inserted"
        return "updated" if _has(self.updated, record_id) else None


def _op(before: int | None, after: int | None) -> str | None:
    if before is None:
        return None if after is None else "I"
    if after is None:
        return "D"
    return "U" if before != after else None


def _has(ids: "array[int]", record_id: int) -> bool:
    place = bisect_left(ids, record_id)
    return place < len(ids) and ids[place] == record_id


def merged(results: Results, keys: list[str | None]) -> Index:
    """Yield id and hash of all rows of some indices, by id. Raises ChainBroken if a part has none."""
    named = [key for key in keys if key is not None]
    if len(named) < len(keys):
        raise ChainBroken("A part of the chain has no index: its ids are not numbers, or repeat.")
    return merge_rows([results.read_index(key) for key in named])


def _indices(manifest: dict[str, Any]) -> list[str | None]:
    return [part.get("index") for part in manifest["parts"]]


def _changes_index(results: Results, manifest: dict[str, Any]) -> ChangesIndex:
    key = manifest["sync"]["removed_key"]
    deleted = (record_id for record_id, _ in results.read_index(key)) if key else iter(())
    return ChangesIndex(merged(results, _indices(manifest)), deleted)


def header_of(manifest: dict[str, Any]) -> tuple[str, ...] | None:
    """Return the columns of an export's rows, or None if it has none."""
    return next((tuple(part["header"]) for part in manifest.get("parts", []) if part["header"]), None)
