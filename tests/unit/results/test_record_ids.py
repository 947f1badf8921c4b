"""RecordIds reads the ids of any CSV, whatever the chunks are, and refuses a record that comes twice."""

import csv
import io
import json
from array import array
from hashlib import blake2b

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crm_export.errors import RecordRepeated
from crm_export.results.counters import CsvCounter
from crm_export.results.csv_scanner import csv_counter
from crm_export.results.record_ids import MAX_IDS, PartIds, RecordIds
from tests.support.zips import cut

make_counter = CsvCounter


@pytest.fixture(scope="module", params=[CsvCounter, csv_counter], autouse=True)
def counter(request):
    """Runs each test with the counter in Python, and with this machine's fastest."""
    global make_counter  # noqa: PLW0603 (a fixture of a function cannot serve hypothesis)
    make_counter = request.param


FIRST = 554023000000568002
_NUMBERS = st.integers(1, 20) | st.integers(1, 10**19 - 1)
_TEXTS = st.text(alphabet='7a,"\n\r é', max_size=6) | st.sampled_from(
    ["\n7,", '\n"7",', '"\n7\n', "x" * 70, '5" pipe', "\n"]
)


def read(data: bytes, size: int) -> PartIds | None:
    ids = RecordIds()
    counter = make_counter(ids)
    for chunk in cut(data, size):
        counter.feed(chunk)
    return ids.finish(counter.finish()[0])


def written(header, rows, *, quoting=csv.QUOTE_MINIMAL, newline="\r\n") -> bytes:
    out = io.StringIO()
    csv.writer(out, quoting=quoting, lineterminator=newline).writerows([header, *rows])
    return out.getvalue().encode()


def file_of(numbers, *, quoting=csv.QUOTE_MINIMAL) -> bytes:
    rows = [[number, "Ann, A", 'two\n"lines"'] for number in numbers]
    return written(["Id", "Name", "Note"], rows, quoting=quoting)


def check_describes(ids: PartIds, numbers: list[int]) -> None:
    """Assert everything that follows from the set and the order of the numbers."""
    assert ids.count == len(numbers)
    assert (ids.first, ids.last) == ((numbers[0], numbers[-1]) if numbers else (None, None))
    assert (ids.lowest, ids.highest) == ((min(numbers), max(numbers)) if numbers else (None, None))
    ordered = b"".join(number.to_bytes(8) for number in sorted(numbers))
    assert ids.digest == blake2b(ordered, digest_size=16).hexdigest()


