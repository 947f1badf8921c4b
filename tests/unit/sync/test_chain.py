"""What latest.json lists after a run, whatever has become of it, and which chain is whole."""

import json

import pytest

from crm_export.errors import ChainBroken
from crm_export.exports.model import ExportState
from crm_export.exports.runs import Link
from crm_export.sync.chain import follow, latest_key, publish_latest, updated
from crm_export.sync.fold import read_chain

KEY = latest_key("acct-1", "Contacts")


def runs(world, *kinds):
    """Do runs, an hour apart, each with a new contact; return their manifests."""
    manifests = []
    for number, kind in enumerate(kinds):
        world.zoho.put(100 + number)
        manifests.append(world.run(kind))
        world.let_pass(hours=1)
    return manifests


def ids(world):
    """Return the export ids that latest.json lists."""
    latest = world.latest()
    return [key.split("export_id=")[1].split("/")[0] for key in (latest["full"], *latest["changes"])]


def publish(world, manifest):
    """Write latest.json as a worker does that completes the run of a manifest."""
    export = world.export(manifest["export_id"])
    publish_latest(world.results, export, export.sync, updated(export))


def listed(manifests):
    return [manifest["export_id"] for manifest in manifests]


def test_latest_lists_the_full_run_and_the_changes_since_in_order(world):
    world.put(every="1h")
    found = runs(world, "full", "changes", "changes")
    assert ids(world) == listed(found)
    full = runs(world, "full", "changes")
    assert ids(world) == listed(full)
    assert world.latest()["watermark"] == full[-1]["sync"]["window"]["to"]


@pytest.mark.parametrize("late", [0, 1, 2])
def test_worker_that_is_late_changes_nothing(world, late):
    world.put(every="1h")
    found = runs(world, "full", "changes", "changes")
    publish(world, found[late])
    assert ids(world) == listed(found)


@pytest.mark.parametrize("late", [0, 1])
def test_worker_that_is_late_changes_nothing_after_the_next_full_run(world, late):
    world.put(every="1h")
    found = runs(world, "full", "changes", "full")
    publish(world, found[late])
    assert ids(world) == listed(found[2:])


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        b"",
        b"no JSON",
        b"[]",
        b"{}",
        b'{"full": 5, "changes": 5, "watermark": 5}',
        b'{"full": "x", "changes": "xyz", "watermark": "yesterday"}',
        b'{"full": null, "changes": null, "watermark": null}',
        b'{"full": "x", "changes": [["y"], {}, null]}',
    ],
)
def test_latest_that_is_lost_or_damaged_is_written_again_by_the_next_run(world, damaged):
    world.put(every="1h")
    found = runs(world, "full", "changes")
    del world.bucket.objects[KEY]
    if damaged is not None:
        world.bucket.put(KEY, damaged)
    found += runs(world, "changes")
    assert ids(world) == listed(found)
    assert world.folded() == {1, 2, 3, 100, 101}


def test_latest_of_an_older_run_is_brought_up_to_date_by_the_next_run(world):
    world.put(every="1h")
    found = runs(world, "full")
    old = world.bucket.objects[KEY]
    found += runs(world, "changes", "changes")
    world.bucket.put(KEY, old)
    found += runs(world, "changes")
    assert ids(world) == listed(found)


def test_chain_without_one_of_its_manifests_is_broken(world):
    world.put(every="1h")
    found = runs(world, "full", "changes", "changes")
    link = world.sync().previous
    assert [manifest["export_id"] for manifest in follow(world.results.read_manifest, link).changes] == (
        listed(found[1:])
    )
    del world.bucket.objects[world.export(found[1]["export_id"]).manifest_key]
    with pytest.raises(ChainBroken, match="is missing"):
        follow(world.results.read_manifest, link)


def test_chain_that_ends_with_an_export_like_others_is_broken(world):
    key = "exports/manifest.json"
    world.bucket.put(key, json.dumps({"export_id": "e", "sync": None}).encode())
    with pytest.raises(ChainBroken, match="not of a run of a sync"):
        follow(world.results.read_manifest, Link("e", key, ""))


def test_chain_that_never_ends_is_broken(world):
    manifest = {"sync": {"kind": "changes", "previous": {"manifest_key": "same"}}}
    with pytest.raises(ChainBroken, match="no full run"):
        follow(lambda key: manifest, Link("e", "same", ""))


def test_manifest_that_was_changed_is_found_by_readers(world):
    world.put(every="1h")
    found = runs(world, "full", "changes")
    key = world.export(found[0]["export_id"]).manifest_key
    world.bucket.put(key, json.dumps({**found[0], "records": 4}).encode())
    with pytest.raises(ChainBroken, match="was changed"):
        read_chain(world.results, "acct-1", "Contacts")


def test_run_whose_chain_is_broken_completes_and_the_next_one_begins_another_chain(world):
    """latest.json was lost, and with it a manifest, so that nobody can tell what belongs to the chain."""
    world.put(every="1h")
    found = runs(world, "full", "changes")
    del world.bucket.objects[KEY]
    del world.bucket.objects[world.export(found[0]["export_id"]).manifest_key]
    world.zoho.put(9)
    export = world.finish(world.request())
    assert export.state is ExportState.COMPLETED
    assert world.latest() is None
    assert (world.sync().full_reason, world.sync().due_at) == ("first", world.now)
    world.let_pass(minutes=5)
    manifest = world.run()
    assert (manifest["sync"]["kind"], manifest["sync"]["reason"]) == ("full", "first")
    assert ids(world) == [manifest["export_id"]]
    assert world.folded() == {1, 2, 3, 9, 100, 101}


def test_full_run_after_a_broken_chain_is_not_audited_and_says_so(world, metric_names):
    world.put(every="1h")
    found = runs(world, "full", "changes")
    del world.bucket.objects[world.export(found[0]["export_id"]).manifest_key]
    manifest = world.run("full")
    assert (manifest["sync"]["drift"], manifest["sync"]["diff_key"]) == (None, None)
    assert "SyncAuditsImpossible" in metric_names()


def test_run_at_the_same_second_as_the_one_before_follows_it(world):
    world.put(every="1h")
    first = world.run()
    second = world.run()
    assert ids(world) == listed([first, second])
    assert second["sync"]["window"]["to"] == first["sync"]["window"]["to"]


def test_other_writers_of_latest_are_not_overwritten(world):
    """Another worker writes the next run while this one, which is late, has read latest.json."""
    world.put(every="1h")
    found = runs(world, "full", "changes")
    both = world.bucket.objects[KEY]
    older = {**world.latest(), "changes": []}
    world.bucket.put(KEY, json.dumps(older).encode())
    changed = world.bucket.changed

    def other(key):
        world.bucket.changed = changed
        world.bucket.put(KEY, both)

    world.bucket.changed = other
    publish(world, found[1])
    assert ids(world) == listed(found)
