"""Checks that the parts of an export fit together: the same columns, and no record twice.

Zoho does not document the order of a Bulk Read result. If the ranges of the parts' ids do not overlap, no
record is in two parts. Where they overlap, the ids are read back from the stored objects and compared.
"""

import heapq
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from crm_export.errors import HeadersDiffer, PartsOverlap
from crm_export.exports.model import Part

_MOST_COMPARED = 5_000_000  # ids: 40 MB


def check_parts(parts: list[Part], read_ids: Callable[[str], Iterable[str]]) -> None:
    """Raise HeadersDiffer, or PartsOverlap if a record is in two parts. read_ids: the ids of an object."""
    first = parts[0]
    seen: dict[str | None, int] = {}
    for part in parts:
        if part.header != first.header and part.header and first.header:
            raise HeadersDiffer(
                f"Part {part.part} has the columns {', '.join(part.header)}, but part {first.part} has "
                f"{', '.join(first.header)}."
            )
        if part.records and seen.setdefault(part.crc32, part.part) != part.part:
            raise PartsOverlap(
                f"Parts {seen[part.crc32]} and {part.part} are the same file (CRC-32 {part.crc32})."
            )
    for group in _overlapping(parts):
        if _are_few(group):
            _compare(group, read_ids)


def ids_are_unique(parts: list[Part]) -> bool:
    """Return True if `check_parts`, which passed, has proved that no record is in the export twice."""
    known = all(part.ids is not None and part.ids.digest is not None for part in parts)
    return known and all(_are_few(group) for group in _overlapping(parts))


def _are_few(group: list[Part]) -> bool:
    return sum(int(part.records or 0) for part in group) <= _MOST_COMPARED


def _overlapping(parts: list[Part]) -> Iterator[list[Part]]:
    """Yield groups of parts whose ranges of ids overlap."""
    ranges = sorted(
        (part.ids.lowest, part.ids.highest, part.part, part)
        for part in parts
        if part.ids is not None and part.ids.lowest is not None and part.ids.highest is not None
    )
    group: list[Part] = []
    reached = 0
    for lowest, highest, _, part in ranges:
        if lowest > reached:
            if len(group) > 1:
                yield group
            group = []
        group.append(part)
        reached = max(reached, highest)
    if len(group) > 1:
        yield group


def _compare(group: list[Part], read_ids: Callable[[str], Iterable[str]]) -> None:
    by_part = [_sorted_ids(part, read_ids) for part in group]
    for (record_id, number), (following, other) in pairwise(heapq.merge(*by_part)):
        if record_id == following:
            raise PartsOverlap(
                f"Record {record_id} is in parts {min(number, other)} and {max(number, other)}."
            )


def _sorted_ids(part: Part, read_ids: Callable[[str], Iterable[str]]) -> Iterator[tuple[int, int]]:
    ids = array("Q", sorted(map(int, read_ids(str(part.key)))))
    return ((record_id, part.part) for record_id in ids)
