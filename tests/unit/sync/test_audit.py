"""The audit finds what a dictionary of all records finds, in streams of any length."""

import tracemalloc
from datetime import UTC, datetime, timedelta
from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.support.hypothesis_profiles  # noqa: F401
from crm_export.sync.audit import (
    ChangesIndex,
    Difference,
    compare,
    effective_deletions,
    late,
    merge_rows,
)

_IDS = st.integers(1, 30)
_ROWS = st.dictionaries(_IDS, st.integers(1, 3), max_size=12)
_RUNS = st.lists(st.tuples(_ROWS, st.sets(_IDS, max_size=6)), max_size=4)


def rows_of(records):
    return iter(sorted(records.items()))


def found(old, runs, new, *, same_fields=True):
    changes = [ChangesIndex(rows_of(rows), iter(sorted(deleted))) for rows, deleted in runs]
    old_rows = None if old is None else rows_of(old)
    return list(compare(old_rows, changes, rows_of(new), same_fields=same_fields))


def expected(old, runs, new):
    """Do the same with all records at once."""
    chain = dict(old)
    for rows, deleted in runs:
        chain.update(rows)
        chain = {record_id: value for record_id, value in chain.items() if record_id not in deleted}
    differences = [
        Difference(record_id, old.get(record_id), chain.get(record_id), new.get(record_id))
        for record_id in sorted({*old, *chain, *new})
    ]
    return [row for row in differences if row.old != row.new or row.chain != row.new]


@given(_ROWS, _RUNS, _ROWS)
def test_compare_finds_what_differs_between_old_chain_and_new(old, runs, new):
    assert found(old, runs, new) == expected(old, runs, new)


@given(_ROWS, _RUNS, _ROWS)
def test_compare_without_the_same_fields_finds_only_which_records_exist(old, runs, new):
    without = [dict.fromkeys(records, 0) for records in (old, new)]
    bare = [(dict.fromkeys(rows, 0), deleted) for rows, deleted in runs]
    assert found(old, runs, new, same_fields=False) == expected(without[0], bare, without[1])


def test_compare_without_a_full_export_before_starts_with_nothing():
    assert found(None, [({1: 7}, set())], {1: 7, 2: 8}) == [
        Difference(1, None, 7, 7),
        Difference(2, None, None, 8),
    ]


@pytest.mark.parametrize(
    ("old", "runs", "new", "op", "drift"),
    [
        ({}, [], {1: 7}, "I", "I"),
        ({1: 7}, [], {1: 8}, "U", "U"),
        ({1: 7}, [], {}, "D", "D"),
        ({}, [({1: 7}, set())], {1: 7}, "I", None),
        ({1: 7}, [({1: 8}, set())], {1: 8}, "U", None),
        ({1: 7}, [({}, {1})], {}, "D", None),
        ({1: 7}, [({1: 8}, set())], {1: 7}, None, "U"),
        ({1: 7}, [({}, {1})], {1: 7}, None, "I"),
        ({}, [({1: 7}, set())], {}, None, "D"),
        ({1: 7}, [({}, {1}), ({1: 8}, set())], {1: 8}, "U", None),
        ({1: 7}, [({1: 8}, {1})], {}, "D", None),
    ],
)
def test_difference_names_what_happened_and_what_the_chain_does_not_show(old, runs, new, op, drift):
    (difference,) = found(old, runs, new)
    assert (difference.op, difference.drift) == (op, drift)


@pytest.mark.parametrize("gap", [1, 4096, 5000])
def test_streams_longer_than_a_block_are_compared(gap):
    old = {number: number for number in range(1, 20_000)}
    new = {**old, 4096: 0, 19_999: 5, **dict.fromkeys(range(30000, 30000 + gap), 1)}
    del new[8192]
    run = ({9000: 1}, {10_000})
    assert found(old, [run], new) == expected(old, [run], new)


def test_compare_keeps_a_few_blocks_in_memory():
    many = 40_000
    tracemalloc.start()
    try:
        differences = compare(zip(range(many), count()), [], zip(range(many), count(1)), same_fields=True)
        assert sum(1 for _ in differences) == many
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_compare_reads_no_further_than_it_has_to():
    old, new = zip(count(1), count()), zip(count(1), count(1))
    assert len(list(islice(compare(old, [], new, same_fields=True), 5))) == 5


@given(st.lists(_ROWS, max_size=5))
def test_parts_are_merged_by_id(parts):
    assert list(merge_rows([rows_of(part) for part in parts])) == sorted(
        row for part in parts for row in part.items()
    )


# --- Late rows ---


@given(_ROWS, _ROWS)
def test_late_rows_are_those_that_the_previous_run_has_not_or_with_another_hash(candidates, previous):
    assert late(rows_of(candidates), rows_of(previous)) == len(candidates.items() - previous.items())


def test_late_reads_the_previous_run_only_as_far_as_the_candidates_go():
    previous = zip(count(1), count())
    assert late(iter([(2, 1), (3, 9)]), previous) == 1
    assert next(previous)[0] < 6


# --- Deletions ---

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER, EARLIER = NOON + timedelta(seconds=1), NOON - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("modified", "is_removed"),
    [
        ({}, True),
        ({1: EARLIER}, True),
        ({1: NOON}, True),
        ({1: LATER}, False),
        ({1: None}, False),
        ({1: datetime.fromisoformat("2026-11-22T17:30:01+05:30")}, False),
        ({1: datetime.fromisoformat("2026-11-22T17:29:59+05:30")}, True),
        ({2: LATER}, True),
    ],
)
def test_deletion_removes_a_record_unless_it_was_modified_after_it(modified, is_removed):
    assert effective_deletions({1: NOON}, modified) == [1] * is_removed


def test_effective_deletions_are_sorted():
    assert effective_deletions({3: NOON, 20: NOON, 1: NOON}, {20: LATER}) == [1, 3]
