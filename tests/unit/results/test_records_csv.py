"""Records as a CSV like Bulk Read's, checked value by value with Python's csv module, and ids read back."""

import csv
import gzip
import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_export.errors import RecordWithoutId, ResultError
from crm_export.results.records_csv import columns, csv_chunks, read_ids
from crm_export.strict_json import ExactNumber

_TEXTS = st.text(
    alphabet=st.one_of(st.sampled_from('",\r\n\0;é😀 '), st.characters(codec="utf-8")), max_size=9
)


def rows_of(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))


def body_of(data: bytes, name: str) -> io.BytesIO:
    return io.BytesIO(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)


def ids_of(data: bytes, name: str):
    return read_ids(body_of(data, name), name)


def written(records, fields) -> list[list[str]]:
    return rows_of(b"".join(csv_chunks([records], fields)))


@given(st.lists(st.tuples(_TEXTS, _TEXTS), max_size=6))
def test_csv_keeps_any_string(cells):
    records = [{"id": str(n), "A": a, "B": b} for n, (a, b) in enumerate(cells)]
    expected = [["Id", "A", "B"], *([str(n), a, b] for n, (a, b) in enumerate(cells))]
    assert written(records, ["A", "B"]) == expected


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        ("", ""),
        ("2021-02-22T15:39:26+05:30", "2021-02-22T15:39:26+05:30"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (12345678901234567890, "12345678901234567890"),
        (1.5, "1.5"),
        (ExactNumber("1.50"), "1.50"),
        (ExactNumber("12345678901234567890.10"), "12345678901234567890.10"),
        ({"name": "Ann", "id": "4150868000000002175"}, "4150868000000002175"),
        ({"name": "Ann", "id": 4150868, "email": "a@x.com"}, "4150868"),
        ([], ""),
        (["Red", "Blue, dark", "é"], "Red,Blue, dark,é"),
        ({"amount": ExactNumber("1.50"), "é": [True, None]}, '{"amount":1.50,"é":[true,null]}'),
        ([{"id": "7", "Quantity": ExactNumber("2.0")}], '[{"id":"7","Quantity":2.0}]'),
        (
            [{"id": "7", "Owners": {"name": "Ann", "id": "9"}}],
            '[{"id":"7","Owners":{"name":"Ann","id":"9"}}]',
        ),
        ({"id": None, "name": "x"}, '{"id":null,"name":"x"}'),
        ([1, 2], "[1,2]"),
        (["a", None], '["a",null]'),
    ],
)
def test_value_is_written_as_bulk_read_writes_it(value, cell):
    assert written([{"id": "1", "F": value}], ["F"])[1] == ["1", cell]


def test_tags_are_written_as_their_names():
    tags = [{"name": "Hot", "id": "5", "color_code": None}, {"name": "A,B", "id": "6"}]
    assert written([{"id": "1", "Tag": tags, "Other": tags[:1]}], ["Tag", "Other"])[1] == [
        "1",
        "Hot,A,B",
        '[{"name":"Hot","id":"5","color_code":null}]',
    ]


def test_id_is_the_first_column_and_a_missing_field_is_an_empty_cell():
    assert columns(["Last_Name", "id", "Id", "Email"]) == ["Id", "Last_Name", "Email"]
    records = [{"id": 7, "Email": "a@x.com", "Not_Asked_For": 1}, {"id": "8"}]
    assert written(records, ["Last_Name", "id", "Email"])[1:] == [["7", "", "a@x.com"], ["8", "", ""]]


def test_lines_end_with_crlf_as_in_zohos_files():
    assert b"".join(csv_chunks([[{"id": "1", "A": "x"}], [], [{"id": "2", "A": 'a"b\n'}]], ["A"])) == (
        b'Id,A\r\n1,x\r\n2,"a""b\n"\r\n'
    )


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "=cmd|' /C calc'!A0", "\0", "'=1"])
def test_spreadsheet_formula_is_not_changed(text):
    """The file contains what Zoho contains; a spreadsheet must import all columns as text."""
    assert written([{"id": "1", "F": text}], ["F"])[1] == ["1", text]


