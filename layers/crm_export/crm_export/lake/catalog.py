"""The texts that engines read: DDL for Athena, Redshift's manifest, and the manifest of a symlink table.

https://docs.aws.amazon.com/athena/latest/ug/create-table.html
https://docs.aws.amazon.com/redshift/latest/dg/loading-data-files-using-manifest.html
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from crm_export.lake.schema import (
    BOOL,
    DATE,
    DOUBLE,
    INT64,
    MAP,
    MODIFIED_TIME,
    OP,
    RUN,
    STRING,
    TIMESTAMP,
    Column,
    scale_of,
)

_ATHENA = {
    STRING: "string",
    INT64: "bigint",
    DOUBLE: "double",
    BOOL: "boolean",
    DATE: "date",
    TIMESTAMP: "timestamp",
    MAP: "map<string,string>",
}
_PARQUET_SERDE = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
_SYMLINKS = "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat"
_NO_OUTPUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
_NOT_IN_A_NAME = re.compile("[^a-z0-9_]")
_EXPORT_IN_URL = re.compile("/export_id=([^/]+)/")


def athena_type(kind: str) -> str:
    """Return the type of a column in Athena, which is also Hive's."""
    scale = scale_of(kind)
    return _ATHENA[kind] if scale is None else f"decimal(28,{scale})"


def table_name(module: str) -> str:
    """Return the name of a module's table: in lower case, with underscores."""
    return _NOT_IN_A_NAME.sub("_", module.lower())


def table_of_account(account: str, module: str) -> str:
    """Return a name for a module's table that no module of another account has.

    If the names have to be changed for it, the table's name ends in a hash of them.
    """
    name = f"{table_name(account)}_{table_name(module)}"
    if re.fullmatch("[a-z0-9]+", account) and table_name(module) == module.lower():
        return name
    return f"{name}_{blake2b(f'{account}/{module}'.encode(), digest_size=4).hexdigest()}"


def symlink_manifest(urls: Iterable[str]) -> str:
    """Return the manifest of a symlink table: one URL per line."""
    return "".join(f"{url}\n" for url in urls)


def export_of(manifest: str) -> str | None:
    """Return the id of the export whose files a symlink manifest names, or None."""
    match = _EXPORT_IN_URL.search(manifest)
    return match[1] if match else None


def redshift_manifest(files: Iterable[tuple[str, int]]) -> dict[str, Any]:
    """Return the manifest with which COPY loads exactly these files: their URLs and sizes in bytes.

    Redshift requires content_length for Parquet.
    """
    return {
        "entries": [{"url": url, "mandatory": True, "meta": {"content_length": size}} for url, size in files]
    }


def full_ddl(table: str, columns: Sequence[Column], location: str) -> str:
    """Return the DDL of a table that always shows the last complete full export.

    location: the URL of the folder with the symlink manifest.
    """
    return (
        "-- Athena: the last complete full export. Athena has no timestamp with a time zone in tables, so\n"
        "-- timestamps are in UTC. Values that do not fit their column's type are in _rescued, by API name.\n"
        + _create(table, columns, location, _SYMLINKS, _NO_OUTPUT)
    )


def changes_ddl(table: str, columns: Sequence[Column], location: str) -> str:
    """Return the DDL of the changes since the last full export, and what folds them into the current rows.

    columns: of a run of changes, with `_op` and `_modified_time`. location: the URL of the folder with the
    changes' symlink manifest.
    """
    return (
        "-- Athena: what has changed since the last full export. _op is U for a record, D for a deletion.\n"
        + _create(f"{table}_changes", columns, location, _SYMLINKS, _NO_OUTPUT)
        + current_view(table, columns)
        + iceberg_merge(table, columns)
    )


def current_view(table: str, columns: Sequence[Column]) -> str:
    """Return the view of the last full export with the changes since then folded in."""
    key, names = _id_of(columns), _own(columns)
    full, changed = (", ".join(f'{side}."{name}"' for name in names) for side in ("f", "c"))
    # The names in it are of columns_of and table_name: letters, digits and underscores.
    return f"""
-- The current records.
CREATE OR REPLACE VIEW "{table}_current" AS
WITH c AS ({_latest_changes(table, key)})
SELECT {full} FROM "{table}" f
WHERE NOT EXISTS (SELECT 1 FROM c WHERE c."{key}" = f."{key}"{_is_newer("f", columns)})
UNION ALL
SELECT {changed} FROM c WHERE c."{OP}" = 'U'
AND NOT EXISTS (SELECT 1 FROM "{table}" f WHERE c."{key}" = f."{key}"{_is_older("f", columns)});
"""  # noqa: S608 # nosec B608


