"""The contract of SyncTable over moto's DynamoDB. The unit tests run it over the simulation's DynamoDB."""

import pytest

from crm_export.aws.export_table import DynamoExportTable
from crm_export.aws.sync_table import DynamoSyncTable
from tests.unit.sync.test_sync_table_contract import *  # noqa: F403
from tests.unit.sync.test_sync_table_contract import Tables


@pytest.fixture
def tables(world):
    name = (world.client("dynamodb"), world.deployment.outputs["ExportsTableName"])
    return Tables(DynamoSyncTable(*name), DynamoExportTable(*name))
