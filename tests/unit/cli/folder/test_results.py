"""FolderResults: what ResultsBucket is tested for, and what only a folder has."""

import errno
import json
from collections.abc import MutableMapping
from types import SimpleNamespace

import pytest

from crm_export.errors import PartBusy, StorageRefused, StorageUnavailable
from crm_export_cli.folder.errors import FolderFull
from crm_export_cli.folder.locks import Processes
from crm_export_cli.folder.results import FolderResults
from tests.support.zips import zip_of
from tests.unit.results import test_results_bucket as bucket
from tests.unit.results.test_index_and_objects import (  # noqa: F401
    test_attempt_that_lost_its_lease_leaves_the_index_of_its_own_content_only,
    test_calendar_has_no_index,
    test_corrupted_index_is_refused,
    test_index_has_the_hash_of_each_record_sorted_by_id,
    test_index_is_there_before_the_part_is,
    test_index_that_is_written_as_an_object_is_read_back,
    test_latest_is_replaced_by_who_has_read_it,
    test_latest_that_is_gone_is_not_replaced,
    test_latest_that_is_no_object_is_empty_and_can_be_replaced,
    test_latest_that_was_changed_meanwhile_is_left_alone,
    test_missing_object_is_named,
    test_object_is_written_once_and_its_digest_is_that_of_its_bytes,
    test_object_whose_content_fails_leaves_nothing,
    test_part_has_no_index_unless_it_is_asked_for,
    test_part_whose_ids_cannot_be_read_has_no_index,
    test_part_without_records_has_an_empty_index,
    test_records_of_the_records_api_have_an_index_too,
    test_remove_leftovers_deletes_the_objects_of_an_export_that_are_not_kept,
    test_result_that_is_refused_leaves_neither_part_nor_index,
    test_second_attempt_with_the_same_content_takes_the_first_index_however_it_was_compressed,
)
from tests.unit.results.test_results_bucket import (  # noqa: F401
    FORMATS,
    KEY,
    MANY,
    csv_of,
    store,
    test_manifest_that_is_not_one_is_read_as_empty,
    test_read_ids_of_an_unreadable_object_names_its_key,
    test_read_ids_yields_the_ids_of_a_stored_part,
    test_read_manifest_is_not_misled_by_a_longer_key,
    test_read_manifest_returns_what_was_written,
    test_records_read_again_conflict_only_if_they_have_changed,
    test_result_that_repeats_a_record_in_place_of_another_is_not_stored,
    test_second_attempt_with_other_content_leaves_the_object_alone,
    test_second_attempt_with_the_same_content_takes_the_object_of_the_first,
    test_store_records_whose_part_another_worker_took_over_stores_nothing,
    test_store_records_with_failing_pages_leaves_no_object_and_no_upload,
    test_store_result_accepts_an_empty_calendar_file,
    test_store_result_refuses_an_invalid_calendar,
    test_store_result_refuses_any_other_number_of_records,
    test_store_result_refuses_the_result_of_another_job,
    test_store_result_truncated_at_any_offset_stores_nothing,
    test_store_result_whose_part_another_worker_took_over_stores_nothing,
    test_store_result_with_only_a_header_is_refused_if_zoho_counted_records,
    test_store_result_without_a_file_is_an_empty_object_if_zoho_counted_no_records,
    test_store_result_without_a_file_is_refused_if_zoho_counted_records,
)


class Files(MutableMapping):
    """The files of a folder by their keys, as S3's objects are; `is_hidden`: the unfinished ones instead."""

    def __init__(self, root, *, is_hidden):
        self._root = root
        self._is_hidden = is_hidden

    def __iter__(self):
        for path in self._root.rglob("*"):
            if path.is_file() and path.name.startswith(".") is self._is_hidden:
                yield path.relative_to(self._root).as_posix()

    def __len__(self):
        return len(list(iter(self)))

    def __getitem__(self, key):
        return (self._root / key).read_bytes()

    def __setitem__(self, key, content):
        (self._root / key).parent.mkdir(parents=True, exist_ok=True)
        (self._root / key).write_bytes(content)

    def __delitem__(self, key):
        (self._root / key).unlink()


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "out"
    root.mkdir()
    return root


@pytest.fixture
def results(root, processes):
    return FolderResults(root, processes)


@pytest.fixture
def s3(root):
    """The folder in the place of S3."""
    files, hidden = Files(root, is_hidden=False), Files(root, is_hidden=True)

    class Bucket(SimpleNamespace):
        @property
        def is_empty(self):
            return not files and not hidden

    return Bucket(bucket=SimpleNamespace(objects=files, uploads=hidden), made=lambda _operation: [])


@pytest.mark.parametrize("file_format", FORMATS)
def test_stored_result_appears_whole_under_its_name(results, s3, file_format):
    content = bucket.CONTENTS[file_format]
    appeared = []

    def confirm():
        appeared.append(dict(s3.bucket.objects))
        assert len(s3.bucket.uploads) == 1

    stored = store(results, zip_of(content), MANY, file_format, confirm=confirm)
    assert (appeared, dict(s3.bucket.uploads)) == ([{}], {})
    assert stored.bytes == len(s3.bucket.objects[KEY])
    assert (stored.key, stored.records) == (KEY, MANY)


