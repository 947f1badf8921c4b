"""Glue's catalog: one table for each module of an account. Called by `crm_export.lake.tables`.

https://docs.aws.amazon.com/glue/latest/webapi/API_UpdateTable.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from crm_export.aws.results_bucket import storage_errors
from crm_export.lake.store import TableCatalog


@dataclass(frozen=True)
class GlueTables(TableCatalog):
    """The tables of one database, which has to exist."""

    glue: Any
    database: str

    def register(self, table: Mapping[str, Any]) -> None:
        with storage_errors("register in Glue", table["Name"]):
            try:
                self.glue.update_table(DatabaseName=self.database, TableInput=table, SkipArchive=True)
            except ClientError as error:
                if error.response["Error"].get("Code") != "EntityNotFoundException":
                    raise
                self.glue.create_table(DatabaseName=self.database, TableInput=table)
