"""Counting records while they pass by: the same as Python's csv.reader, however the bytes are cut."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crm_export.errors import CorruptZip
from crm_export.results.count import CsvCounter
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
