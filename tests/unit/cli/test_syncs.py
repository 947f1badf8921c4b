"""What `sync run` and `sync show` print."""

import pytest

from crm_export_cli.exits import Exit
from crm_export_cli.exporting import _warnings, _words
from crm_export_cli.sync_runs import _code, _nothing
from crm_export_cli.syncs import _lines

PART = {"key": "k", "bytes": 50, "records": 5}
RUN = {"kind": "changes", "reason": "scheduled", "deleted": 2, "late": 0, "drift": None, "credits": 58}
SYNC = {
    "module": "Contacts", "owner": "local", "every": "1h", "full_every": "7d", "query": {}, "enabled": True,
    "state": "IDLE", "watermark": "W", "overlap_minutes": 15, "next_run_at": "N", "next_full_because": None,
    "run": None, "blocked": None, "latest_key": "k", "updated_at": "U",
    "last_run": {"export_id": "E", "kind": "full", "completed_at": "C", "records": 1000, "deleted": None,
                 "late": 1, "drift": {"inserted": 1, "updated": 0, "deleted": 0}, "credits": 58},
}  # fmt: skip


@pytest.mark.parametrize(
    ("view", "words"),
    [
        ({"records": 5, "parts": [PART]}, "5 records, 50 bytes, 1 part"),
        (
            {"records": 5, "parts": [PART], "sync": RUN},
            "changes run, 5 records, 2 deleted, 50 bytes, 1 part",
        ),
        (
            {"records": 0, "parts": [{**PART, "key": None, "bytes": None}], "sync": RUN | {"deleted": None}},
            "changes run, 0 records, 0 bytes, 0 parts",
        ),
    ],
    ids=["export", "run", "run without changes"],
)
def test_end_of_a_run_has_its_kind_and_its_deletions(view, words):
    assert _words(view) == words


def test_late_rows_and_drift_are_warnings():
    assert _warnings({"sync": RUN}) == []
    drift = {"inserted": 0, "updated": 3, "deleted": 1}
    assert _warnings({"sync": RUN | {"late": 1, "drift": drift}}) == [
        "the chain differed from Zoho in rows that no run had seen change: 0 inserted, 3 updated, 1 deleted.",
        "1 row came late; the next windows reach further back.",
    ]
    assert _warnings({"sync": RUN | {"drift": dict.fromkeys(drift, 0)}}) == []


@pytest.mark.parametrize(
    ("states", "codes", "expected"),
    [
        ([], [], Exit.DONE),
        (["COMPLETED"], [], Exit.DONE),
        (["COMPLETED", "FAILED"], ["RUN_IN_PROGRESS"], Exit.FAILED),
        (["CANCELLED"], [], Exit.FAILED),
        (["COMPLETED"], ["RUN_IN_PROGRESS"], Exit.REFUSED),
        (["COMPLETED"], ["TOKEN_INVALIDATED"], Exit.REFUSED),
        ([], ["TOKEN_INVALIDATED", "RUN_IN_PROGRESS"], Exit.REFUSED),
        ([], ["TOKEN_INVALIDATED"], Exit.NOT_CONNECTED),
    ],
)
def test_exit_code_is_that_of_the_worst_end(states, codes, expected):
    views, refused = [{"state": state} for state in states], [{"code": code} for code in codes]
    assert _code(views, refused) is expected


class Syncs:
    """A backend that has syncs."""

    def __init__(self, *syncs):
        self.syncs = lambda: list(syncs)


def test_idle_command_names_the_next_run():
    syncs = [SYNC | {"module": name, "next_run_at": at} for name, at in (("A", "3"), ("B", "2"), ("C", None))]
    assert _nothing(Syncs(*syncs)) == "Nothing is due. Next: B at 2"
    assert "sync put" in _nothing(Syncs())


def test_shown_sync_has_its_last_run_with_drift():
    lines = _lines(SYNC)
    assert lines[:2] == [("module", "Contacts"), ("state", "IDLE")]
    assert lines[-4:] == [
        ("last run", "full, C"),
        ("", "1,000 records, deletions not read, 1 late, 58 credits"),
        ("", "drift: 1 inserted, 0 updated, 0 deleted"),
        ("", "E"),
    ]


def test_shown_sync_says_why_it_is_blocked_and_why_the_next_run_is_full():
    blocked = {"code": "X", "message": "m", "remedy": "r", "since": "S", "export_id": None}
    lines = _lines(SYNC | {"blocked": blocked, "next_full_because": "schema", "query": {"cvid": "7"}})
    assert ("next run", "N, in full: schema") in lines
    assert ("query", '{"cvid":"7"}') in lines
    assert lines[-3:] == [("blocked", "since S: X"), ("", "m"), ("", "r")]
