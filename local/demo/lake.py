"""Shows the Parquet of an export: its types, and one query of its records. Called by `run`."""

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from local.demo.verify import Check

_LOOK_SECONDS = 0.25
QUERY = """SELECT year(created_time) AS year, count(*) AS contacts,
       count(DISTINCT owner) AS owners, max(modified_time)::DATE AS last
FROM contacts GROUP BY ALL ORDER BY year DESC LIMIT 4"""


@dataclass(frozen=True)
class Lake:
    """What the lake has of an export. types: an example of each type, (column, type, API name)."""

    files: list[tuple[str, int]]
    types: list[tuple[str, str, str]]
    names: list[str]
    rows: list[tuple[str, ...]]
    checks: list[Check]


def wait_for_lake(s3: Any, bucket: str, manifest_key: str, give_up: float) -> dict[str, Any] | None:
    """Return the lake's manifest of an export once it is there; None if it is not there by then."""
    key = manifest_key.replace("exports/", "lake/", 1)
    while time.monotonic() < give_up:
        if s3.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents"):
            landed: dict[str, Any] = json.load(s3.get_object(Bucket=bucket, Key=key)["Body"])
            return landed
        time.sleep(_LOOK_SECONDS)
    return None


def read_lake(s3: Any, bucket: str, landed: Mapping[str, Any], records: int) -> Lake:
    """Read the Parquet back with DuckDB, and compare it with the number of records."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as database:
        paths = []
        for file in landed["files"]:
            paths.append(str(Path(folder, file["key"].rpartition("/")[2])))
            s3.download_file(bucket, file["key"], paths[-1])
        database.read_parquet(paths).create_view("contacts")
        ((rows, ids),) = database.sql("SELECT count(*), count(DISTINCT id) FROM contacts").fetchall()
        found = database.sql(QUERY)
        names, cells = found.columns, [tuple(map(_text, row)) for row in found.fetchall()]
    checks = [
        Check("records in the Parquet", rows == landed["rows"] == records, f"{rows:,} of {records:,}"),
        Check("every Id in the Parquet", ids == records, f"{ids:,} different Ids"),
    ]
    files = [(file["key"].rpartition("/")[2], file["bytes"]) for file in landed["files"]]
    return Lake(files, _examples(landed["schema"]), names, cells, checks)


def _examples(schema: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    """Return the first column of each type."""
    examples = {column["type"]: column for column in reversed(schema)}
    shown = [column for column in schema if examples[column["type"]] is column]
    return [(column["name"], column["type"], column["api_name"]) for column in shown]


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and value > 9999 else str(value)
