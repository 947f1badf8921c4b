"""Whether the parts of an export fit together: the same columns, no file and no record twice."""

from array import array
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_export.errors import HeadersDiffer, PartsOverlap
from crm_export.exports import fit
from crm_export.exports.fit import check_parts, ids_are_unique
from crm_export.exports.model import Part
from crm_export.results.record_ids import PartIds


def part(number, ids, **changes):
    """Return a stored part with these ids."""
    values = {
        "records": len(ids),
        "crc32": f"{number:08x}",
        "header": ("Id",),
        "key": str(number),
        "ids": PartIds.of(array("Q", ids)),
    }
    return Part("x", number, datetime(2026, 11, 22, tzinfo=UTC), **values | changes)


def parts_of(*groups):
    return [part(number, ids) for number, ids in enumerate(groups, 1)]


class Objects:
    """The stored objects of parts. `read` lists the keys that were read."""

    def __init__(self, *groups):
        self._groups = groups
        self.read = []

    def __call__(self, key):
        self.read.append(key)
        return map(str, self._groups[int(key) - 1])


def test_parts_with_separate_ranges_fit_and_nothing_is_read_back():
    groups = [5, 6], [1, 3, 2], [], [10]
    objects = Objects(*groups)
    check_parts(parts_of(*groups), objects)
    assert (objects.read, ids_are_unique(parts_of(*groups))) == ([], True)


def test_only_parts_whose_ranges_overlap_are_read_back():
    groups = [1, 5], [20, 21], [9, 3], [8, 7], [30, 31]
    objects = Objects(*groups)
    check_parts(parts_of(*groups), objects)
    assert (sorted(objects.read), ids_are_unique(parts_of(*groups))) == (["1", "3", "4"], True)


@pytest.mark.parametrize(
    "groups",
    [([1, 2], [3], [7, 2]), ([1, 9], [9, 12]), ([1, 9], [4], [0, 4]), ([3, 9], [3, 4])],
    ids=["within", "at the ends", "in the middle", "at the beginning"],
)
def test_record_in_two_parts_is_found(groups):
    common = next(i for i in range(10) if sum(i in ids for ids in groups) == 2)
    first, second = (number for number, ids in enumerate(groups, 1) if common in ids)
    with pytest.raises(PartsOverlap, match=f"Record {common} is in parts {first} and {second}"):
        check_parts(parts_of(*groups), Objects(*groups))


@given(st.lists(st.lists(st.integers(1, 40), max_size=6, unique=True), min_size=1, max_size=5))
def test_parts_fit_exactly_if_no_record_is_in_two(groups):
    everything = [record_id for ids in groups for record_id in ids]
    try:
        check_parts(parts_of(*groups), Objects(*groups))
    except PartsOverlap:
        assert len(everything) > len(set(everything))
    else:
        assert len(everything) == len(set(everything))
        assert ids_are_unique(parts_of(*groups))


@pytest.mark.parametrize("ids", [None, PartIds(2)], ids=["no column Id", "not checked"])
def test_ids_that_are_not_known_are_not_proved_to_be_unique(ids):
    parts = [part(1, [1, 2]), replace(part(2, [3, 4]), ids=ids)]
    check_parts(parts, Objects([1, 2], [3, 4]))
    assert not ids_are_unique(parts)


@pytest.mark.parametrize(("records", "is_compared"), [(2_500_000, True), (2_500_001, False)])
def test_beyond_five_million_ids_overlapping_ranges_are_not_compared(records, is_compared):
    parts = [part(1, [1, 5], records=2_500_000), part(2, [3, 4], records=records)]
    objects = Objects([1, 5], [3, 4])
    check_parts(parts, objects)
    assert (bool(objects.read), ids_are_unique(parts)) == (is_compared, is_compared)
    assert fit._MOST_COMPARED == 5_000_000


def test_same_file_twice_is_found_without_ids():
    parts = [replace(part(number, [1, 2]), ids=None, crc32="0000000a") for number in (1, 2)]
    with pytest.raises(PartsOverlap, match=r"Parts 1 and 2 are the same file \(CRC-32 0000000a\)"):
        check_parts(parts, Objects())


def test_other_columns_are_found():
    with pytest.raises(HeadersDiffer, match="Part 2 has the columns Id, B, but part 1 has Id, A"):
        check_parts([part(1, [1], header=("Id", "A")), part(2, [2], header=("Id", "B"))], Objects())