@settings(max_examples=300)
@given(
    numbers=st.lists(_NUMBERS, max_size=8, unique=True),
    cells=st.lists(st.lists(_TEXTS, min_size=3, max_size=3), min_size=8, max_size=8),
    column=st.integers(0, 2),
    name=st.sampled_from(["Id", "id", "ID"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    newline=st.sampled_from(["\n", "\r\n"]),
    size=st.integers(1, 9) | st.sampled_from([30, 1000, 1_000_000]),
    last_newline_missing=st.booleans(),
    bom=st.booleans(),
)
def test_record_ids_are_those_that_csv_reader_reads(
    *, numbers, cells, column, name, quoting, newline, size, last_newline_missing, bom
):
    header = ["A", "B", "C"]
    header.insert(column, name)
    rows = [[*row[:column], number, *row[column:]] for number, row in zip(numbers, cells, strict=False)]
    data = written(header, rows, quoting=quoting, newline=newline)
    if last_newline_missing:
        data = data.removesuffix(newline.encode())
    if bom:
        data = b"\xef\xbb\xbf" + data
    check_describes(read(data, max(size, len(data) // 2_000)), numbers)


@settings(max_examples=500)
@given(
    st.sampled_from(["Id,N\n1,a\n", "Id,N\n", 'Id\n"1"\n', "N,Id\n", '"N","Id"\r\n"a","1"\r\n', ""]),
    st.lists(st.sampled_from([*'7,"\n\r', "12", '"3"', '\n"4",', "\n5,", '6"', "0", "a"]), max_size=12).map(
        "".join
    ),
    st.integers(1, 9) | st.just(1000),
)
@example('Id\n"1"\n', '"\n"2"\n', 1000)
@example("Id,N\n1,a\n", '2,b"\n"3,c"\n', 1000)
def test_record_ids_of_any_text_are_those_of_csv_reader_or_not_checked(start, text, size):
    data = (start + text).encode()
    *rows, end = (row for row in csv.reader(io.StringIO(start + text + "\n<end>", newline="")) if row)
    if end != ["<end>"]:
        return  # it ends within quotes and is refused
    header = [name.lower() for name in rows[0]] if rows else []
    column = header.index("id") if "id" in header else None
    try:
        ids = read(data, size)
    except RecordRepeated as error:
        texts = [row[column] for row in rows[1:]]
        assert texts.count(error.message.split()[1]) > 1
        return
    if column is None:
        assert ids is None
        return
    assert ids is not None
    assert ids.count == len(rows) - 1
    if ids.digest is not None:
        check_describes(ids, [int(row[column]) for row in rows[1:]])


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("size", [100, 4096, 65536])
def test_record_ids_of_a_large_file_are_read(quoting, size):
    numbers = [FIRST + 3 * number for number in range(5_000)]
    check_describes(read(file_of(numbers, quoting=quoting), size), numbers)


def test_record_ids_of_a_file_with_bare_quotes_are_read():
    data = b"Id,Size\n" + b"".join(b'%d,5" x 4"\n' % number for number in range(1, 501))
    check_describes(read(data, 100), list(range(1, 501)))


def test_file_without_the_column_has_no_ids():
    assert read(b"Name,Record_Id\nA,1\n", 100) is None
    assert read(b"", 100) is None


@pytest.mark.parametrize(
    "data",
    [
        b"Id\n1\nabc\n",
        b"Id\n1\n0\n",
        b"Id\n1\n-2\n",
        b"Id,N\n1,a\n,b\n",
        b"Id\nzcrm_1\n2\n",
        b"N,Id\na,1\nb\n",
        b'N,Id\n"a","1"\n"b"\n',
        b'Id,N\n1,a\n"2",b\n',
        b"Id\n12345678901234567890\n",
    ],
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_ids_that_cannot_all_be_read_are_not_checked(data, size):
    ids = read(data, size)
    if ids.digest is not None:  # by csv.reader, which reads quoted and plain ids alike
        assert b'"2"' in data
    else:
        assert ids == PartIds(data.count(b"\n") - 1)


def test_ids_beyond_the_limit_are_not_checked_and_not_kept():
    numbers = range(FIRST, FIRST + MAX_IDS)
    data = b"Id\n" + b"".join(b"%d\n" % number for number in numbers)
    ids = read(data, 65536)
    assert (ids.count, ids.highest) == (MAX_IDS, FIRST + MAX_IDS - 1)
    collector = RecordIds()
    counter = make_counter(collector)
    counter.feed(data + b"1\n")
    assert not collector._ids
    assert collector.finish(counter.finish()[0]) == PartIds(MAX_IDS + 1)


def test_counter_in_python_does_not_look_for_an_id_after_a_record_of_more_than_16_mib():
    collector = RecordIds()
    counter = CsvCounter(collector)
    counter.feed(b'"N","Id"\n"')
    for _ in range(20):
        counter.feed(b"a\n" * 500_000)
    counter.feed(b'","1"\n')
    assert collector.finish(counter.finish()[0]) == PartIds(1)


# --- PartIds ---


@pytest.mark.parametrize("numbers", [[], [7], [9, 7, 8], list(range(FIRST, FIRST + 500))])
def test_part_ids_survive_json(numbers):
    ids = PartIds.of(array("Q", numbers))
    assert PartIds.from_dict(json.loads(json.dumps(ids.to_dict()))) == ids
    assert PartIds.from_dict(PartIds(3).to_dict()) == PartIds(3)


def test_ids_are_strings_in_json():
    ids = PartIds.of(array("Q", [FIRST + 1, FIRST + 2, FIRST])).to_dict()
    assert ids == {
        "count": 3,
        "first": "554023000000568003",
        "last": "554023000000568002",
        "lowest": "554023000000568002",
        "highest": "554023000000568004",
        "digest": ids["digest"],
    }


def test_digest_does_not_depend_on_the_order():
    assert PartIds.of(array("Q", [1, 2, 3])).digest == PartIds.of(array("Q", [3, 1, 2])).digest
    assert PartIds.of(array("Q", [1, 2, 3])).digest != PartIds.of(array("Q", [1, 2, 4])).digest


@pytest.mark.parametrize("numbers", [[5, 5], [5, 4, 5], [9, 1, 2, 9, 3]])
def test_record_that_is_in_a_part_twice_is_refused(numbers):
    with pytest.raises(RecordRepeated, match=f"Record {max(numbers)} is in the result more than once"):
        read(file_of(numbers), 100)
