"""Records of the records API as Bulk Read's CSV: read back by Python's csv module, value by value."""

import csv
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_export.errors import RecordWithoutId, ResultError
from crm_export.results.records_csv import columns, csv_chunks

_TEXTS = st.text(
    alphabet=st.one_of(st.sampled_from('",\r\n\0;é😀 '), st.characters(codec="utf-8")), max_size=9
)


def rows_of(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))


def written(records, fields) -> list[list[str]]:
    return rows_of(b"".join(csv_chunks([records], fields)))


@given(st.lists(st.tuples(_TEXTS, _TEXTS), max_size=6))
def test_any_text_is_read_back_as_it_was(cells):
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
        (Decimal("1.50"), "1.50"),
        (Decimal("12345678901234567890.10"), "12345678901234567890.10"),
        ({"name": "Ann", "id": "4150868000000002175"}, "4150868000000002175"),
        ({"name": "Ann", "id": 4150868, "email": "a@x.com"}, "4150868"),
        ([], ""),
        (["Red", "Blue, dark", "é"], "Red,Blue, dark,é"),
        ({"amount": Decimal("1.50"), "é": [True, None]}, '{"amount":1.50,"é":[true,null]}'),
        ([{"id": "7", "Quantity": Decimal("2.0")}], '[{"id":"7","Quantity":2.0}]'),
        (
            [{"id": "7", "Owners": {"name": "Ann", "id": "9"}}],
            '[{"id":"7","Owners":{"name":"Ann","id":"9"}}]',
        ),
        ({"id": None, "name": "x"}, '{"id":null,"name":"x"}'),
        ([1, 2], "[1,2]"),
        (["a", None], '["a",null]'),
    ],
)
def test_a_value_is_written_as_bulk_read_does(value, cell):
    assert written([{"id": "1", "F": value}], ["F"])[1] == ["1", cell]


def test_tags_are_their_names():
    tags = [{"name": "Hot", "id": "5", "color_code": None}, {"name": "A,B", "id": "6"}]
    assert written([{"id": "1", "Tag": tags, "Other": tags[:1]}], ["Tag", "Other"])[1] == [
        "1",
        "Hot,A,B",
        '[{"name":"Hot","id":"5","color_code":null}]',
    ]


def test_the_id_comes_first_and_once_and_what_a_record_lacks_is_empty():
    assert columns(["Last_Name", "id", "Id", "Email"]) == ["Id", "Last_Name", "Email"]
    records = [{"id": 7, "Email": "a@x.com", "Not_Asked_For": 1}, {"id": "8"}]
    assert written(records, ["Last_Name", "id", "Email"])[1:] == [["7", "", "a@x.com"], ["8", "", ""]]


def test_lines_end_as_rfc_4180_and_zohos_own_do():
    assert b"".join(csv_chunks([[{"id": "1", "A": "x"}], [], [{"id": "2", "A": 'a"b\n'}]], ["A"])) == (
        b'Id,A\r\n1,x\r\n2,"a""b\n"\r\n'
    )


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "=cmd|' /C calc'!A0", "\0", "'=1"])
def test_what_a_spreadsheet_would_run_is_left_as_it_is(text):
    """The file holds what Zoho holds; a spreadsheet has to be told that all its columns are text."""
    assert written([{"id": "1", "F": text}], ["F"])[1] == ["1", text]


@pytest.mark.parametrize("depth", [300, 5_000])
def test_a_value_is_written_whole_or_its_depth_is_told(depth):
    value = None
    for _ in range(depth):
        value = [{"a": value}]
    try:
        cell = written([{"id": "1", "F": value}], ["F"])[1][1]
    except ResultError as error:
        assert "Field F" in error.message
        assert depth > 300
    else:
        assert cell == '[{"a":' * depth + "null" + "}]" * depth


def test_without_records_the_header_is_there():
    assert written([], ["A"]) == [["Id", "A"]]


def test_what_utf_8_cannot_write_becomes_the_replacement_character():
    records = [{"id": "1", "A": "x\ud800y", "B": "\ud83d\ude00"}]
    assert written(records, ["A", "B"])[1] == ["1", "x\ufffdy", "😀"]


@pytest.mark.parametrize("found", [{}, {"id": None}, {"id": ""}, {"id": True}, {"id": {"a": 1}}, {"id": 1.5}])
def test_a_record_without_an_id_is_an_error(found):
    with pytest.raises(RecordWithoutId, match="must be a text or a whole number") as raised:
        written([{"id": "1"}, {**found, "A": "secret"}], ["A"])
    assert isinstance(raised.value, ResultError)
    assert "secret" not in raised.value.message
