"""What the end of a run stores, what it changes in the sync, and what happens if it fails on the way."""

from datetime import UTC, datetime, timedelta

import pytest

from crm_export.errors import (
    ConnectionMalformed,
    StateUnavailable,
    StorageUnavailable,
    ZohoNotFound,
    ZohoPermissionDenied,
    ZohoUnavailable,
)
from crm_export.exports.model import ExportState, Part
from simulation.calls import refusal
from tests.unit.sync.conftest import NOON


def open_run(world, kind="changes"):
    """Start a run; return its export."""
    return world.request(kind)


def stored_run(world):
    """Start a run whose rows are stored, and whose deletions cannot be read yet."""
    export = world.request()
    world.zoho.deletions_fail = ZohoUnavailable("down")
    with pytest.raises(ZohoUnavailable):
        world.finish(export)
    world.zoho.deletions_fail = None
    world.let_pass(minutes=1)
    return world.export(export.export_id)


# --- what a run changes ---


def test_run_of_changes_moves_the_watermark_and_names_its_manifest(synced):
    synced.zoho.put(4)
    synced.zoho.delete(2)
    manifest = synced.run()
    sync = synced.sync()
    assert sync.watermark == NOON + timedelta(minutes=55)
    assert sync.previous.export_id == manifest["export_id"]
    assert sync.previous.sha256 == synced.results.digest(sync.previous.manifest_key)
    assert (sync.full_at, sync.deletes_read_at) == (NOON - timedelta(minutes=5), sync.watermark)
    assert (sync.open_run, sync.full_reason) == (None, None)
    assert (sync.last_run.records, sync.last_run.deleted) == (1, 1)
    assert synced.folded() == {1, 3, 4}


def test_full_run_begins_a_new_chain(synced):
    synced.zoho.put(4)
    synced.run()
    synced.let_pass(hours=1)
    full = synced.run("full")
    sync = synced.sync()
    assert sync.full == sync.previous
    assert (sync.full_at, sync.full_records) == (synced.now - timedelta(minutes=5), 4)
    assert synced.latest()["changes"] == []
    assert full["export_id"] in synced.latest()["full"]
    assert full["sync"]["drift"] == {"inserted": 0, "updated": 0, "deleted": 0}


def test_watermark_stays_when_zohos_clock_was_set_back(synced):
    before = synced.sync().watermark
    synced.zoho.skew = timedelta(days=-2)
    synced.run()
    assert synced.sync().watermark == before


def test_late_row_doubles_the_overlap_and_is_counted(synced):
    synced.run()
    synced.let_pass(hours=1)
    synced.zoho.records[9] = synced.sync().watermark - timedelta(minutes=10)  # visible only now
    manifest = synced.run()
    assert manifest["sync"]["late"] == 1
    assert synced.sync().overlap == timedelta(minutes=30)
    synced.let_pass(hours=1)
    synced.run()
    assert synced.zoho.probed[-1] == synced.sync().watermark - timedelta(hours=1, minutes=30)
    assert synced.folded() == {1, 2, 3, 9}


def test_row_that_the_previous_run_had_is_not_late(synced):
    synced.zoho.put(4)
    synced.let_pass(minutes=10)
    synced.run()
    synced.let_pass(minutes=5)
    manifest = synced.run()
    assert (manifest["records"], manifest["sync"]["late"]) == (1, 0)


def test_new_field_makes_the_next_run_full_at_once(synced):
    synced.zoho.names = ["Modified_Time", "Nickname"]
    synced.zoho.put(1)
    synced.run()
    assert (synced.sync().full_reason, synced.sync().due_at) == ("schema", synced.now)
    synced.let_pass(minutes=5)
    manifest = synced.run()
    assert (manifest["sync"]["kind"], manifest["sync"]["reason"]) == ("full", "schema")
    synced.let_pass(minutes=5)
    assert synced.run()["sync"]["kind"] == "changes"


def test_fields_that_cannot_be_read_once_are_no_change_of_the_schema(synced):
    synced.zoho.fields_fail = ZohoPermissionDenied("no")
    synced.run()
    synced.zoho.fields_fail = None
    synced.let_pass(hours=1)
    synced.run()
    assert synced.sync().full_reason is None
    synced.zoho.names = ["Modified_Time", "Nickname"]
    synced.let_pass(hours=1)
    synced.run()
    assert synced.sync().full_reason == "schema"


