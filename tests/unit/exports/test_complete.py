"""When an export is COMPLETED, and what its manifest contains."""

from dataclasses import replace

import pytest

from crm_export.exports.complete import complete_export
from crm_export.exports.model import (
    RECORDS,
    DroppedField,
    ExportState,
    PartState,
    all_parts_stored,
    timestamp,
)
from crm_export.exports.view import summarize


@pytest.fixture
def two_parts(one_export):
    one_export.stored(1, "1", count=5, token="t")
    one_export.stored(2, "2", count=3)
    return one_export


def complete(one_export, export=None):
    complete_export(one_export.pipeline, export or one_export.export())


def test_parts_are_all_stored_only_from_first_to_last_without_a_gap(two_parts):
    export = two_parts.export()
    first, last = two_parts.table.get_parts(export)
    middle = replace(first, part=2)
    assert all_parts_stored(export, [first, last])
    assert all_parts_stored(export, [first, middle, replace(last, part=3)])
    assert not all_parts_stored(export, [])
    assert not all_parts_stored(export, [last])
    assert not all_parts_stored(export, [first])
    assert not all_parts_stored(export, [first, replace(last, part=3)])
    assert not all_parts_stored(export, [first, middle])
    assert not all_parts_stored(export, [replace(first, more_records=False), last])
    assert not all_parts_stored(export, [first, replace(last, state=PartState.READY)])
    assert not all_parts_stored(replace(export, first_part=2), [first, last])


def test_export_with_an_unfinished_part_stays_running(one_export, metric_names):
    one_export.stored(1, "1", token="t")
    complete(one_export)
    export = one_export.export()
    assert (export.state, export.completed_at) == (ExportState.RUNNING, None)
    assert (one_export.results.manifests, metric_names()) == ({}, set())


def test_manifest_describes_every_part_and_their_sums(two_parts, metric_names):
    two_parts.table.amend(two_parts.export(), fields_dropped=(DroppedField("A", "refused"),))
    complete(two_parts)
    export, (manifest,) = two_parts.export(), two_parts.results.manifests.values()
    assert (export.state, export.records) == (ExportState.COMPLETED, 8)
    assert export.completed_at == two_parts.now
    now = timestamp(two_parts.now)
    of_software = {"manifest_version", "created_by"}
    assert {key: value for key, value in manifest.items() if key not in {*of_software, "parts"}} == {
        "export_id": export.export_id,
        "account_id": "acct-1",
        "owner": "user-1",
        "module": "Contacts",
        "source": "bulk_read",
        "generation": 1,
        "file_format": "csv",
        "api_version": "v8",
        "query": {},
        "fields_dropped": [{"field": "A", "reason": "refused"}],
        "snapshot": True,
        "requested_at": now,
        "completed_at": now,
        "records": 8,
        "bytes": 80,
    }
    assert manifest["parts"] == [
        {
            "part": number,
            "key": export.part_key(number),
            "job_id": str(number),
            "records": records,
            "bytes": 10 * records,
            "crc32": f"0000000{number}",
            "header": ("Id",),
            "stored_at": now,
        }
        for number, records in ((1, 5), (2, 3))
    ]
    assert "ExportsCompleted" in metric_names()


def test_manifest_lists_more_than_nine_parts_in_order(one_export):
    for number in range(1, 12):
        one_export.stored(number, str(number), token=f"t{number}" if number < 11 else None)
    complete(one_export)
    (manifest,) = one_export.results.manifests.values()
    assert [part["part"] for part in manifest["parts"]] == list(range(1, 12))
    assert (manifest["records"], one_export.export().state) == (55, ExportState.COMPLETED)


def test_manifest_of_a_second_completion_is_the_same(two_parts):
    written = []
    two_parts.results.write_manifest = lambda key, manifest: written.append((key, manifest))
    seen = two_parts.export()
    two_parts.table.complete = lambda export_id: False
    complete(two_parts, seen)
    two_parts.let_pass(60)
    complete(two_parts, seen)
    assert written[0] == written[1]


def test_completion_of_export_that_failed_meanwhile_writes_no_manifest(two_parts):
    seen = two_parts.export()
    two_parts.fail()
    complete(two_parts, seen)
    assert two_parts.results.manifests == {}
    assert two_parts.export().state is ExportState.FAILED


def test_completion_of_export_that_restarted_meanwhile_writes_no_manifest(two_parts):
    seen = two_parts.export()
    two_parts.restart(3)
    complete(two_parts, seen)
    assert two_parts.results.manifests == {}
    assert two_parts.export().state is ExportState.RUNNING


def test_export_is_not_completed_if_its_manifest_cannot_be_written(two_parts):
    def refuse(key, manifest):
        raise OSError

    two_parts.results.write_manifest = refuse
    with pytest.raises(OSError):
        complete(two_parts)
    assert two_parts.export().state is ExportState.RUNNING
    assert two_parts.export().completed_at == two_parts.now


def test_export_is_sealed_before_its_manifest_is_written(two_parts):
    two_parts.results.write_manifest = lambda key, manifest: two_parts.fail()
    with pytest.raises(AssertionError):  # the table refuses to fail a sealed export
        complete(two_parts)
    assert two_parts.export().failure is None


def test_objects_of_an_earlier_generation_are_deleted_before_the_manifest_is_written(one_export):
    one_export.stored(1, "1", token="t")
    one_export.restart(3)
    one_export.stored(3, "3")
    objects = one_export.results.objects
    seen = []
    one_export.results.write_manifest = lambda key, manifest: seen.append((list(objects), manifest))
    complete(one_export)
    (keys, manifest), export = *seen, one_export.export()
    assert keys == [export.part_key(3)]
    assert ([part["part"] for part in manifest["parts"]], manifest["generation"]) == ([3], 2)


@pytest.mark.parametrize("changes", [{"source": RECORDS}, {"result_format": "csv.gz"}], ids=str)
def test_objects_of_dead_attempts_are_deleted_and_the_stored_one_is_kept(one_export, changes):
    export = one_export.create(**changes)
    one_export.results.objects[export.part_key(1)] = b"an attempt that died"
    one_export.stored(1, key=export.part_key(1, 2))
    complete(one_export)
    (manifest,) = one_export.results.manifests.values()
    assert list(one_export.results.objects) == [export.part_key(1, 2)] == [manifest["parts"][0]["key"]]


def test_only_a_completed_export_names_its_manifest(two_parts):
    export = two_parts.export()
    assert two_parts.table.seal(export, two_parts.now, 8)
    assert summarize(two_parts.export())["manifest_key"] is None
    complete(two_parts)
    assert summarize(two_parts.export())["manifest_key"] == export.manifest_key


def test_failed_export_names_no_manifest(two_parts):
    two_parts.fail()
    assert summarize(two_parts.export())["manifest_key"] is None
