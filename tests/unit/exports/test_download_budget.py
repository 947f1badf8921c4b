"""The budget of downloads per minute; tests/functional tests it over DynamoDB."""

import pytest

from crm_export.aws.download_budget import DynamoDownloadBudget
from crm_export.aws.table import Table, attribute, key
from simulation.dynamodb import ConditionFailed, DynamoDb, TableData
from tests.unit.exports.conftest import BEGAN, OneExport


@pytest.fixture
def client():
    return DynamoDb(TableData(lambda: 0.0))


def test_budget_allows_no_more_than_its_downloads_in_any_minute(client):
    budget, clock = DynamoDownloadBudget(client, "exports", 2), OneExport()
    waits = []
    for seconds in (0, 10, 10, 39, 1, 0, 10):
        clock.let_pass(seconds)
        waits.append(budget.take("acct-1", clock.now))
    assert waits == [0, 0, 40, 1, 0, 10, 0]
    assert budget.take("acct-2", clock.now) == 0


def test_budget_refuses_a_download_that_it_cannot_record(client):
    tries = []

    def lose_the_race(**request):
        tries.append(request)
        raise ConditionFailed

    client.put_item = lose_the_race
    assert DynamoDownloadBudget(client, "exports", 3).take("acct-1", BEGAN) == 1
    assert len(tries) == 5


def test_budget_is_kept_for_an_hour_after_its_last_download(client):
    DynamoDownloadBudget(client, "exports", 3).take("acct-1", BEGAN)
    item = Table(client, "exports").get(key("BUDGET#acct-1", "DOWNLOADS"))
    assert item["expires_at"] == attribute(int(BEGAN.timestamp()) + 3600)
