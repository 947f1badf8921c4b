"""Counting records while they pass by: the same as Python's csv.reader, however the bytes are cut."""

import csv
import io
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crm_export.errors import CorruptZip
from crm_export.results.counters import CsvCounter
from tests.support.zips import cut

_CELLS = st.text(alphabet='a,"\n\r é😀', max_size=6)
_ROWS = st.lists(st.lists(_CELLS, min_size=1, max_size=3), max_size=8)


def count(data: bytes, size: int):
    counter = CsvCounter()
    for chunk in cut(data, size):
        counter.feed(chunk)
    return counter.finish()


def written(rows, newline) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=newline)
    writer.writerow(["Id", "Last_Name"])
    writer.writerows([str(number), *row] for number, row in enumerate(rows))
    return out.getvalue().encode()


@given(_ROWS, st.sampled_from(["\r\n", "\n"]), st.integers(1, 9), st.booleans())
@example([["\n"], ['"']], "\n", 1, False)
def test_counts_what_a_csv_writer_wrote(rows, newline, size, last_newline_missing):
    data = written(rows, newline)
    if last_newline_missing:
        data = data.removesuffix(newline.encode())
    assert count(data, size) == (len(rows), ["Id", "Last_Name"])


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("data", "records"),
    [
        (b"", 0),
        (b"Id\n", 0),
        (b"Id", 0),
        (b"Id\r\n1\r\n\r\n\r\n", 1),
        (b'Id\n"1"\n"2"\n', 2),
        (b'Id\n"1\n\n1"\n"2"', 2),
        (b'Id,N\n1,"a ""quoted""\nname"\n2,\n', 2),
    ],
)
def test_counts_records_not_lines(data, records, size):
    assert count(data, size)[0] == records


@pytest.mark.parametrize(
    ("line", "names"),
    [
        (b"Id,First_Name\n", ["Id", "First_Name"]),
        (b'\xef\xbb\xbf"Id","First_Name"\r\n', ["Id", "First_Name"]),
        (b"First_Name,id", ["First_Name", "id"]),
        (b"", []),
    ],
)
def test_reads_the_header(line, names):
    assert count(line, 4)[1] == names


# What a field of RFC 4180 may be, quoted or not; and what it may not.
_PLAIN = st.text(alphabet="a é\0", max_size=5).map(lambda text: text.encode())
_QUOTED = st.text(alphabet='a,"\n\r\0é', max_size=5).map(
    lambda text: b'"' + text.replace('"', '""').encode() + b'"'
)


@settings(deadline=None)
@given(
    st.lists(st.lists(_PLAIN | _QUOTED, min_size=1, max_size=3), max_size=6),
    st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\r\n\r\n"]),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.integers(1, 9),
)
def test_counts_and_names_as_csv_reader_does_whatever_rfc_4180_allows(rows, newline, bom, size):
    rows = [[b"Id", *rows[0]], *rows[1:]] if rows else []
    data = bom + newline.join(b",".join(row) for row in rows)
    text = io.StringIO(data.decode("utf-8-sig"), newline="")
    found = [row for row in csv.reader(text, strict=True) if row]
    assert count(data, size) == (max(len(found) - 1, 0), found[0] if found else [])


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from([*b'a,"\n\r\0\xef\xbb\xbf\xff'])).map(bytes), st.integers(1, 9))
@example(b'Id\n1,5" pipe\n2,x\n', 3)
@example(b'Id\n1,5" pipe\n2,5" pipe\n', 3)
@example(b"Id\r1\r2", 3)
def test_any_bytes_are_counted_the_same_in_any_chunks_or_refused(data, size):
    """A quote within a field that is not quoted is none of RFC 4180: it may hide a record's end, so that
    the count differs from Zoho's, and is told. It never adds a record."""
    try:
        found = count(data, len(data) or 1)
    except CorruptZip:
        with pytest.raises(CorruptZip):
            count(data, size)
        return
    assert count(data, size) == found
    assert found[0] <= data.count(b"\n")


def test_a_field_of_100_mb_is_held_by_nobody():
    counter = CsvCounter()
    counter.feed(b'Id,N\n1,"')
    for _ in range(400):
        counter.feed(b"a,\n" * 83_333)
    held = sum(len(value) for value in vars(counter).values() if isinstance(value, bytes | bytearray))
    assert held < 10
    counter.feed(b'"\n2,x\n')
    assert counter.finish() == (2, ["Id", "N"])


def test_a_header_may_have_a_newline_in_a_name():
    assert count(b'"Id","a\nb"\n1,2\n', 4) == (1, ["Id", "a\nb"])


def test_a_header_is_found_in_linear_time():
    counter = CsvCounter()
    began = time.process_time()
    for _ in range(200_000):
        counter.feed(b'"\n')
    counter.feed(b"\n")
    counter.finish()
    assert time.process_time() - began < 10


def test_an_unterminated_quote_is_an_error():
    with pytest.raises(CorruptZip, match="quoted field"):
        count(b'Id\n"1\n2\n', 3)


def test_a_header_without_end_is_an_error_before_it_fills_the_memory():
    counter = CsvCounter()
    with pytest.raises(CorruptZip, match="header"):
        for _ in range(100):
            counter.feed(b"a" * 100_000)


def test_a_header_that_is_not_utf_8_is_an_error():
    with pytest.raises(CorruptZip, match="header"):
        count(b"Id,\xff\xfe\n1,2\n", 100)


def test_the_header_is_no_record_while_it_is_counted():
    counter, seen = CsvCounter(), []
    for chunk in (b"Id,", b"Name\r\n", b'1,"A\r\n', b'B"\r\n2,', b"C"):
        counter.feed(chunk)
        seen.append(counter.records)
    assert seen == [0, 0, 0, 1, 1]
    assert counter.finish()[0] == 2
