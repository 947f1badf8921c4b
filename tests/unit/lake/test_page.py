"""docs/lake.md: what it says of types is what the code does, and its code runs."""

import csv
import io
import json
import re

import pytest

from crm_export.lake.catalog import athena_type
from crm_export.lake.place import Place
from crm_export.lake.schema import type_of
from crm_export.lake.tables import land_export
from crm_export_cli.folder.lake import FolderLake
from crm_export_cli.folder.locks import Processes
from local.host.processes import REPOSITORY
from tests.support.pages import blocks_of

FOLDER = "exports/account_id=acct-1/module=Deals/export_id=20240101T000000Z-0000000000000001"
HEADER = ["Id", "Stage", "Amount"]
ROWS = [["1", "Won", "1.50"], ["2", "Won", "2.25"], ["3", "Lost", ""]]
FIELDS = [{"api_name": "Amount", "data_type": "currency", "decimal_place": 2}]


@pytest.fixture
def lake(tmp_path, monkeypatch):
    """A folder `out` in the current directory, with an export of deals in its lake."""
    monkeypatch.chdir(tmp_path)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows([HEADER, *ROWS])
    part = {"key": f"{FOLDER}/part-00001.csv", "records": 3, "bytes": 50, "header": HEADER}
    manifest = {"file_format": "csv", "query": {}, "fields": FIELDS, "parts": [part]}
    with Processes(tmp_path / "processes") as processes:
        store = FolderLake(tmp_path / "out", processes)
        for key, content in (
            (part["key"], text.getvalue()),
            (f"{FOLDER}/manifest.json", json.dumps(manifest)),
        ):
            with store.write(key) as sink:
                sink.write(content.encode())
                sink.commit()
        land_export(store, Place.of(f"{FOLDER}/manifest.json"))


def test_duckdb_s_code_prints_the_sum_of_each_stage(lake, capsys):
    (code,) = blocks_of("lake.md", "python", "duckdb.read_parquet")
    exec(code, {})  # noqa: S102
    printed = capsys.readouterr().out
    assert re.search(r"Won\s+│\s+2\s+│\s+3\.75", printed), printed


@pytest.mark.parametrize(
    ("kinds", "types"),
    [
        (("bigint", "integer"), ("int64", "bigint")),
        (("double", "percent"), ("double", "double")),
        (("currency",), ("decimal(28, 2)", "decimal(28,2)")),
        (("boolean",), ("bool", "boolean")),
        (("date",), ("date32", "date")),
        (("datetime",), ("timestamp[us, UTC]", "timestamp")),
        (("textarea", "text", "picklist", "multiselectpicklist", "lookup"), ("string", "string")),
    ],
)
def test_table_of_types_is_that_of_the_code(kinds, types):
    for kind in kinds:
        column = type_of({"api_name": "x", "data_type": kind})
        assert (column, athena_type(column)) == types
    page = (REPOSITORY / "docs/lake.md").read_text()
    (row,) = re.findall(rf"^\| [^|]*\b{kinds[0]}\b[^|]* \| [^|]+ \| [^|]* \|$", page, re.MULTILINE)
    parquet, athena = (cell.strip() for cell in row.split("|")[2:4])
    assert parquet.startswith(types[0].split("(")[0])
    assert athena.startswith(types[1].split("(")[0])
