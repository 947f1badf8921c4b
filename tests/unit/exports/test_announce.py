"""What an export that has ended announces, and when it does so again."""

import json
from dataclasses import replace

import pytest

from crm_export import deadline
from crm_export.errors import EventNotSent, StateUnavailable
from crm_export.exports.complete import complete_export
from crm_export.exports.model import ExportState, timestamp

DOWN = EventNotSent("EventBridge is down.")


def complete(one_export):
    one_export.stored(count=5)
    complete_export(one_export.pipeline, one_export.export())
    assert one_export.export().state is ExportState.COMPLETED


def is_open(one_export):
    return one_export.export_id in set(one_export.table.open_export_ids())


def about(one_export):
    export = one_export.export()
    return {
        "export_id": export.export_id,
        "account_id": "acct-1",
        "owner": "user-1",
        "module": "Contacts",
        "requested_at": timestamp(export.requested_at),
        "completed_at": timestamp(export.completed_at),
    }


def test_completed_export_announces_its_records_and_where_its_manifest_is(one_export):
    complete(one_export)
    assert one_export.events.sent == [
        (
            "Export Completed",
            about(one_export)
            | {
                "state": "COMPLETED",
                "records": 5,
                "bucket": "results",
                "manifest_key": one_export.export().manifest_key,
            },
        )
    ]
    assert not is_open(one_export)


def test_failed_export_announces_code_message_and_remedy(one_export):
    one_export.let_pass(24 * 3600 + 1)
    one_export.reconcile()
    failure = one_export.export().failure
    ((detail_type, detail),) = one_export.events.sent
    assert detail_type == "Export Failed"
    assert detail == about(one_export) | {"state": "FAILED", **vars(failure)}
    assert (detail["code"], bool(detail["message"]), bool(detail["remedy"])) == (
        "DEADLINE_EXCEEDED",
        True,
        True,
    )
    assert not is_open(one_export)


def test_detail_is_json(one_export):
    complete(one_export)
    ((_, detail),) = one_export.events.sent
    assert json.loads(json.dumps(detail)) == detail


def test_export_that_cannot_be_announced_has_ended_all_the_same(one_export, metric_names):
    one_export.events.fails = DOWN
    complete(one_export)
    assert is_open(one_export)
    assert {"ExportsCompleted", "EventsNotSent"} <= metric_names()


def test_table_that_is_down_after_the_event_was_sent_ends_nothing(one_export):
    def down(export_id):
        raise StateUnavailable("DynamoDB is down.")

    mark_announced, one_export.table.mark_announced = one_export.table.mark_announced, down
    complete(one_export)
    one_export.table.mark_announced = mark_announced
    one_export.let_pass(300)
    one_export.reconcile()
    assert [name for name, _ in one_export.events.sent] == ["Export Completed", "Export Completed"]
    assert not is_open(one_export)


def test_tick_announces_what_could_not_be_announced(one_export):
    one_export.events.fails = DOWN
    complete(one_export)
    one_export.let_pass(300)
    assert one_export.reconcile() == 0
    assert is_open(one_export)
    one_export.events.fails = None
    for _ in range(2):
        one_export.let_pass(300)
        assert one_export.reconcile() == 0
    assert [name for name, _ in one_export.events.sent] == ["Export Completed"]
    assert not is_open(one_export)
    assert (one_export.submit_queue.parts, one_export.download_queue.parts) == ([], [])


def test_tick_leaves_an_export_alone_that_has_just_ended(one_export):
    """The worker that ended it may be about to announce it."""
    one_export.events.fails = DOWN
    complete(one_export)
    one_export.events.fails = None
    one_export.let_pass(299)
    one_export.reconcile()
    assert one_export.events.sent == []
    one_export.let_pass(1)
    one_export.reconcile()
    assert len(one_export.events.sent) == 1


def test_export_is_announced_for_a_day_at_most(one_export):
    one_export.events.fails = DOWN
    complete(one_export)
    one_export.let_pass(24 * 3600 - 1)
    one_export.reconcile()
    assert is_open(one_export)
    one_export.let_pass(1)
    one_export.reconcile()
    assert not is_open(one_export)


@pytest.mark.parametrize(("seconds", "sent"), [(19, 0), (20, 1)])
def test_worker_without_time_leaves_the_announcement_to_the_reconciler(one_export, seconds, sent):
    with deadline.ends_in(seconds + 0.5):
        complete(one_export)
    assert len(one_export.events.sent) == sent
    assert is_open(one_export) == (not sent)


def test_export_that_another_worker_failed_is_announced_by_that_one_only(one_export):
    seen = one_export.export()
    one_export.fail()  # the other worker has not announced it yet
    complete_export(one_export.pipeline, seen)
    one_export.pipeline = replace(one_export.pipeline)
    assert one_export.events.sent == []
