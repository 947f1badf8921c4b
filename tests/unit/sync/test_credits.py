"""Whether a run fits into the share of an account's credits that syncs may spend, and what it will cost."""

from datetime import UTC, datetime

import pytest

from crm_export.errors import CreditShareSpent
from crm_export.exports.runs import CHANGES, FULL, Run
from crm_export.sync.credits import check_share, estimate
from crm_export.sync.model import Sync

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("share", "remaining", "spent", "cost"),
    [
        (30, None, 1_000_000, 1_000_000),  # Zoho does not report what is left
        (30, 700, 300, 0),
        (30, 1_000, 0, 300),
        (30, 800, 200, 100),
        (100, 60, 0, 60),
        (0, 1_000, 0, 0),
    ],
)
def test_run_within_the_share_may_start(share, remaining, spent, cost):
    check_share(share, remaining, spent, cost)


@pytest.mark.parametrize(
    ("share", "remaining", "spent", "cost"),
    [
        (30, 700, 300, 1),
        (30, 1_000, 0, 301),
        (30, 0, 0, 1),
        (100, 60, 0, 61),
        (0, 1_000_000, 0, 1),
        (30, 3, 0, 1),  # 0.9 credits
    ],
)
def test_run_beyond_the_share_waits_for_an_hour(share, remaining, spent, cost):
    with pytest.raises(CreditShareSpent) as raised:
        check_share(share, remaining, spent, cost)
    assert raised.value.retry_after == 3600
    assert f"{remaining} as left" in raised.value.message
    assert f"({share} percent)" in raised.value.message


@pytest.mark.parametrize(
    ("module", "kind", "records", "with_job", "expected"),
    [
        ("Contacts", CHANGES, 1_000_000, False, 5),  # deletions twice, fields
        ("Contacts", CHANGES, 1_000_000, True, 58),
        ("Contacts", FULL, 0, True, 58),
        ("Contacts", FULL, 200_000, True, 58),
        ("Contacts", FULL, 200_001, True, 111),
        ("Contacts", FULL, 1_000_000, True, 270),
        ("Notes", FULL, 401, True, 8),
    ],
)
def test_cost_of_a_run_is_that_of_its_jobs_or_pages(module, kind, records, with_job, expected):
    sync = Sync("a", "u", module, "https://x", NOON, full_records=records)
    assert estimate(sync, Run(kind, "scheduled", NOON), with_job=with_job) == expected