def test_new_column_makes_the_next_run_full_if_the_fields_cannot_be_read(world):
    world.zoho.fields_fail = ZohoPermissionDenied("no")
    world.put(every="1h")
    world.run()
    kinds = []
    for names in (["Modified_Time"], ["Modified_Time", "Nickname"], ["Modified_Time", "Nickname"]):
        world.zoho.names = names
        world.let_pass(hours=1)
        world.zoho.put(1)
        kinds.append(world.run()["sync"]["kind"])
    assert (kinds, world.sync().full_reason) == (["changes", "changes", "full"], None)
    world.let_pass(hours=1)
    assert world.run()["sync"]["kind"] == "changes"


def test_field_that_is_added_while_a_full_run_reads_makes_the_next_but_one_full(synced):
    """The fields that are read at the end of the run have the new one, but its rows have not."""
    read = iter([["Modified_Time", "Nickname"]])
    synced.zoho.after_rows = lambda: setattr(synced.zoho, "names", next(read, synced.zoho.names))
    synced.run("full")
    synced.let_pass(hours=1)
    synced.zoho.put(1)
    synced.run()
    assert synced.sync().full_reason == "schema"


def test_new_field_of_a_disabled_sync_does_not_make_it_due(synced):
    synced.put(enabled=False)
    synced.zoho.names = ["Modified_Time", "Nickname"]
    synced.run()
    assert (synced.sync().full_reason, synced.sync().due_at) == ("schema", None)


def test_restored_row_stays_although_its_deletion_is_listed(synced):
    synced.zoho.delete(2)
    synced.run()
    synced.let_pass(hours=1)
    deleted_at = synced.zoho.deleted[2]
    synced.zoho.put(2)
    synced.zoho.deleted[2] = deleted_at
    synced.change(overlap=timedelta(hours=3))
    manifest = synced.run()
    assert (manifest["records"], manifest["sync"]["deleted"]) == (1, 1)
    assert synced.folded() == {1, 2, 3}


# --- deletions that cannot be read ---


@pytest.mark.parametrize("error", [ZohoPermissionDenied("no"), ZohoNotFound("no such page")])
def test_refused_deletions_make_the_next_run_full(synced, error):
    synced.zoho.deletions_fail = error
    manifest = synced.run()
    assert manifest["sync"]["deleted"] is None
    assert (synced.sync().deletes_read_at, synced.sync().full_reason) == (None, "deletes_unreadable")
    synced.zoho.delete(2)
    synced.let_pass(hours=1)
    manifest = synced.run()
    assert (manifest["sync"]["kind"], manifest["sync"]["reason"]) == ("full", "deletes_unreadable")
    assert synced.folded() == {1, 3}


def test_sync_reads_changes_again_when_deletions_can_be_read_again(synced):
    synced.zoho.deletions_fail = ZohoPermissionDenied("no")
    synced.run()
    synced.zoho.deletions_fail = None
    kinds = []
    for _ in range(2):
        synced.let_pass(hours=1)
        kinds.append(synced.run()["sync"]["kind"])
    assert kinds == ["full", "changes"]


def test_outage_of_deletions_is_waited_for(synced):
    synced.zoho.put(4)
    export = stored_run(synced)
    assert (export.state, export.sync.result) == (ExportState.RUNNING, None)
    synced.zoho.delete(3)
    assert synced.finish(export).state is ExportState.COMPLETED
    assert synced.folded() == {1, 2, 4}


def test_deletions_that_cannot_be_read_for_two_hours_make_the_next_run_full(synced):
    synced.zoho.put(4)
    export = open_run(synced)
    synced.zoho.deletions_fail = ZohoUnavailable("The list keeps changing.")
    assert synced.until_ended(export).state is ExportState.COMPLETED
    assert synced.now - NOON < timedelta(hours=4)
    assert synced.sync().full_reason == "deletes_unreadable"
    full = synced.until_ended(open_run(synced))
    assert (full.state, full.sync.kind) == (ExportState.COMPLETED, "full")


def test_run_that_cannot_be_ended_fails_at_its_deadline_and_the_next_one_begins(synced):
    synced.zoho.put(4)
    export = open_run(synced)
    synced.zoho.deletions_fail = StorageUnavailable("S3 is down.")
    with pytest.raises(StorageUnavailable):
        synced.finish(export)
    synced.let_pass(hours=25)
    synced.reconcile()
    failed = synced.export(export.export_id)
    assert (failed.state, failed.failure.code) == (ExportState.FAILED, "DEADLINE_EXCEEDED")
    assert "the sync could not end the run. Its last error" in failed.failure.message
    synced.zoho.deletions_fail = None
    synced.run()
    assert synced.folded() == {1, 2, 3, 4}


