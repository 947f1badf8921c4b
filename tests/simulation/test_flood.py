"""Many exports that are requested at the same moment: none is lost, and what limits them is what we say."""

from benchmarks.flood_model import Setting, row


def test_flood_of_exports_of_many_accounts_is_completed():
    assert row(Setting("10 accounts", 10, 10), 60)["COMPLETED"] == 60


def test_more_workers_complete_a_flood_sooner():
    few, many = (row(Setting("", 50, workers), 50)["p95 s"] for workers in (5, 50))
    assert many < few / 2


def test_flood_of_one_account_is_limited_by_the_downloads_that_zoho_allows():
    assert row(Setting("one account", 1, 50), 30)["p95 s"] > 100
