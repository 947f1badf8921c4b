"""When an export is COMPLETED, and what its manifest contains."""

from dataclasses import replace

import pytest

from crm_export.errors import StorageRefused
from crm_export.exports.complete import complete_export, manifest
from crm_export.exports.model import (
    DroppedField,
    ExportState,
    PartState,
    Stored,
    all_parts_stored,
    timestamp,
)
from crm_export.exports.view import summarize


def ids_of(number):
    """Return the ids that OneExport.stored gives to a part."""
    lowest, highest = f"{number}01", f"{number}99"
    return {"first": lowest, "last": highest, "lowest": lowest, "highest": highest}


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
        "fields": None,
        "sync": None,
        "witness": {
            "before": None,
            "after": None,
            "created": None,
            "deleted": None,
            "verdict": "unknown",
            "why": "Zoho was not asked for its count before the export: an earlier version started it.",
        },
        "snapshot": True,
        "ids_unique": True,
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
            "ids": {"count": records, **ids_of(number), "digest": "d"},
            "index": None,
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
    two_parts.table.complete = lambda export_id: None
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


# --- parts that do not fit together ---


def store(one_export, number, *, header=("Id",), crc32=None, records=5, last=False):
    one_export.ready(number, str(number), records, None if last else f"t{number}")
    key = one_export.export().part_key(number)
    one_export.results.objects[key] = b"x"
    stored = Stored(key, records, 10, crc32 or f"{number:08x}", header)
    assert one_export.table.mark_stored(one_export.part(number), stored, one_export.now)


def test_export_whose_parts_have_other_columns_restarts(one_export, metric_names):
    store(one_export, 1, header=("Id", "A"))
    store(one_export, 2, header=("Id", "B"), last=True)
    complete(one_export)
    export = one_export.export()
    assert (export.state, export.generation, export.first_part) == (ExportState.RUNNING, 2, 3)
    assert (one_export.submit_queue.parts, one_export.results.manifests) == ([3], {})
    assert metric_names() >= {"ExportsRestarted"}


def test_third_generation_whose_parts_have_other_columns_fails(one_export):
    one_export.create(generation=3)
    store(one_export, 1, header=("Id", "A"))
    store(one_export, 2, header=("Id",), last=True)
    complete(one_export)
    failure = one_export.export().failure
    assert failure.code == "HEADERS_DIFFER"
    assert failure.message == "Part 2 has the columns Id, but part 1 has Id, A."
    assert one_export.results.manifests == {}


def test_part_without_columns_fits_to_every_other(one_export):  # the result of an empty job may be empty
    store(one_export, 1, header=("Id", "A"))
    store(one_export, 2, header=(), records=0, last=True)
    complete(one_export)
    assert one_export.export().state is ExportState.COMPLETED


def test_export_with_one_file_twice_fails(one_export):
    for number in (1, 2, 3):
        store(one_export, number, crc32="0000000a" if number != 2 else None, last=number == 3)
    complete(one_export)
    failure = one_export.export().failure
    assert (failure.code, failure.message) == (
        "PARTS_OVERLAP",
        "Parts 1 and 3 are the same file (CRC-32 0000000a).",
    )
    assert one_export.results.manifests == {}


def test_empty_parts_may_be_the_same_file(one_export):
    store(one_export, 1, crc32="0000000a", records=0)
    store(one_export, 2, crc32="0000000a", records=0, last=True)
    complete(one_export)
    assert one_export.export().state is ExportState.COMPLETED


# --- a manifest that exists ---


def test_manifest_of_another_worker_that_is_the_same_completes_the_export(two_parts):
    seen = two_parts.export()
    complete(two_parts)
    two_parts.items.items[f"EXPORT#{seen.export_id}", "META"]["state"] = {"S": "RUNNING"}
    complete(two_parts)
    assert two_parts.export().state is ExportState.COMPLETED


