"""Rows of texts become Parquet without a CSV."""

import io

import duckdb

from crm_export.lake.parquet import write_parquet

FIELDS = [
    {"api_name": "Amount", "data_type": "currency", "decimal_place": 2},
    {"api_name": "Count", "data_type": "integer"},
]


def test_rows_become_parquet_with_types_nulls_and_rescued_values(tmp_path):
    sink = io.BytesIO()
    rows = [["1", "1.50", "7"], ["2", "", "many"], ["3", "2.005", ""]]
    written = write_parquet(iter(rows), ("Id", "Amount", "Count"), FIELDS, sink)
    assert (written.rows, dict(written.rescued)) == (3, {"count": 1, "amount": 1})
    file = tmp_path / "rows.parquet"
    file.write_bytes(sink.getvalue())
    found = duckdb.sql(
        f"SELECT id, amount::VARCHAR, count, _rescued['Amount'], _rescued['Count'] FROM '{file}' ORDER BY id"
    ).fetchall()
    assert found == [
        ("1", "1.50", 7, None, None), ("2", None, None, None, "many"), ("3", None, None, "2.005", None)
    ]  # fmt: skip


def test_no_rows_become_a_table_with_the_columns(tmp_path):
    file = tmp_path / "rows.parquet"
    with file.open("wb") as sink:
        assert write_parquet(iter(()), ("Id",), None, sink).rows == 0
    assert [row[0] for row in duckdb.sql(f"DESCRIBE SELECT * FROM '{file}'").fetchall()] == ["id", "_rescued"]
