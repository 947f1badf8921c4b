"""What the GET routes return: one export with its parts, and pages of an account's exports."""

import base64
import json
from dataclasses import replace

import pytest

from crm_export.errors import ExportNotFound, InvalidRequest, ZohoThrottled
from crm_export.exports.complete import complete_export
from crm_export.exports.model import BULK_READ, RECORDS, Caller
from crm_export.exports.runs import FULL, SCHEDULED, Drift, Run, RunResult
from crm_export.exports.view import describe_export, list_exports, summarize
from crm_export.exports.witness import Before
from tests.unit.exports.conftest import BEGAN, CALLER, EXPORT_ID

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
        "waiting_for": "OTHER_PARTS",
        "waiting_until": None,
        "attempts": 0,
        "last_error": None,
        "records": 5,
        "expected_records": 5,
        "bytes": 50,
        "key": key,
        "url": f"https://s3.example/{key}",
        "proved": False,
    }
    assert (described["export_id"], described["state"], described["records"]) == (EXPORT_ID, "RUNNING", 5)
    assert (described["completed_at"], described["manifest_key"]) == (None, None)


@pytest.mark.parametrize(
    ("counted", "expected"), [(None, None), (Before(why="no scope"), None), (Before(7, "x"), 7)]
)
def test_described_export_has_the_number_of_records_that_zoho_counted_before(one_export, counted, expected):
    one_export.create(counted_before=counted)
    assert describe_export(one_export.pipeline, CALLER, EXPORT_ID)["expected_records"] == expected


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
        "witness": None,
        "run_id": None,
        "sync": None,
    }


def test_summary_of_a_run_has_what_it_found_and_what_it_cost(one_export):
    found = RunResult(deleted=2, late=1, drift=Drift(updated=3))
    run = Run(FULL, SCHEDULED, BEGAN, credits=1, result=found)
    assert summarize(replace(one_export.export(), sync=run, credits=54))["sync"] == {
        "kind": "full",
        "reason": "scheduled",
        "deleted": 2,
        "late": 1,
        "drift": {"inserted": 0, "updated": 3, "deleted": 0},
        "credits": 55,
    }


def test_summary_of_a_failed_export_has_its_end_and_its_reason(one_export):
    one_export.let_pass(1)
    one_export.fail()
    summary = summarize(one_export.export())
    assert (summary["state"], summary["completed_at"]) == ("FAILED", "2026-11-22T13:00:01.000Z")
    assert summary["failure"]["code"] == "X"
    assert summary["manifest_key"] is None


def part_of(one_export):
    return describe_export(one_export.pipeline, CALLER, EXPORT_ID)["parts"][0]


def test_described_part_without_an_object_has_no_link(one_export):
    part = part_of(one_export)
    assert (part["state"], part["key"], part["url"], part["proved"]) == ("PENDING", None, None, False)


@pytest.mark.parametrize(("last", "proved"), [(True, True), (False, False)])
def test_stored_part_is_proved_once_the_export_is_completed(one_export, last, proved):
    one_export.stored(token=None if last else "t")
    complete_export(one_export.pipeline, one_export.export())
    assert (part_of(one_export)["state"], part_of(one_export)["proved"]) == ("STORED", proved)


def test_part_that_is_not_stored_is_not_proved_by_a_completed_export(one_export):
    one_export.stored()
    complete_export(one_export.pipeline, one_export.export())
    one_export.items.items[f"EXPORT#{EXPORT_ID}", "PART#00001"]["state"] = {"S": "READY"}  # damaged
    assert not part_of(one_export)["proved"]


@pytest.mark.parametrize(
    ("step", "waiting_for"),
    [
        ("submit", "JOB_CREATION"),
        ("settle", "JOB_CREATION"),
        ("read", "DOWNLOAD"),
        ("adopt", "ZOHO_JOB"),
        ("check", "ZOHO_JOB"),
        ("store", "DOWNLOAD"),
        ("complete", "OTHER_PARTS"),
        ("nothing", None),
    ],
)
def test_part_says_what_it_waits_for(one_export, step, waiting_for):
    if step in {"settle", "read"}:
        one_export.create(source=RECORDS, read_order="id" if step == "read" else None)
    elif step == "adopt":
        one_export.table.note_hint(EXPORT_ID, 1, "1")
    elif step == "check":
        one_export.submitted()
    elif step == "store":
        one_export.ready()
    elif step == "complete":
        one_export.stored(token="t")
    elif step == "nothing":
        one_export.fail()
    part = part_of(one_export)
    assert (part["waiting_for"], part["waiting_until"]) == (waiting_for, None)


def test_paused_part_says_why_and_until_when(one_export):
    one_export.zoho.refusals = [ZohoThrottled("slow down", retry_after=40)]
    with pytest.raises(ZohoThrottled):
        one_export.submit()
    part = part_of(one_export)
    assert (part["waiting_for"], part["waiting_until"]) == ("ZOHO_THROTTLED", "2026-11-22T13:00:39.000Z")
    assert part["attempts"] == 1
    assert part["last_error"] == {"code": "ZOHO_THROTTLED", "message": "slow down", "at": TIME}
    one_export.let_pass(39)
    part = part_of(one_export)
    assert (part["waiting_for"], part["waiting_until"]) == ("JOB_CREATION", None)
    assert part["last_error"]["code"] == "ZOHO_THROTTLED"


def test_part_paused_without_an_error_waits_for_a_pause(one_export):
    one_export.submitted()
    one_export.table.mark_pending_again(one_export.part(), one_export.now, one_export.at(29))
    part = part_of(one_export)
    assert (part["waiting_for"], part["waiting_until"]) == ("PAUSE", "2026-11-22T13:00:29.000Z")


@pytest.mark.parametrize(
    ("source", "state"), [(BULK_READ, "STORING"), (RECORDS, "STORING"), (None, "SUBMITTED")]
)
def test_part_that_a_worker_is_busy_with_waits_for_nothing(one_export, source, state):
    if source == RECORDS:
        one_export.create(source=RECORDS, read_order="id")
    elif source == BULK_READ:
        one_export.ready()
    else:
        one_export.submitted()
    one_export.claim("worker", 90)
    part = part_of(one_export)
    assert (part["state"], part["waiting_for"], part["waiting_until"]) == (state, None, None)
    one_export.let_pass(90)
    assert part_of(one_export)["state"] != "STORING"
    assert part_of(one_export)["waiting_for"] is not None


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