@pytest.mark.parametrize("depth", [300, 5_000])
def test_nested_value_is_written_completely_or_refused(depth):
    value = None
    for _ in range(depth):
        value = [{"a": value}]
    try:
        cell = written([{"id": "1", "F": value}], ["F"])[1][1]
    except ResultError as error:
        assert depth > 300
        assert error.message == "Field F of a record from Zoho is nested too deeply to be written."
    else:
        assert cell == '[{"a":' * depth + "null" + "}]" * depth


def test_csv_without_records_has_a_header():
    assert written([], ["A"]) == [["Id", "A"]]


def test_lone_surrogate_becomes_the_replacement_character():
    records = [{"id": "1", "A": "x\ud800y", "B": "\ud83d\ude00"}]
    assert written(records, ["A", "B"])[1] == ["1", "x\ufffdy", "😀"]


@pytest.mark.parametrize("wrong", [{}, {"id": None}, {"id": ""}, {"id": True}, {"id": {"a": 1}}, {"id": 1.5}])
def test_record_without_a_valid_id_is_refused(wrong):
    with pytest.raises(RecordWithoutId, match="must be a string or an integer") as raised:
        written([{"id": "1"}, {**wrong, "A": "secret"}], ["A"])
    assert isinstance(raised.value, ResultError)
    assert "secret" not in raised.value.message


# --- read_ids ---


@pytest.mark.parametrize("name", ["part.csv", "part.csv.gz"])
def test_read_ids_finds_the_column_by_name(name):
    rows = [b'"a\nb",1', b"\xc3\xa4,2", b"", b"%s,3" % (b"x" * 200_000)]
    data = b"\xef\xbb\xbf" + b"\r\n".join([b"Name,id", *rows])
    assert list(ids_of(data, name)) == ["1", "2", "3"]


@pytest.mark.parametrize("name", ["part.csv", "part.csv.gz"])
def test_read_ids_reads_only_as_far_as_needed(name):
    rows = [
        b"%d,%s\r\n" % (number, random.Random(number).randbytes(500).hex().encode()) for number in range(2000)
    ]
    body = body_of(b"Id,Name\r\n" + b"".join(rows), name)
    ids = read_ids(body, name)
    assert [next(ids), next(ids)] == ["0", "1"]
    assert body.tell() <= 512 * 1024 < len(body.getbuffer())
    assert len(list(ids)) == 1998


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b"Name\r\nAnn\r\n"),
        ("b.csv", b'Id,Name\r\n1,"Ann'),
        ("c.csv", b""),
        ("d.csv", b"Name,Id\r\n1\r\n"),
        ("e.csv", b"Id\r\n\xff\r\n"),
        ("f.csv.gz", gzip.compress(b"Id\r\n1\r\n", mtime=0)[:-3]),
        ("g.csv.gz", gzip.compress(b"Id\r\n1\r\n", mtime=0)[:-8] + bytes(8)),
        ("h.csv.gz", b"Id\r\n1\r\n"),
        ("i.csv.gz", gzip.compress(b"Id\r\n1\r\n", mtime=0)[:12] + b"\xff" * 30),
    ],
)
def test_read_ids_of_an_unreadable_file_raises_with_its_name(name, data):
    with pytest.raises(ResultError, match=f"The ids of {name} cannot be read: "):
        list(read_ids(io.BytesIO(data), name))


def test_read_ids_detects_every_flipped_bit_of_a_gzip():
    whole = gzip.compress(b"Id\r\n" + b"".join(b"%d\r\n" % number**3 for number in range(100)))
    for offset in range(10, len(whole)):
        broken = bytearray(whole)
        broken[offset] ^= 0x55
        with pytest.raises(ResultError, match="The ids of"):
            list(read_ids(io.BytesIO(broken), "a.csv.gz"))
