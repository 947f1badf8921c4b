"""The budget of downloads where others are always faster."""

from datetime import UTC, datetime

from crm_export.aws.download_budget import DynamoDownloadBudget
from simulation.dynamodb import ConditionFailed, DynamoDb, TableData

NOW = datetime(2026, 11, 22, 13, tzinfo=UTC)


def test_who_could_not_note_a_download_has_none():
    client = DynamoDb(TableData(lambda: 0.0))

    def another_was_faster(**request):
        raise ConditionFailed

    client.put_item = another_was_faster
    assert DynamoDownloadBudget(client, "exports", 3).take("acct-1", NOW) > 0