@pytest.mark.parametrize("generation", [1, 2])
@pytest.mark.parametrize(
    "change", [{"records": 9}, {"bytes": 9}, {"generation": 7}, {"export_id": "x"}, {"parts": []}], ids=str
)
def test_manifest_of_other_parts_fails_the_export_and_nothing_is_touched(
    one_export, generation, change, metric_names
):
    export = one_export.create(generation=generation)
    one_export.stored()
    manifests = one_export.results.manifests
    complete(one_export)
    other = {**manifests[export.manifest_key], **change}
    manifests[export.manifest_key] = other
    one_export.create(generation=generation)  # the table is restored from a backup
    one_export.stored()
    objects = dict(one_export.results.objects) | {f"{export.folder}/part-00009.csv": b"of that manifest"}
    one_export.results.objects = dict(objects)
    complete(one_export)
    assert one_export.export().failure.code == "MANIFEST_CONFLICT"
    assert (one_export.results.objects, manifests) == (objects, {export.manifest_key: other})
    assert "ExportsFailed" in metric_names()


# --- a manifest that S3 refuses ---


def refuse_manifest(export, at):
    """Let S3 refuse the manifest of a stored export at this many seconds after the deadline."""
    export.results.refuses_manifests = StorageRefused("AccessDenied")
    export.let_pass((export.export().deadline_at - export.now).total_seconds() + at)
    with pytest.raises(StorageRefused):
        complete(export)


@pytest.mark.parametrize(("seconds", "gave_up"), [(3600, False), (3601, True)])
def test_refused_manifest_is_given_up_an_hour_after_the_deadline(two_parts, seconds, gave_up):
    refuse_manifest(two_parts, at=seconds)
    export = two_parts.export()
    assert (export.state, export.gave_up_at) == (ExportState.RUNNING, two_parts.now if gave_up else None)


def test_export_that_was_given_up_fails_when_no_worker_can_write_its_manifest_any_more(two_parts):
    refuse_manifest(two_parts, at=3601)
    two_parts.results.refuses_manifests = None
    two_parts.let_pass(1199)
    complete(two_parts)
    assert (two_parts.export().state, two_parts.results.manifests) == (ExportState.RUNNING, {})
    two_parts.let_pass(1)
    complete(two_parts)
    export = two_parts.export()
    assert (export.state, export.failure.code, export.failure.message) == (
        ExportState.FAILED,
        "STORAGE_REFUSED",
        "AccessDenied",
    )
    assert (two_parts.results.manifests, list(two_parts.table.open_export_ids())) == ({}, [])


def test_export_that_was_given_up_is_completed_if_its_manifest_was_written_after_all(two_parts):
    written = {}
    refuse_manifest(two_parts, at=3601)
    two_parts.results.refuses_manifests = None
    sealed = two_parts.export()
    written[sealed.manifest_key] = manifest(sealed, two_parts.table.get_parts(sealed))
    two_parts.results.manifests = written
    two_parts.let_pass(1200)
    complete(two_parts)
    assert (two_parts.export().state, two_parts.export().failure) == (ExportState.COMPLETED, None)


def test_export_that_was_given_up_fails_if_there_is_another_manifest(two_parts):
    refuse_manifest(two_parts, at=3601)
    two_parts.results.refuses_manifests = None
    two_parts.results.manifests[two_parts.export().manifest_key] = {"export_id": "x"}
    two_parts.let_pass(1200)
    complete(two_parts)
    assert two_parts.export().failure.code == "MANIFEST_CONFLICT"


def test_export_that_was_given_up_fails_if_s3_does_not_even_show_a_manifest(two_parts):
    refuse_manifest(two_parts, at=3601)
    two_parts.let_pass(1200)
    complete(two_parts)
    export = two_parts.export()
    assert (export.state, export.failure.code) == (ExportState.FAILED, "STORAGE_REFUSED")


def test_only_a_completed_export_names_its_manifest(two_parts):
    export = two_parts.export()
    assert two_parts.table.seal(export, two_parts.now, 8)
    assert summarize(two_parts.export())["manifest_key"] is None
    complete(two_parts)
    assert summarize(two_parts.export())["manifest_key"] == export.manifest_key


def test_failed_export_names_no_manifest(two_parts):
    two_parts.fail()
    assert summarize(two_parts.export())["manifest_key"] is None
