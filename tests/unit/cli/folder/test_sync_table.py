"""The contract of SyncTable over a folder's SQLite."""

import pytest

from crm_export_cli.folder.sync_table import SqliteSyncTable
from crm_export_cli.folder.table import SqliteExportTable
from tests.unit.sync.test_sync_table_contract import *  # noqa: F403
from tests.unit.sync.test_sync_table_contract import Tables


@pytest.fixture
def tables(database, processes):
    exports = SqliteExportTable(database, processes)
    return Tables(SqliteSyncTable(database, exports), exports)
