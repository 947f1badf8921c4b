"""When an export ends, and what its manifest says."""

from dataclasses import replace

import pytest

from crm_export.exports.complete import all_parts_stored, complete_export
from crm_export.exports.model import RECORDS, ExportState, PartState
from crm_export.exports.view import summary


@pytest.fixture
def two_parts(pipeline):
    pipeline.create()
    pipeline.stored(1, "1", count=5, token="t")
    pipeline.stored(2, "2", count=3)
    return pipeline


def complete(pipeline, export=None):
    complete_export(pipeline.store, pipeline.results, pipeline.clock, export or pipeline.export())


def test_parts_are_all_there_only_from_first_to_last_without_a_gap(two_parts):
    export = two_parts.export()
    first, last = two_parts.store.get_parts(export)
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


def test_the_manifest_tells_of_every_part_and_of_their_sums(two_parts):
    complete(two_parts)
    export, (manifest,) = two_parts.export(), two_parts.results.manifests.values()
    assert (export.state, export.records) == (ExportState.COMPLETED, 8)
    assert (manifest["records"], manifest["bytes"]) == (8, 80)
    assert manifest["completed_at"] == export.completed_at == two_parts.moment
    facts = [
        [part[name] for name in ("part", "job_id", "records", "bytes", "crc32")] for part in manifest["parts"]
    ]
    assert facts == [[1, "1", 5, 50, "00000001"], [2, "2", 3, 30, "00000002"]]
    assert [part["key"] for part in manifest["parts"]] == [export.part_key(1), export.part_key(2)]


def test_parts_come_in_their_order_however_many_there_are(pipeline):
    pipeline.create()
    for number in range(1, 12):
        pipeline.stored(number, str(number), token=f"t{number}" if number < 11 else None)
    complete(pipeline)
    (manifest,) = pipeline.results.manifests.values()
    assert [part["part"] for part in manifest["parts"]] == list(range(1, 12))
    assert (manifest["records"], pipeline.export().state) == (55, ExportState.COMPLETED)


def test_an_export_that_failed_meanwhile_gets_no_manifest(two_parts):
    seen = two_parts.export()
    two_parts.fail()
    complete(two_parts, seen)
    assert two_parts.results.manifests == {}
    assert two_parts.export().state is ExportState.FAILED


def test_an_export_that_began_anew_meanwhile_gets_no_manifest(two_parts):
    seen = two_parts.export()
    two_parts.begin_anew(3)
    complete(two_parts, seen)
    assert two_parts.results.manifests == {}
    assert two_parts.export().state is ExportState.RUNNING


def test_an_export_is_not_completed_without_its_manifest(two_parts):
    def refuse(key, manifest):
        raise OSError

    two_parts.results.write_manifest = refuse
    with pytest.raises(OSError):
        complete(two_parts)
    assert two_parts.export().state is ExportState.RUNNING


def test_objects_of_an_earlier_generation_are_gone_before_the_manifest_is_there(pipeline):
    pipeline.create()
    pipeline.stored(1, "1", token="t")
    pipeline.begin_anew(3)
    pipeline.stored(3, "3")
    complete(pipeline)
    export, (manifest,) = pipeline.export(), pipeline.results.manifests.values()
    assert list(pipeline.results.objects) == [export.part_key(3)]
    assert ([part["part"] for part in manifest["parts"]], manifest["generation"]) == ([3], 2)


def test_objects_of_attempts_that_died_are_gone_and_the_one_that_counts_is_kept(pipeline):
    export = pipeline.create(source=RECORDS)
    pipeline.results.objects[export.part_key(1)] = b"an attempt that died"
    pipeline.stored(1, key=export.part_key(1, 2))
    complete(pipeline)
    (manifest,) = pipeline.results.manifests.values()
    assert list(pipeline.results.objects) == [export.part_key(1, 2)] == [manifest["parts"][0]["key"]]


def test_only_a_completed_export_names_its_manifest(two_parts):
    export = two_parts.export()
    assert two_parts.store.seal(export, two_parts.moment, 8)
    assert summary(two_parts.export())["manifest_key"] is None
    complete(two_parts)
    assert summary(two_parts.export())["manifest_key"] == export.manifest_key


def test_a_failed_export_names_no_manifest(two_parts):
    two_parts.fail()
    assert summary(two_parts.export())["manifest_key"] is None
