"""The contract of ExportTable over moto's DynamoDB. The unit tests run it over the simulation's DynamoDB."""

import pytest

from crm_export.aws.export_table import DynamoExportTable
from tests.unit.exports.test_table_contract import *  # noqa: F403


@pytest.fixture
def table(world):
    return DynamoExportTable(world.client("dynamodb"), world.deployment.outputs["ExportsTableName"])
