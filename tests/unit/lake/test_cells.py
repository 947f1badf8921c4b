"""Values of each type, written as Parquet and read back with DuckDB, which shares no code with the writer."""

import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal

import duckdb
import pytest
from arro3.io import read_parquet
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_export.lake.csv_batches import CsvRefused, arrow_batches, python_batches
from crm_export.lake.parquet import Layout, convert
from crm_export.lake.schema import columns_of

LAYOUT = Layout(batch_rows=3, group_rows=7, page_bytes=65536)
FIT = {
    "text": {
        'say "hi", ok': 'say "hi", ok',
        "line 1\nline 2\r\nline 3": "line 1\nline 2\r\nline 3",
        "a lone\rCR": "a lone\rCR",
        "😀 Zürich 東京 \x00 \u2028": "😀 Zürich 東京 \x00 \u2028",
        " spaces ": " spaces ",
        "NaN": "NaN",
        "null": "null",
        "0012": "0012",
        "=1+1": "=1+1",
    },
    "id": {"5725767000000123456": "5725767000000123456", "9999999999999999999": "9999999999999999999"},
    "lookup": {"5725767000000123457": "5725767000000123457"},
    "autonumber": {"INV-0007": "INV-0007"},
    "multiselectpicklist": {"a;b;c": "a;b;c"},
    "something new": {"1.50": "1.50"},
    "integer": {"0": 0, "-7": -7, "1.0": 1, "12.000": 12, "007": 7, "-0": 0},
    "bigint": {
        "9223372036854775807": 2**63 - 1,
        "-9223372036854775808": -(2**63),
        "5725767000000123456": 5725767000000123456,
    },
    "double": {
        "0.1": 0.1,
        "-0.0": -0.0,
        "1E5": 1e5,
        "1.5e-7": 1.5e-7,
        "1.7976931348623157e308": 1.7976931348623157e308,
        "5e-324": 5e-324,
        "123456789.123456789": 123456789.123456789,
        "0e-999": 0.0,
    },
    "percent": {"12.5": 12.5},
    "currency": {
        "12.34": Decimal("12.34"),
        "-12.3": Decimal("-12.30"),
        "5": Decimal("5.00"),
        "1.0E7": Decimal("10000000.00"),
        "12.3400": Decimal("12.34"),
        "0.00": Decimal("0.00"),
        "0e9": Decimal("0.00"),
        "99999999999999999999999999.99": Decimal("99999999999999999999999999.99"),
    },
    "boolean": {"true": True, "FALSE": False, "True": True},
    "date": {
        "2024-02-29": date(2024, 2, 29),
        "0001-01-01": date(1, 1, 1),
        "9999-12-31": date(9999, 12, 31),
    },
    "datetime": {
        "2024-01-31T23:30:00-05:30": datetime(2024, 2, 1, 5, 0, tzinfo=UTC),
        "2024-03-31T02:30:00+02:00": datetime(2024, 3, 31, 0, 30, tzinfo=UTC),
        "2024-01-01T00:00:00Z": datetime(2024, 1, 1, tzinfo=UTC),
        "2024-01-01T00:00:00.5+00:00": datetime(2024, 1, 1, 0, 0, 0, 500000, tzinfo=UTC),
        "0001-01-01T05:30:00+05:30": datetime(1, 1, 1, tzinfo=UTC),
        "1969-12-31T23:59:59+00:00": datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
    },
}
UNFIT = {
    "integer": [
        "1e3",
        "1.5",
        "+5",
        " 1",
        "1\n2",
        "1\n",
        "12a",
        "٣",
        "9223372036854775808",
        "0x1",
        "1_0",
        "9" * 5000,
    ],
    "bigint": ["-9223372036854775809", "NaN"],
    "double": [
        "NaN",
        "Infinity",
        "-inf",
        "1e400",
        "1e-400",
        ".5",
        "5.",
        "+1",
        "01",
        "1,5",
        "0x1p3",
        "1d",
        "\n1",
    ],
    "percent": ["12 %"],
    "currency": [
        "12.345",
        "€ 5",
        "100000000000000000000000000",
        "1e99",
        "1e-3",
        "NaN",
        " 1",
        "+1",
        ".5",
        "1\n",
    ],
    "boolean": ["1", "yes", "t", "on", "falsch", "true\nfalse"],
    "date": ["2024-02-30", "0000-01-01", "10000-01-01", "2024-2-3", "2024-01-01T00:00:00", "01/02/2024"],
    "datetime": [
        "2024-01-01T10:00:00",
        "2024-01-01T24:00:00Z",
        "2024-01-01T10:00:60Z",
        "2024-01-01T10:00:00.1234567Z",
        "2024-01-01T10:00:00+24:00",
        "0001-01-01T00:00:00+05:30",
        "9999-12-31T23:59:59-05:00",
        "2024-01-01 10:00:00Z",
        "2024-01-01",
        "2024-02-30T10:00:00Z",
    ],
}