def test_revoked_connection_fails_the_run(synced):
    export = open_run(synced)
    synced.zoho.deletions_fail = ConnectionMalformed("gone")
    assert synced.until_ended(export).failure.code == "CONNECTION_MALFORMED"
    assert synced.sync().watermark == NOON - timedelta(minutes=5)


# --- a run that is interrupted ---


def test_restart_forgets_what_was_found_about_the_generation_before(synced):
    """A worker that is late restarts the export after the deletions were read and before it is sealed."""
    synced.zoho.put(4)
    synced.zoho.delete(3)
    export = open_run(synced)

    def restart(key, old, new):
        found = synced.export(export.export_id)
        if found.sync.result is not None:
            synced.items.changed = lambda *write: None
            assert synced.exports.restart(found, Part(export.export_id, 2, synced.now))
            synced.zoho.delete(2)

    synced.items.changed = restart
    assert synced.finish(export).state is ExportState.COMPLETED
    manifest = synced.results.read_manifest(export.manifest_key)
    assert manifest["generation"] == 2
    assert manifest["sync"]["deleted_key"].endswith("deleted-00002.csv")
    assert synced.folded() == {1, 4}


def test_completion_is_retried_after_latest_was_written_and_the_transaction_lost(synced):
    synced.zoho.put(4)
    export = open_run(synced)

    def lose():
        raise refusal("ProvisionedThroughputExceededException", "TransactWriteItems")

    synced.client.before["transact_write_items"] = lose
    with pytest.raises(StateUnavailable):
        synced.finish(export)
    assert export.export_id in synced.latest()["changes"][-1]
    assert synced.sync().watermark == NOON - timedelta(minutes=5)
    assert synced.finish(export).state is ExportState.COMPLETED
    assert len(synced.latest()["changes"]) == 1
    assert synced.sync().watermark == NOON + timedelta(minutes=55)


def test_two_workers_complete_a_run_once(synced):
    synced.zoho.put(4)
    export = open_run(synced)
    ended = []
    synced.client.before["transact_write_items"] = lambda: ended.append(synced.finish(export).state)
    assert synced.finish(export).state is ExportState.COMPLETED
    assert ended == [ExportState.COMPLETED]
    assert (synced.sync().revision, synced.sync().watermark) == (4, NOON + timedelta(minutes=55))
    assert len(synced.latest()["changes"]) == 1


def test_sync_that_a_user_changes_during_the_completion_keeps_both_changes(synced):
    export = open_run(synced)
    synced.client.before["transact_write_items"] = lambda: synced.put(every="6h")
    assert synced.finish(export).state is ExportState.COMPLETED
    sync = synced.sync()
    assert (sync.every, sync.watermark) == (timedelta(hours=6), NOON + timedelta(minutes=55))


# --- a sync that changes while its run is open ---


def test_sync_that_is_deleted_leaves_its_run_an_export_like_others(synced):
    export = open_run(synced)
    latest = synced.latest()
    synced.table.delete(synced.sync())
    assert synced.finish(export).state is ExportState.COMPLETED
    assert synced.sync() is None
    assert synced.latest() == latest


def test_sync_that_is_created_again_ignores_the_run_of_the_one_before(synced):
    synced.zoho.put(4)
    export = open_run(synced)
    synced.table.delete(synced.sync())
    synced.let_pass(minutes=1)
    synced.put(every="1h")
    first = synced.request()
    assert synced.finish(export).state is ExportState.COMPLETED
    assert (synced.sync().watermark, synced.sync().open_run) == (None, first.export_id)
    synced.finish(first)
    assert synced.latest()["full"] == synced.export(first.export_id).manifest_key
    assert synced.latest()["changes"] == []


def test_other_query_makes_the_open_run_no_part_of_the_chain(synced):
    export = open_run(synced)
    latest, before = synced.latest(), synced.sync()
    synced.put(query={"fields": ["Last_Name"]})
    assert synced.finish(export).state is ExportState.COMPLETED
    sync = synced.sync()
    assert (sync.open_run, sync.previous, sync.watermark) == (None, before.previous, before.watermark)
    assert (sync.full_reason, synced.latest()) == ("requested", latest)
    assert synced.run()["sync"]["reason"] == "requested"
    assert synced.sync().full_reason is None