@pytest.mark.parametrize("no_links", [errno.EPERM, errno.ENOTSUP])
def test_file_system_without_hard_links_keeps_the_first_file(results, s3, root, monkeypatch, no_links):
    def hardlink_to(self, target):
        raise OSError(no_links, "no links")

    monkeypatch.setattr("pathlib.Path.hardlink_to", hardlink_to)
    (root / ".crm-export").mkdir()
    first = store(results, zip_of(csv_of(3)), 3)
    assert store(results, zip_of(csv_of(3)), 3) == first
    assert set(s3.bucket.objects) == {KEY, ".crm-export/rename.lock"}
    assert not [name for name in s3.bucket.uploads if name.endswith(".tmp")]


@pytest.mark.parametrize("full", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["fsync", "write"])
def test_full_disk_leaves_no_file_and_names_the_folder(results, s3, *, root, monkeypatch, full, call):
    def refuse(*_):
        raise OSError(full, "No space left on device")

    if call == "fsync":
        monkeypatch.setattr("os.fsync", refuse)
    else:
        monkeypatch.setattr("pathlib.Path.open", lambda *_args, **_named: FullFile(refuse))
    with pytest.raises(FolderFull, match=f"There is no space left in {root} "):
        store(results, zip_of(csv_of(3)), 3)
    assert s3.is_empty
    with pytest.raises(FolderFull):
        results.write_manifest("m.json", {})


class FullFile:
    """A file on a full disk."""

    def __init__(self, refuse):
        self.write = self.flush = self.close = refuse


def test_folder_that_may_not_be_written_is_a_refusal(results, root):
    (root / "exports").write_text("a file where the folder would be")
    with pytest.raises(StorageRefused, match=f"The system refused to write {KEY}"):
        store(results, zip_of(csv_of(3)), 3)


def test_file_that_was_damaged_while_it_was_written_is_not_kept(results, s3, root, monkeypatch):
    def damage(_descriptor):
        (hidden,) = root.rglob(".*.tmp")
        hidden.write_bytes(b"x")

    monkeypatch.setattr("os.fsync", damage)
    with pytest.raises(StorageUnavailable, match="was written wrongly: it has 1 bytes"):
        store(results, zip_of(csv_of(3)), 3)
    assert s3.is_empty


def test_transfer_stops_at_the_next_write_when_it_is_told_to(root, processes, s3):
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store(FolderResults(root, processes, stop), zip_of(csv_of(3)), 3)
    assert s3.is_empty


def test_unfinished_files_of_dead_processes_are_swept(results, root, state):
    folder = root / "exports" / "account_id=a" / "module=Contacts" / "export_id=x"
    folder.mkdir(parents=True)
    with Processes(state / "processes") as other:
        files = [folder / f".part-00001.csv.{process}-12345678.tmp" for process in (other.own, "dead")]
        for file in files:
            file.touch()
        results.sweep()
        assert [file.exists() for file in files] == [True, False]
    results.sweep()
    assert not files[0].exists()


def test_remove_leftovers_deletes_parts_that_are_not_kept_and_all_unfinished_files(results, s3):
    kept = {"x/e1/part-00001.csv"}
    stay = {*kept, "x/e1/manifest.json", "x/e1/part-notes/readme.txt", "x/e10/part-00001.csv"}
    for key in stay | {"x/e1/part-00002.csv", "x/e1/.part-00001.csv.p-1.tmp"}:
        s3.bucket.objects[key] = b""
    for _ in range(2):
        results.remove_leftovers("x/e1", kept)
        assert set(s3.bucket.objects) == stay
    assert not s3.bucket.uploads


def test_worker_whose_unfinished_file_was_removed_creates_no_file(results, s3, root):
    def remove():
        results.remove_leftovers("exports", set())

    with pytest.raises(StorageRefused):
        store(results, zip_of(csv_of(3)), 3, confirm=remove)
    assert s3.is_empty


def test_write_manifest_never_replaces_a_manifest(results, s3):
    assert results.write_manifest("x/m.json", {"records": 1})
    assert not results.write_manifest("x/m.json", {"records": 2})
    assert json.loads(s3.bucket.objects["x/m.json"]) == {"records": 1}
    assert not s3.bucket.uploads


def test_read_ids_of_a_missing_file_names_its_key(results):
    with pytest.raises(StorageRefused, match=r"refused to read part-00009\.csv: No such file"):
        list(results.read_ids("part-00009.csv"))


def test_lease_that_is_lost_at_the_end_leaves_nothing(results, s3):
    def lost():
        raise PartBusy("the lease was taken over")

    with pytest.raises(PartBusy):
        store(results, zip_of(csv_of(3)), 3, confirm=lost)
    assert s3.is_empty