def iceberg_merge(table: str, columns: Sequence[Column]) -> str:
    """Return the statement that folds the changes into the Iceberg table `<table>_iceberg`."""
    key, names = _id_of(columns), _own(columns)
    updates = ", ".join(f'"{name}" = c."{name}"' for name in names)
    inserted, values = (", ".join(f'{side}"{name}"' for name in names) for side in ("", "c."))
    newer = _is_newer("t", columns)
    return f"""
-- The same for an Iceberg table, after each run.
MERGE INTO "{table}_iceberg" t
USING ({_latest_changes(table, key)}) c
ON t."{key}" = c."{key}"
WHEN MATCHED AND c."{OP}" = 'D'{newer} THEN DELETE
WHEN MATCHED AND c."{OP}" = 'U'{newer} THEN UPDATE SET {updates}
WHEN NOT MATCHED AND c."{OP}" = 'U' THEN INSERT ({inserted}) VALUES ({values});
"""  # noqa: S608 # nosec B608


def _latest_changes(table: str, key: str) -> str:
    """Return the query of the last change of each record, by the rule of docs/sync.md.

    A record that a run has read is there, whatever runs before it said of deletions; a deletion of the same
    run or a later one counts if it is not earlier than the record's change.
    """
    order = f'"{MODIFIED_TIME}" DESC NULLS LAST, "{OP}"'
    return f"""
  SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY "{key}" ORDER BY {order}) AS "_newest"
    FROM (
      SELECT *, max(CASE WHEN "{OP}" = 'U' THEN "{RUN}" END) OVER (PARTITION BY "{key}") AS "_last_read"
      FROM "{table}_changes"
    ) AS r WHERE "_last_read" IS NULL OR "{RUN}" >= "_last_read"
  ) AS n WHERE "_newest" = 1
"""  # noqa: S608 # nosec B608


def _is_newer(side: str, columns: Sequence[Column]) -> str:
    """Return the condition that the change `c` is not older than a record, which may have been restored."""
    name = _modified(columns)
    return f' AND ({side}."{name}" IS NULL OR c."{MODIFIED_TIME}" >= {side}."{name}")' if name else ""


def _is_older(side: str, columns: Sequence[Column]) -> str:
    name = _modified(columns)
    return f' AND c."{MODIFIED_TIME}" < {side}."{name}"' if name else " AND FALSE"


def _modified(columns: Iterable[Column]) -> str | None:
    times = (column for column in columns if column.type == TIMESTAMP and column.name != MODIFIED_TIME)
    return next((column.name for column in times if column.api_name == "Modified_Time"), None)


def _create(table: str, columns: Iterable[Column], location: str, reads: str, writes: str) -> str:
    described = ",\n".join(f"  {_quoted(column.name)} {athena_type(column.type)}" for column in columns)
    return f"""CREATE EXTERNAL TABLE IF NOT EXISTS {_quoted(table)} (
{described}
)
ROW FORMAT SERDE '{_PARQUET_SERDE}'
STORED AS INPUTFORMAT '{reads}' OUTPUTFORMAT '{writes}'
LOCATION '{location}';
"""


def glue_table(table: str, columns: Iterable[Column], location: str) -> Mapping[str, Any]:
    """Return the TableInput of Glue for what `full_ddl` creates.

    https://docs.aws.amazon.com/glue/latest/webapi/API_TableInput.html
    """
    return {
        "Name": table,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", "created_by": "zoho-crm-export"},
        "StorageDescriptor": {
            "Columns": [{"Name": column.name, "Type": athena_type(column.type)} for column in columns],
            "Location": location,
            "InputFormat": _SYMLINKS,
            "OutputFormat": _NO_OUTPUT,
            "SerdeInfo": {"SerializationLibrary": _PARQUET_SERDE},
        },
    }


def _id_of(columns: Sequence[Column]) -> str:
    return next((column.name for column in columns if column.api_name.lower() == "id"), "id")


def _own(columns: Iterable[Column]) -> list[str]:
    """Return the names of the columns that the full table has, too."""
    return [column.name for column in columns if column.name not in {OP, MODIFIED_TIME, RUN}]


def _quoted(name: str) -> str:
    return f"`{name}`"