def test_disabled_sync_ends_its_run_and_starts_no_other(synced):
    synced.zoho.put(4)
    export = open_run(synced)
    synced.put(enabled=False)
    assert synced.finish(export).state is ExportState.COMPLETED
    assert synced.sync().watermark == NOON + timedelta(minutes=55)
    synced.let_pass(days=8)
    assert synced.tick() == 0
    synced.put(enabled=True)
    assert synced.tick() == 1
    synced.deliver()
    run = synced.export(synced.sync().open_run).sync
    assert (run.kind, run.reason) == ("full", "scheduled")


# --- what an export of a run looks like ---


def test_ids_that_are_no_numbers_end_the_run_all_the_same(synced):
    synced.zoho.records = {"abc": synced.zoho.now(), "12": synced.zoho.now()}
    manifest = synced.run()
    assert (manifest["records"], manifest["sync"]["late"]) == (2, 0)
    synced.let_pass(hours=1)
    assert synced.run("full")["sync"]["drift"] is None


def test_run_of_a_module_that_turns_out_to_need_the_records_api_reads_its_window(synced):
    synced.zoho.has_bulk_read = False
    synced.zoho.put(4)
    manifest = synced.run()
    assert (manifest["source"], manifest["sync"]["kind"], manifest["records"]) == ("records", "changes", 1)
    assert synced.folded() == {1, 2, 3, 4}


def test_run_that_can_only_read_all_records_becomes_a_full_one(synced):
    synced.zoho.has_bulk_read = synced.zoho.lists_by_time = False
    synced.zoho.put(4)
    synced.zoho.delete(3)
    manifest = synced.run()
    facts = manifest["sync"]
    assert (facts["kind"], facts["reason"]) == ("full", "deletes_unreadable")
    assert facts["drift"] == {"inserted": 0, "updated": 0, "deleted": 0}
    assert b"I,4" in synced.bucket.objects[facts["diff_key"]]
    sync = synced.sync()
    assert (sync.full, sync.full_at) == (sync.previous, sync.watermark)
    assert synced.latest()["changes"] == []
    assert manifest["export_id"] in synced.latest()["full"]
    assert synced.folded() == {1, 2, 4}


def test_chain_of_compressed_results_is_compared_and_read_like_others(world):
    world.limit(result_format="csv.gz")
    world.put(every="1h")
    world.run()
    world.let_pass(hours=1)
    world.zoho.put(1, 4)
    world.zoho.delete(2)
    changes = world.run()
    assert changes["parts"][0]["key"].endswith(".csv.gz")
    assert changes["parts"][0]["index"] in world.bucket.objects
    assert changes["sync"]["removed_key"] in world.bucket.objects
    assert world.folded() == {1, 3, 4}
    world.let_pass(hours=1)
    world.zoho.records[3] = NOON - timedelta(days=2)  # changed without moving Modified_Time
    full = world.run("full")
    assert full["sync"]["drift"] == {"inserted": 0, "updated": 1, "deleted": 0}
    assert full["sync"]["diff_key"] in world.bucket.objects


def test_results_that_are_gone_keep_a_run_from_nothing(synced):
    """ResultRetentionDays was shorter than the time between two runs."""
    synced.zoho.put(4)
    synced.run()
    for key in [key for key in synced.bucket.objects if key.startswith("exports/")]:
        if not key.endswith("manifest.json"):
            del synced.bucket.objects[key]
    synced.zoho.records[9] = synced.sync().watermark - timedelta(minutes=10)
    synced.let_pass(hours=1)
    assert synced.run()["sync"]["late"] == 0
    synced.let_pass(hours=1)
    assert synced.run("full")["sync"]["drift"] is None


def test_modified_time_with_other_offsets_counts_as_the_same_moment(synced):
    """The overlap is of the hour in which summer time ends, where offsets change and texts do not sort."""
    synced.zoho.put(4)
    synced.zoho.records[4] = datetime.fromisoformat("2026-11-22T18:25:00+05:30")
    manifest = synced.run()
    assert (manifest["records"], manifest["sync"]["late"]) == (1, 0)
    synced.zoho.deleted[4] = synced.zoho.records.pop(4).astimezone(UTC)
    synced.let_pass(minutes=1)
    synced.run()
    assert synced.folded() == {1, 2, 3}
