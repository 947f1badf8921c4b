"""Which of Zoho's jobs may be taken for a part's, when only a callback named it."""

from datetime import UTC, datetime

import pytest

from crm_export.zoho.bulk_read import JobRequest, parse_job

SINCE = datetime(2026, 11, 22, 13, 0, tzinfo=UTC)
CRITERIA = {"field": {"api_name": "City"}, "comparator": "equal", "value": "Pune"}


def request(**changes):
    query = {"fields": ["Last_Name", "City"], "criteria": CRITERIA}
    given = {"module": "Leads", "query": query, "file_type": "csv", "page": 2, "page_token": None}
    return JobRequest(**{**given, "callback_url": "", **changes})


def job(created_time="2026-11-22T18:31:00+05:30", **changes):
    criteria = {**CRITERIA, "field": {"api_name": "City", "id": "1"}, "id": None, "type": "value"}
    query = {"module": {"api_name": "Leads", "id": "1"}, "page": 2, "fields": ["Last_Name", "City"]}
    query = {**query, "criteria": criteria, **changes}
    return parse_job({"state": "ADDED", "query": query, "created_time": created_time}, "1")


def test_a_job_that_reads_what_was_asked_for_is_taken():
    assert job().answers(request(), SINCE)
    assert parse_job({"state": "ADDED", "query": {"module": "Leads", "page": 1}}, "1").answers(
        request(query={}, page=1), SINCE
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"module": {"api_name": "Contacts"}},
        {"page": 1},
        {"fields": ["Last_Name"]},
        {"fields": None},
        {"criteria": None},
        {"criteria": {**CRITERIA, "value": "Goa"}},
        {"cvid": "1"},
        {"created_time": "2026-11-22T18:29:00+05:30"},
    ],
)
def test_a_job_that_reads_anything_else_is_not(changes):
    assert not job(**changes).answers(request(), SINCE)


def test_behind_a_page_token_only_the_token_tells_whose_snapshot_it_is():
    assert not job().answers(request(page_token="t"), SINCE)
    assert job(page_token="t").answers(request(page_token="t"), SINCE)
