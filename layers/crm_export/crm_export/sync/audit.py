"""Compares indices of exports: the last full export, the changes since then, and a new full export.

Everything is a stream of rows (id, hash) sorted by id. In memory is a window of a few thousand ids at a time.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import batched, islice, repeat
from operator import itemgetter

type Row = tuple[int, int]  # an id and the hash of the record's raw bytes
type Rows = Iterator[Row]  # sorted by id

_BLOCK = 4096  # rows of each stream in memory
_id_of = itemgetter(0)


@dataclass(frozen=True)
class ChangesIndex:
    """A run of changes: its rows, and the ids that its effective deletions remove. Both sorted by id."""

    rows: Rows
    deleted: Iterator[int]


@dataclass(frozen=True, slots=True)
class Difference:
    """A record's hashes in the last full export, in the chain that follows it, and in the new full export.

    None: the record is not there. If the fields have changed, every hash is 0.
    """

    record_id: int
    old: int | None
    chain: int | None
    new: int | None

    @property
    def op(self) -> str | None:
        """What happened since the last full export: I (inserted), U (updated) or D (deleted), or None."""
        return _change(self.old, self.new)

    @property
    def drift(self) -> str | None:
        """What the chain does not show: I, U or D, or None if it is as the new full export."""
        return _change(self.chain, self.new)


def merge_rows(parts: Sequence[Rows]) -> Rows:
    """Yield the rows of all parts of an export, sorted by id, faster than heapq.merge does.

    A few thousand rows of each part are in memory: about 3 MB.
    """
    for window in _windows(parts):
        found: list[Row] = []
        for rows in window:
            found += rows
        found.sort()
        yield from found


def compare(
    old_full: Rows | None, changes: Sequence[ChangesIndex], new: Rows, *, same_fields: bool
) -> Iterator[Difference]:
    """Yield the records in which the last full export or its chain differs from the new full export, by id.

    changes: the runs since the last full export, in their order. A later run wins; within a run, its rows
    come first and its deletions after them. Without `same_fields`, only the presence of records is compared.
    """
    sources = [old_full or iter(()), new]
    for run in changes:
        sources += [run.rows, zip(run.deleted, repeat(0))]
    for old_rows, new_rows, *runs in _windows(sources):
        old, current = dict(old_rows), dict(new_rows)
        chain = _folded(old, runs)
        if not same_fields:
            old, chain, current = (dict.fromkeys(hashes, 0) for hashes in (old, chain, current))
        if old != current or chain != current:
            yield from _differences(old, chain, current)


def late(candidates: Rows, previous: Rows) -> int:
    """Return how many candidates the previous run does not have, or has with another hash."""
    count, known = 0, next(previous, None)
    for row in candidates:
        while known is not None and known[0] < row[0]:
            known = next(previous, None)
        count += row != known
    return count


def effective_deletions(
    deletions: Mapping[int, datetime], modified: Mapping[int, datetime | None]
) -> list[int]:
    """Return the ids that the deletions of a run remove from the chain, sorted.

    deletions: when each was deleted. modified: the Modified_Time of those that are among the run's rows, too.
    A row that was modified after its deletion stays: it was restored. A row without Modified_Time stays, too.
    Only a full run has read it, so it existed then. If it was deleted after that, the next run lists the
    deletion again and removes it; but a restored row that is removed is missing until the next full run.
    """
    return sorted(record_id for record_id, at in deletions.items() if _is_gone(at, record_id, modified))


def _is_gone(deleted: datetime, record_id: int, modified: Mapping[int, datetime | None]) -> bool:
    if record_id not in modified:
        return True
    changed = modified[record_id]
    return changed is not None and changed <= deleted


def _change(before: int | None, after: int | None) -> str | None:
    if before == after:
        return None
    if before is None:
        return "I"
    return "D" if after is None else "U"


def _folded(full: dict[int, int], runs: Sequence[list[Row]]) -> dict[int, int]:
    """Return the hashes of the chain. runs: alternately the rows and the deletions of each run."""
    if not any(runs):
        return full
    chain = dict(full)
    for rows, deleted in batched(runs, 2, strict=True):
        chain.update(rows)
        for record_id, _ in deleted:
            chain.pop(record_id, None)
    return chain


def _differences(old: dict[int, int], chain: dict[int, int], new: dict[int, int]) -> Iterator[Difference]:
    rows = old.items() ^ new.items()
    if chain is not old:
        rows |= chain.items() ^ new.items()
    for record_id in sorted(set(map(_id_of, rows))):
        yield Difference(record_id, old.get(record_id), chain.get(record_id), new.get(record_id))


class _Stream:
    """The rows of one source, of which a block is in memory."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._block: list[Row] = []
        self._at = 0

    def last(self) -> int | None:
        """Return the last id in memory, after reading on if there is none; None at the end."""
        if self._at == len(self._block):
            self._block, self._at = list(islice(self._rows, _BLOCK)), 0
        return self._block[-1][0] if self._block else None

    def up_to(self, bound: int) -> list[Row]:
        """Take the rows in memory whose id is not above a bound."""
        start = self._at
        self._at = bisect_right(self._block, bound, lo=start, key=_id_of)
        return self._block[start : self._at]


def _windows(sources: Sequence[Rows]) -> Iterator[list[list[Row]]]:
    """Yield the rows of the next ids, of each source: all rows of these ids, and no more than a block."""
    streams = [_Stream(source) for source in sources]
    while lasts := [last for stream in streams if (last := stream.last()) is not None]:
        bound = min(lasts)
        yield [stream.up_to(bound) for stream in streams]
