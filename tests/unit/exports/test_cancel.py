"""Cancelling an export: what stops, what is deleted, and what cannot be cancelled any more."""

import pytest

from crm_export.errors import (
    ExportNotCancellable,
    ExportNotFound,
    PartBusy,
    QueueUnavailable,
    StorageUnavailable,
)
from crm_export.exports.cancel import cancel_export
from crm_export.exports.complete import complete_export
from crm_export.exports.model import Caller, ExportState
from crm_export.exports.view import describe_export
from tests.unit.exports.conftest import CALLER, EXPORT_ID


def cancel(one_export):
    return cancel_export(one_export.pipeline, CALLER, one_export.export_id)


def test_cancelled_export_loses_its_objects_and_is_announced_after_that(one_export, metric_names):
    one_export.stored(token="t")
    other = f"{one_export.export().folder[:-1]}0/part-00001.csv"
    one_export.results.objects[other] = b"another export's"
    assert cancel(one_export).state is ExportState.CANCELLED
    assert one_export.events.sent == []
    assert one_export.download_queue.sent == [(1, 0)]
    one_export.advance()
    assert list(one_export.results.objects) == [other]
    ((kind, detail),) = one_export.events.sent
    assert (kind, detail["state"], detail["export_id"]) == ("Export Cancelled", "CANCELLED", EXPORT_ID)
    assert list(one_export.table.open_export_ids()) == []
    assert metric_names() >= {"ExportsCancelled"}


def test_second_cancellation_returns_the_export_and_changes_nothing(one_export, metric_names):
    first = cancel(one_export)
    one_export.let_pass(10)
    assert cancel(one_export) == first
    assert one_export.download_queue.sent == [(1, 0)]


def test_late_messages_of_a_cancelled_export_do_nothing(one_export):
    one_export.ready(token="t")
    cancel(one_export)
    one_export.advance()
    for number in (1, 2):
        one_export.advance(number)
        one_export.submit(number)
    assert (one_export.zoho.created, one_export.zoho.asked, len(one_export.events.sent)) == ([], [], 1)


def test_worker_that_is_storing_a_part_is_stopped_before_the_object_appears(one_export):
    one_export.ready()
    one_export.results.before_it_appears = lambda: cancel(one_export)
    with pytest.raises(PartBusy):
        one_export.advance()
    assert one_export.results.objects == {}


def test_sealed_export_cannot_be_cancelled(one_export):
    one_export.stored()
    one_export.table.seal(one_export.export(), one_export.now, 5)
    with pytest.raises(ExportNotCancellable, match="all its parts are stored, and its manifest is being"):
        cancel(one_export)
    complete_export(one_export.pipeline, one_export.export())
    with pytest.raises(ExportNotCancellable, match="cannot be cancelled: it is COMPLETED"):
        cancel(one_export)
    assert one_export.results.manifests


def test_failed_export_cannot_be_cancelled(one_export):
    one_export.fail()
    with pytest.raises(ExportNotCancellable, match="it is FAILED"):
        cancel(one_export)


def test_export_of_another_account_is_not_found(one_export):
    with pytest.raises(ExportNotFound):
        cancel_export(one_export.pipeline, Caller("another", "user-1"), EXPORT_ID)
    assert one_export.export().state is ExportState.RUNNING


def test_clean_up_that_fails_is_repeated_by_the_reconciler(one_export):
    one_export.stored(token="t")
    failing = FailingOnce(one_export)
    one_export.download_queue.send = failing.send
    one_export.pipeline = one_export.replaced(results=failing)
    cancel(one_export)  # the message is lost
    assert one_export.reconcile() == 0
    one_export.let_pass(300)
    assert one_export.reconcile() == 1
    with pytest.raises(StorageUnavailable):
        one_export.advance()
    assert one_export.events.sent == []
    one_export.advance()
    assert (one_export.results.objects, len(one_export.events.sent)) == ({}, 1)


class FailingOnce:
    """Results and queue that fail when they are used for the first time."""

    def __init__(self, one_export):
        self._results, self._queue = one_export.results, one_export.download_queue.sent
        self._failures = [
            QueueUnavailable("SQS does not respond."),
            None,
            StorageUnavailable("S3 does not respond."),
        ]

    def _fail(self):
        failure = self._failures.pop(0) if self._failures else None
        if failure:
            raise failure

    def send(self, export_id, part, *, group, delay=0):
        self._fail()
        self._queue.append((part, delay))

    def remove_leftovers(self, folder, keep):
        self._fail()
        self._results.remove_leftovers(folder, keep)


def test_cancelled_export_is_shown_without_records_and_links(one_export):
    one_export.stored(token="t")
    cancel(one_export)
    shown = describe_export(one_export.pipeline, CALLER, EXPORT_ID)
    assert (shown["state"], shown["records"], shown["manifest_key"]) == ("CANCELLED", None, None)
    assert (shown["manifest_url"], shown["failure"]) == (None, None)
    assert [(part["url"], part["proved"], part["waiting_for"]) for part in shown["parts"]] == [
        (None, False, None),
        (None, False, None),
    ]