def csv_of(rows):
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode()


def written(content, columns, path, read=arrow_batches):
    with path.open("wb") as file:
        return convert(io.BytesIO(content), file, columns, LAYOUT, read)


def rows_of(path):
    relation = duckdb.sql(f"SET TimeZone = 'UTC'; SELECT * FROM '{path}'")
    names = relation.columns
    return [dict(zip(names, row, strict=True)) for row in relation.fetchall()]


def column_of(kind, places=2):
    fields = [{"api_name": "Value", "data_type": kind, "decimal_place": places}]
    return columns_of(["Id", "Value"], fields)


READERS = pytest.mark.parametrize("read", [arrow_batches, python_batches])


@READERS
@pytest.mark.parametrize("kind", FIT)
def test_value_that_fits_is_read_back_exactly(kind, read, tmp_path):
    texts = FIT[kind]
    content = csv_of([["Id", "Value"], *([str(number), text] for number, text in enumerate(texts, 1))])
    result = written(content, column_of(kind), tmp_path / "x.parquet", read)
    rows = rows_of(tmp_path / "x.parquet")
    assert [row["value"] for row in rows] == list(texts.values())
    assert {type(row["value"]) for row in rows} == {type(value) for value in texts.values()}
    assert [row["id"] for row in rows] == [str(number) for number in range(1, len(texts) + 1)]
    assert {row["_rescued"] for row in rows} == {None}
    assert not result.rescued


@READERS
@pytest.mark.parametrize("kind", UNFIT)
def test_value_that_does_not_fit_is_null_and_rescued_next_to_those_that_fit(kind, read, tmp_path):
    good, value = next(iter(FIT[kind].items()))
    texts = [text for unfit in UNFIT[kind] for text in (unfit, good)]
    content = csv_of([["Id", "Value"], *([str(number), text] for number, text in enumerate(texts, 1))])
    result = written(content, column_of(kind), tmp_path / "x.parquet", read)
    rows = rows_of(tmp_path / "x.parquet")
    assert [row["value"] for row in rows] == [None, value] * len(UNFIT[kind])
    assert [row["_rescued"] for row in rows[::2]] == [{"Value": text} for text in UNFIT[kind]]
    assert {row["_rescued"] for row in rows[1::2]} == {None}
    assert result.rescued == {"value": len(UNFIT[kind])}


@READERS
def test_poisoned_value_in_every_typed_column_leaves_the_others_as_they_are(read, tmp_path):
    fields = [{"api_name": kind, "data_type": kind, "decimal_place": 2} for kind in UNFIT]
    columns = columns_of(["Id", *UNFIT], fields)
    good = [next(iter(FIT[kind])) for kind in UNFIT]
    rows = [["1", *good]]
    for number, kind in enumerate(UNFIT):
        rows.append([str(number + 2), *good])
        rows[-1][number + 1] = UNFIT[kind][0]
    written(csv_of([["Id", *UNFIT], *rows]), columns, tmp_path / "x.parquet", read)
    first, *poisoned = rows_of(tmp_path / "x.parquet")
    for kind, row in zip(UNFIT, poisoned, strict=True):
        assert row["_rescued"] == {kind: UNFIT[kind][0]}
        assert row == first | {"id": row["id"], kind: None, "_rescued": row["_rescued"]}


@READERS
@pytest.mark.parametrize("kind", FIT)
def test_empty_cell_is_null_and_not_rescued_in_every_type(kind, read, tmp_path):
    content = b'Id,Value\r\n1,\r\n2,""\r\n'
    result = written(content, column_of(kind), tmp_path / "x.parquet", read)
    assert [row["value"] for row in rows_of(tmp_path / "x.parquet")] == [None, None]
    assert not result.rescued


