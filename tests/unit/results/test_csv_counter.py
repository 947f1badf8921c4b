"""CsvCounter counts records and reads the header as Python's csv.reader does, whatever the chunks are."""

import csv
import io
import platform
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crm_export.errors import CorruptZip
from crm_export.results.counters import CsvCounter
from crm_export.results.csv_scanner import NativeCsvCounter, csv_counter
from tests.support.zips import cut

make_counter = CsvCounter


@pytest.fixture(scope="module", params=[CsvCounter, csv_counter], autouse=True)
def counter(request):
    """Runs each test with the counter in Python, and with this machine's fastest."""
    global make_counter  # noqa: PLW0603 (a fixture of a function cannot serve hypothesis)
    make_counter = request.param


_CELLS = st.text(alphabet='a,"\n\r é😀', max_size=6)
_ROWS = st.lists(st.lists(_CELLS, min_size=1, max_size=3), max_size=8)


def count(data: bytes, size: int):
    counter = make_counter()
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
def test_csv_counter_counts_the_records_that_csv_writer_wrote(rows, newline, size, last_newline_missing):
    data = written(rows, newline)
    if last_newline_missing:
        data = data.removesuffix(newline.encode())
    assert count(data, size) == (len(rows), ("Id", "Last_Name"))


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
def test_csv_counter_counts_records_not_lines(data, records, size):
    assert count(data, size)[0] == records


@pytest.mark.parametrize(
    ("line", "names"),
    [
        (b"Id,First_Name\n", ("Id", "First_Name")),
        (b'\xef\xbb\xbf"Id","First_Name"\r\n', ("Id", "First_Name")),
        (b"First_Name,id", ("First_Name", "id")),
        (b"", ()),
    ],
)
def test_csv_counter_reads_the_header(line, names):
    assert count(line, 4)[1] == names


def read_by_csv_reader(data: bytes):
    """Return the records and the header as csv.reader reads them, or None if the data ends within quotes."""
    text = io.StringIO(data.decode("utf-8-sig") + "\n<end>", newline="")
    *rows, end = (tuple(row) for row in csv.reader(text) if row)
    if end != ("<end>",):
        return None
    return max(len(rows) - 1, 0), rows[0] if rows else ()


# Few and many characters between quotes: CsvCounter looks for bare quotes in two ways.
_SHORT = st.text(alphabet='a,"\n\r\0é', max_size=12)
_LONG = st.lists(st.sampled_from([*'a,"\n\r', "x" * 40, '"b\n"', '"",', ',"c"', "\r\n"]), max_size=12).map(
    "".join
)


@settings(max_examples=500)
@given(
    st.sampled_from(["", "\ufeff"]),
    st.sampled_from(["", "Id,Name\n", '"Id","Name"\r\n']),
    _SHORT | _LONG,
    st.integers(1, 9) | st.just(1000),
)
@example("", "", 'Id\n1,5" pipe\n2,x\n', 3)
@example("", "", 'Id\n1,5" pipe\n2,5" pipe\n', 3)
@example("", "", 'Id,N\n1,ab"c\n2,"d"e"f\n",3\n', 1)
@example("", "", 'Id\n"a"b"c\n2\n', 5)
@example("", 'Id,"a\nb"c"\n', "1,2\n", 4)
@example("", "", "Id\r1\r2", 3)
@example("\ufeff", "", '"Id"\n1\n', 1)
@example("", "", 'Id,N\n1,"a""\n', 1000)
def test_csv_counter_reads_any_text_as_csv_reader_does(bom, header, text, size):
    data = (bom + header + text).encode()
    expected = read_by_csv_reader(data)
    if expected is None:
        with pytest.raises(CorruptZip, match="ends within a quoted field"):
            count(data, size)
    else:
        assert count(data, size) == expected


def test_csv_counter_with_a_bare_quote_in_each_record_of_a_large_file_counts_them_all():
    data = b"Id,Size,Note\n" + b"".join(b'%d,%d" x 4",plain\n' % (number, number) for number in range(20_000))
    for size in (1_000, 100_000, len(data)):
        assert count(data, size) == (20_000, ("Id", "Size", "Note"))


@given(st.lists(st.sampled_from([*b'a,"\n\r\0\xef\xbb\xbf\xff'])).map(bytes), st.integers(1, 9))
def test_csv_counter_counts_any_bytes_independently_of_chunks_or_refuses_them(data, size):
    try:
        expected = count(data, len(data) or 1)
    except CorruptZip:
        with pytest.raises(CorruptZip):
            count(data, size)
        return
    assert count(data, size) == expected


def test_csv_counter_with_a_large_field_keeps_no_bytes_of_it():
    counter = make_counter()
    counter.feed(b'Id,N\n1,"')
    for _ in range(100):
        counter.feed(b"a,\n" * 10_000)
    held = sum(len(value) for value in vars(counter).values() if isinstance(value, bytes | bytearray))
    assert held < 10
    counter.feed(b'"\n2,x\n')
    assert counter.finish() == (2, ("Id", "N"))


def test_csv_counter_reads_a_header_with_a_newline_in_a_name():
    assert count(b'"Id","a\nb"\n1,2\n', 4) == (1, ("Id", "a\nb"))


def test_csv_counter_finds_the_header_in_linear_time():
    counter = make_counter()
    start = time.process_time()
    for _ in range(50_000):
        counter.feed(b'"\n')
    counter.feed(b"\n")
    counter.finish()
    assert time.process_time() - start < 2


def test_csv_counter_refuses_an_unterminated_quote():
    with pytest.raises(CorruptZip, match="quoted field"):
        count(b'Id\n"1\n2\n', 3)


def test_csv_counter_refuses_a_header_longer_than_one_mib():
    counter = make_counter()
    with pytest.raises(CorruptZip, match="no complete header line in its first 1048576 bytes"):
        for _ in range(11):
            counter.feed(b"a" * 100_000)


def test_csv_counter_refuses_a_header_that_is_not_utf_8():
    with pytest.raises(CorruptZip, match="header of the CSV cannot be read"):
        count(b"Id,\xff\xfe\n1,2\n", 100)


def test_csv_counter_records_excludes_the_header_and_the_open_record():
    counter, seen = make_counter(), []
    for chunk in (b"Id,", b"Name\r\n", b'1,"A\r\n', b'B"\r\n2,', b"C"):
        counter.feed(chunk)
        seen.append(counter.records)
    assert seen == [0, 0, 0, 1, 1]
    assert counter.finish()[0] == 2


@pytest.mark.skipif(platform.system() != "Linux", reason="its library is in the repository for Linux only")
def test_fastest_counter_on_linux_is_the_native_one():
    assert isinstance(csv_counter(), NativeCsvCounter)
