"""Writes a summary of each completed export: each column's type, range and number of values, with DuckDB.

It reads the Parquet of the lake, or the CSVs if LakeOutput is off. Of a run of a sync it summarizes the
current records, with the project's own rule for folding. The queue's messages are the events "Export
Completed" (docs/operations.md, "Events").
"""

import csv
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import boto3
import duckdb

from crm_export.aws.results_bucket import ResultsBucket
from crm_export.sync.fold import fold, read_chain

# Of what SUMMARIZE finds; its means and quantiles depend on the order in which threads read.
_SHOWN = "column_name, column_type, min, max, approx_unique, null_percentage"


class NotInLakeYet(Exception):
    """The Parquet of the export is still being written. The message is delivered again."""


def lambda_handler(event: dict[str, Any], _: object) -> None:
    """Handle one message of the queue. An exception leaves it there, so that it is delivered again."""
    s3 = boto3.client("s3")
    use_lake = os.environ["LAKE_OUTPUT"] == "on"
    for record in event["Records"]:
        export = json.loads(record["body"])["detail"]
        with tempfile.TemporaryDirectory() as folder:
            summary = summarize(s3, export, Path(folder), use_lake=use_lake)
        if summary is None:
            continue
        key = (
            export["manifest_key"]
            .replace("exports/", "summaries/", 1)
            .replace("manifest.json", "summary.json")
        )
        body = json.dumps(summary, indent=1, default=str).encode()
        s3.put_object(Bucket=os.environ["SUMMARY_BUCKET"], Key=key, Body=body, ContentType="application/json")


def summarize(s3: Any, export: dict[str, Any], folder: Path, *, use_lake: bool) -> dict[str, Any] | None:
    """Return the summary of an export, whose files are copied into `folder` for it; None for a calendar.

    export: the event's detail. Raises NotInLakeYet.
    """
    manifest = read_json(s3, export["bucket"], export["manifest_key"])
    if manifest["file_format"] == "ics":
        return None
    if manifest["sync"]:
        source, files = "current records of the sync", [_current(s3, export, folder)]
    elif use_lake:
        source, files = "Parquet", _copies(s3, export["bucket"], _keys_in_lake(s3, export), folder)
    else:
        keys = [part["key"] for part in manifest["parts"]]
        source, files = "CSV", _copies(s3, export["bucket"], keys, folder)
    names = ("export_id", "account_id", "module", "completed_at")
    return {**{name: export[name] for name in names}, "source": source, **_summary(files)}


def _summary(files: list[str]) -> dict[str, Any]:
    """Return the number of rows, and DuckDB's summary of each column."""
    if not files:  # Zoho sends no file if there are no records
        return {"rows": 0, "columns": []}
    with duckdb.connect() as database:
        if files[0].endswith(".parquet"):
            database.read_parquet(files).create_view("records")
        else:  # ids are too long for a float
            database.read_csv(files, header=True, dtype={"Id": "VARCHAR"}).create_view("records")
        ((rows,),) = database.sql("SELECT count(*) FROM records").fetchall()
        found = database.sql("SUMMARIZE records").project(_SHOWN)
        columns = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
    return {"rows": rows, "columns": columns}


def _keys_in_lake(s3: Any, export: dict[str, Any]) -> list[str]:
    key = export["manifest_key"].replace("exports/", "lake/", 1)
    try:
        return [file["key"] for file in read_json(s3, export["bucket"], key)["files"]]
    except s3.exceptions.NoSuchKey as error:
        raise NotInLakeYet(key) from error


def _current(s3: Any, export: dict[str, Any], folder: Path) -> str:
    """Write the current rows of a sync as CSV, and return its path."""
    results = ResultsBucket(s3, export["bucket"])
    folded = fold(results, read_chain(results, export["account_id"], export["module"]))
    path = folder / "current.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(folded.header)
        writer.writerows(folded.rows)
    return str(path)


def _copies(s3: Any, bucket: str, keys: Iterable[str], folder: Path) -> list[str]:
    return list(_copied(s3, bucket, keys, folder))


def _copied(s3: Any, bucket: str, keys: Iterable[str], folder: Path) -> Iterator[str]:
    for key in keys:
        path = folder / key.rpartition("/")[2]
        s3.download_file(bucket, key, str(path))
        yield str(path)


def read_json(s3: Any, bucket: str, key: str) -> dict[str, Any]:
    """Return a JSON object in S3."""
    document: dict[str, Any] = json.load(s3.get_object(Bucket=bucket, Key=key)["Body"])
    return document