@pytest.mark.parametrize("places", [None, 0, 2, 5, 28, 99])
def test_scale_of_a_currency_is_its_decimal_places_and_at_least_two(places, tmp_path):
    scale = min(max(places or 0, 2), 28)
    smallest = f"0.{'0' * (scale - 1)}1"
    content = csv_of([["Id", "Value"], ["1", smallest], ["2", f"{smallest}1"], ["3", f"-{smallest}0"]])
    written(content, column_of("currency", places), tmp_path / "x.parquet")
    values = [row["value"] for row in rows_of(tmp_path / "x.parquet")]
    assert values == [Decimal(smallest), None, -Decimal(smallest)]


def test_both_readers_write_the_same_bytes(tmp_path):
    texts = [text for kind in FIT for text in FIT[kind]]
    content = csv_of([["Id", "Value"], *([str(number), text] for number, text in enumerate(texts, 1))])
    for name, read in (("a", arrow_batches), ("b", python_batches)):
        written(content, column_of("double"), tmp_path / name, read)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("line", "row"),
    [
        (b"2", {"id": "2", "value": None, "_rescued": None}),
        (b"2,x,y,z", {"id": "2", "value": "x", "_rescued": {"column 3": "y", "column 4": "z"}}),
        (b"2,\xff\xfex", {"id": "2", "value": None, "_rescued": {"Value": "\\xff\\xfex"}}),
    ],
)
def test_row_that_arrow_refuses_is_read_by_python_without_loss(line, row, tmp_path):
    content = b"Id,Value\r\n1,a\r\n" + line + b"\r\n3,b\r\n"
    with pytest.raises(CsvRefused):
        written(content, column_of("text"), tmp_path / "x.parquet")
    written(content, column_of("text"), tmp_path / "x.parquet", python_batches)
    assert [item["value"] for item in rows_of(tmp_path / "x.parquet")][::2] == ["a", "b"]
    assert rows_of(tmp_path / "x.parquet")[1] == row


@READERS
@pytest.mark.parametrize("content", [b"", b"Id,Value\r\n", b"\xef\xbb\xbfId,Value\r\n"])
def test_file_without_records_has_the_columns(content, read, tmp_path):
    result = written(content, column_of("currency"), tmp_path / "x.parquet", read)
    assert result.rows == 0
    assert duckdb.sql(f"SELECT * FROM '{tmp_path / 'x.parquet'}'").columns == ["id", "value", "_rescued"]


@READERS
def test_bom_and_blank_lines_are_not_data(read, tmp_path):
    content = b"\xef\xbb\xbfId,Value\r\n1,a\r\n\r\n\r\n2,b\r\n"
    assert written(content, column_of("text"), tmp_path / "x.parquet", read).rows == 2
    assert [row["value"] for row in rows_of(tmp_path / "x.parquet")] == ["a", "b"]


@READERS
def test_error_of_the_source_or_the_sink_is_raised_as_it_is(read, tmp_path):
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise TimeoutError("source")

        def write(self, chunk):
            raise TimeoutError("sink")

    with pytest.raises(TimeoutError, match="source"):
        convert(Broken(), io.BytesIO(), column_of("text"), LAYOUT, read)
    content = csv_of([["Id", "Value"], ["1", "a"]])
    with pytest.raises(TimeoutError, match="sink"):
        convert(io.BytesIO(content), Broken(), column_of("text"), LAYOUT, read)


def test_source_is_read_as_it_is_needed(tmp_path):
    read = []

    class Counted(io.BytesIO):
        def read(self, size=-1):
            read.append(size)
            return super().read(size)

    content = csv_of([["Id", "Value"], *([str(number), "x" * 100] for number in range(1, 2000))])
    with (tmp_path / "x").open("wb") as file:
        convert(Counted(content), file, column_of("text"), LAYOUT, arrow_batches)
    assert max(read) <= 65536
    assert min(read) > 0


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_double_is_the_one_that_python_reads(values):
    content = csv_of([["Id", "Value"], *([str(n), repr(value)] for n, value in enumerate(values, 1))])
    out = io.BytesIO()
    rescued = convert(io.BytesIO(content), out, column_of("double"), LAYOUT, arrow_batches).rescued
    batches = read_parquet(io.BytesIO(out.getvalue()))
    assert [value for batch in batches for value in batch["value"].to_pylist()] == values
    assert not rescued
