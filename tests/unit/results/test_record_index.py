"""The index of a part: both counters find the same hashes, and rows are read back as written, or refused."""

import csv
import io
from array import array
from itertools import chain
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crm_export.errors import CorruptZip, IndexCorrupt, ResultError
from crm_export.results.counters import CsvCounter
from crm_export.results.csv_scanner import csv_counter
from crm_export.results.record_ids import MAX_IDS, RecordIds
from crm_export.results.record_index import (
    RecordHashes,
    hash_of,
    read_index,
    sorted_rows,
    write_index,
)
from tests.support.zips import cut

COUNTERS = [CsvCounter, csv_counter]
FIRST = 554023000000568002


def hashes_of(make_counter, data: bytes, size: int) -> list[int]:
    ids, hashes = RecordIds(), RecordHashes()
    counter = make_counter(ids, hashes)
    for chunk in cut(data, size):
        counter.feed(chunk)
    counter.finish()
    return list(hashes.finish())


def records_of(data: bytes) -> list[bytes]:
    """Return the raw bytes of the records as csv.reader reads them: a line is taken with those before it."""
    records, pending = [], b""
    for line in data.decode("latin-1").splitlines(keepends=True):
        pending += line.encode("latin-1")
        rows = list(csv.reader(io.StringIO(pending.decode("latin-1") + "\0", newline=""), strict=False))
        if rows and rows[-1] == ["\0"]:
            records.append(pending.rstrip(b"\r\n"))
            pending = b""
    return [record for record in [*records, pending] if record][1:]


# --- The hash ---


@pytest.mark.parametrize(
    ("record", "expected"), [(b"", 0), (b"1", 0xC1990258EEC9C3AD), (b"%d,Ann" % FIRST, 0xCAD0BA959016EA3A)]
)
def test_hash_does_not_change_between_versions(record, expected):
    assert hash_of(record) == expected


@pytest.mark.parametrize("make_counter", COUNTERS)
@pytest.mark.parametrize("size", [1, 7, 65536])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_hash_is_that_of_the_bytes_between_line_ends(make_counter, size, newline):
    records = [b"1,a", b'2,"x\n""y""\r\n,"', b"3," + b"z" * 200_000, b"4,", b'"5",5" pipe', b'6,"a"b"c']
    data = b"\xef\xbb\xbfId,N" + newline + newline.join([*records[:2], b"", *records[2:]])
    expected = [hash_of(record) for record in records]
    assert hashes_of(make_counter, data, max(size, len(data) // 5000)) == expected
    assert hashes_of(make_counter, data + newline, max(size, 7)) == expected


_TEXT = st.lists(
    st.sampled_from([*'7a,"\n\r', "12", '"b\n"', '"",', ',"c"', "\r\n", "x" * 9, "é"]), max_size=20
).map("".join)


@settings(max_examples=200)
@given(st.sampled_from(["Id,N\n", '"Id","N"\r\n']), _TEXT, st.sampled_from([1, 7, 65536]))
@example("Id,N\n", '1,"a""\n', 1)
@example("Id,N\n", '1,5" pipe\n2,"\n"\n', 1)
def test_both_counters_find_the_same_hashes_in_any_text(header, text, size):
    data = (header + text).encode()
    try:
        expected = hashes_of(CsvCounter, data, size)
    except CorruptZip:
        with pytest.raises(CorruptZip):
            hashes_of(csv_counter, data, size)
        return
    assert hashes_of(csv_counter, data, size) == expected
    assert expected == [hash_of(record) for record in records_of(data)]


@given(st.binary(min_size=1, max_size=40), st.data())
def test_any_changed_byte_changes_the_hash(record, data):
    at = data.draw(st.integers(0, len(record) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != record[at]))
    assert hash_of(record) != hash_of(record[:at] + bytes([other]) + record[at + 1 :])


def test_similar_records_have_different_hashes():
    numbers = range(50_000)
    zeros = [bytes(size) for size in range(99)]
    records = chain((b"%d,a" % n for n in numbers), (b"%d," % n for n in numbers), zeros)
    assert len({hash_of(record) for record in records}) == 100_099
    low_bits = [0] * 256
    for number in numbers:
        low_bits[hash_of(b"%d" % number) & 255] += 1
    assert 120 < min(low_bits) < max(low_bits) < 280


def test_file_with_too_many_records_keeps_no_more_hashes_than_a_part_may_have():
    assert len(hashes_of(csv_counter, b"Id\n" + b"1\n" * (MAX_IDS + 9), 65536)) == MAX_IDS


@pytest.mark.parametrize("make_counter", COUNTERS)
def test_counter_that_is_not_asked_finds_no_hashes(make_counter):
    ids = RecordIds()
    counter = make_counter(ids)
    counter.feed(b"Id\n1\n2\n")
    assert counter.finish() == (2, ("Id",))


# --- The index ---


def rows_of(count: int) -> list[tuple[int, int]]:
    return [(FIRST + 3 * number, number * 0x9E3779B97F4A7C15 % 2**64) for number in range(count)]


def written(rows) -> bytes:
    return b"".join(write_index((row[0] for row in rows), (row[1] for row in rows)))


@pytest.mark.parametrize("count", [0, 1, 16_384, 16_385, 40_000])
@pytest.mark.parametrize("size", [7, 65536, 10**9])
def test_rows_are_read_back_from_any_chunks(count, size):
    rows = rows_of(count)
    assert list(read_index(cut(written(rows), size))) == rows


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), max_size=30))
def test_rows_of_any_numbers_are_read_back(rows):
    assert list(read_index([written(rows)])) == rows


def test_rows_are_read_before_the_index_has_ended():
    rows, data = rows_of(40_000), written(rows_of(40_000))
    reader = read_index(chain(cut(data, 1000), iter([])))
    assert next(reader) == rows[0]


def test_index_of_a_full_part_takes_less_than_four_megabytes():
    hashes = array("Q", Random(1).randbytes(8 * 200_000))
    assert sum(map(len, write_index(range(FIRST, FIRST + 600_000, 3), hashes))) < 2_300_000


@pytest.mark.parametrize("offset", [*range(60), -1, -2, -9, -20])
def test_index_that_is_truncated_is_refused(offset):
    with pytest.raises(IndexCorrupt):
        list(read_index([written(rows_of(100))[:offset]]))


def test_index_with_any_changed_byte_is_refused():
    data = written(rows_of(20))
    for at in range(len(data)):
        broken = bytearray(data)
        broken[at] ^= 0x41
        with pytest.raises(IndexCorrupt):
            list(read_index([bytes(broken)]))


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b", b"Id,Name\n1,a\n" * 9, written([(1, 2)]) + b"x"])
def test_what_is_no_index_is_refused(data):
    with pytest.raises(ResultError):
        list(read_index([data]))


def test_rows_are_sorted_by_id():
    ids, hashes = sorted_rows(array("Q", [3, 1, 2]), array("Q", [30, 10, 20]))
    assert (list(ids), list(hashes)) == ([1, 2, 3], [10, 20, 30])
