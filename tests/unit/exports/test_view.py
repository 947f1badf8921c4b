"""What the GET routes return: one export with its parts, and pages of an account's exports."""

import base64
import json

import pytest

from crm_export.errors import ExportNotFound, InvalidRequest
from crm_export.exports.model import Caller
from crm_export.exports.view import describe_export, list_exports, summarize
from tests.unit.exports.conftest import CALLER, EXPORT_ID

TIME = "2026-11-22T13:00:00.000Z"


def token(position):
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def test_described_export_has_its_parts_with_links_and_the_records_stored_so_far(one_export):
    one_export.stored(count=5, token="t")
    described = describe_export(one_export.pipeline, CALLER, EXPORT_ID)
    key = one_export.part().key
    assert described["parts"][0] == {
        "part": 1,
        "state": "STORED",
        "job_id": "1",
        "records": 5,
        "expected_records": 5,
        "bytes": 50,
        "key": key,
        "url": f"https://s3.example/{key}",
    }
    assert (described["export_id"], described["state"], described["records"]) == (EXPORT_ID, "RUNNING", 5)
    assert (described["completed_at"], described["manifest_key"]) == (None, None)


def test_summary_of_a_running_export_has_every_attribute(one_export):
    assert summarize(one_export.export()) == {
        "export_id": EXPORT_ID,
        "state": "RUNNING",
        "module": "Contacts",
        "source": "bulk_read",
        "file_format": "csv",
        "generation": 1,
        "requested_at": TIME,
        "completed_at": None,
        "records": None,
        "manifest_key": None,
        "failure": None,
        "fields_dropped": [],
    }


def test_summary_of_a_failed_export_has_its_end_and_its_reason(one_export):
    one_export.let_pass(1)
    one_export.fail()
    summary = summarize(one_export.export())
    assert (summary["state"], summary["completed_at"]) == ("FAILED", "2026-11-22T13:00:01.000Z")
    assert summary["failure"]["code"] == "X"
    assert summary["manifest_key"] is None


def test_described_part_without_an_object_has_no_link(one_export):
    (part,) = describe_export(one_export.pipeline, CALLER, EXPORT_ID)["parts"]
    assert (part["state"], part["key"], part["url"]) == ("PENDING", None, None)


@pytest.mark.parametrize(
    ("caller", "export_id"),
    [
        (Caller("acct-2", "user-1"), EXPORT_ID),
        (CALLER, "20261122T130000Z-fedcba9876543210"),
        (CALLER, "not an id"),
    ],
    ids=["another account", "unknown", "malformed"],
)
def test_export_of_another_account_or_unknown_is_not_found(one_export, caller, export_id):
    with pytest.raises(ExportNotFound):
        describe_export(one_export.pipeline, caller, export_id)


def test_page_token_continues_the_list_after_the_last_export(one_export):
    newer = "20261122T130001Z-0123456789abcdef"
    one_export.let_pass(1)
    one_export.create(newer)
    first, pagination = list_exports(one_export.pipeline, "acct-1", 1, None)
    assert [export["export_id"] for export in first] == [newer]
    assert (pagination["limit"], pagination["more_records"]) == (1, True)
    second, _ = list_exports(one_export.pipeline, "acct-1", 1, pagination["next_page_token"])
    assert [export["export_id"] for export in second] == [EXPORT_ID]


def test_last_page_has_no_page_token(one_export):
    _, pagination = list_exports(one_export.pipeline, "acct-1", 10, None)
    assert pagination == {"limit": 10, "more_records": False, "next_page_token": None}


@pytest.mark.parametrize(
    "page_token",
    [
        "?",
        token([]),
        token({"requested_at": TIME}),
        token({"requested_at": 7, "export_id": EXPORT_ID}),
        token({"requested_at": "yesterday", "export_id": EXPORT_ID}),
        token({"requested_at": TIME, "export_id": "not an id"}),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    ],
    ids=["no JSON", "no object", "no id", "number", "no time", "malformed id", "nested"],
)
def test_page_token_of_another_origin_is_refused(one_export, page_token):
    with pytest.raises(InvalidRequest, match="page_token is .*, which this API did not issue"):
        list_exports(one_export.pipeline, "acct-1", 10, page_token)
