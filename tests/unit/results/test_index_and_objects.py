"""Results: the index of a part, objects of any content, and the object that is replaced again and again."""

import io
import json
from hashlib import sha256

import pytest

from crm_export.errors import (
    CorruptZip,
    IndexCorrupt,
    ObjectConflict,
    PartBusy,
    StorageRefused,
    StorageUnavailable,
)
from crm_export.results.record_index import hash_of, write_index
from simulation.calls import refusal
from tests.support.zips import cut, zip_of
from tests.unit.results.conftest import KEY, confirmed

JOB = "554023000000568002"
CONTENT = b'Id,Note\r\n20,"a\nb"\r\n3,\r\n100,"x ""y"""\r\n'
ROWS = [(3, hash_of(b"3,")), (20, hash_of(b'20,"a\nb"')), (100, hash_of(b'100,"x ""y"""'))]
PAGES = [[{"id": "20", "Note": "a"}, {"id": "3", "Note": None}], [{"id": "100", "Note": "ä"}]]


def store(results, content=CONTENT, *, key=KEY, file_format="csv", confirm=confirmed, index=True, expected=3):
    return results.store_result(
        cut(zip_of(content), 500),
        key,
        file_format=file_format,
        expected_records=expected,
        job_id=JOB,
        confirm=confirm,
        index=index,
    )


# --- The index of a part ---


@pytest.mark.parametrize("file_format", ["csv", "csv.gz"])
def test_index_has_the_hash_of_each_record_sorted_by_id(results, file_format):
    stored = store(results, key=f"x/e.1/part-00001.{file_format}", file_format=file_format)
    assert stored.index == f"x/e.1/part-00001-{stored.crc32}.index"
    assert list(results.read_index(stored.index)) == ROWS


def test_records_of_the_records_api_have_an_index_too(results):
    stored = results.store_records(
        PAGES, KEY, fields=["Note"], file_format="csv", confirm=confirmed, index=True
    )
    rows = dict(results.read_index(stored.index))
    assert rows == {20: hash_of(b"20,a"), 3: hash_of(b"3,"), 100: hash_of("100,ä".encode())}


def test_part_has_no_index_unless_it_is_asked_for(results, s3):
    assert store(results, index=False).index is None
    assert set(s3.bucket.objects) == {KEY}


@pytest.mark.parametrize("content", [b"Name\r\na\r\nb\r\nc\r\n", b"Id\r\nx\r\n2\r\n3\r\n"])
def test_part_whose_ids_cannot_be_read_has_no_index(results, s3, content):
    assert store(results, content).index is None
    assert set(s3.bucket.objects) == {KEY}


def test_calendar_has_no_index(results):
    event = b"BEGIN:VEVENT\r\nEND:VEVENT\r\n" * 3
    assert store(results, event, file_format="ics").index is None


def test_part_without_records_has_an_empty_index(results):
    stored = store(results, b"Id,Note\r\n", expected=0)
    assert list(results.read_index(stored.index)) == []


def test_index_is_there_before_the_part_is(results, s3):
    there = []

    def appears():
        there.append([key == KEY for key in s3.bucket.objects])

    store(results, confirm=appears)
    assert there == [[], [False]]


def test_attempt_that_lost_its_lease_leaves_the_index_of_its_own_content_only(results, s3):
    def lost():
        raise PartBusy("the lease was taken over")

    with pytest.raises(PartBusy):
        store(results, CONTENT.replace(b"3,", b"4,"), confirm=lost)
    assert KEY not in set(s3.bucket.objects)
    assert list(results.read_index(store(results).index)) == ROWS


def test_second_attempt_with_the_same_content_takes_the_first_index_however_it_was_compressed(results, s3):
    first = store(results)
    del s3.bucket.objects[KEY]
    s3.bucket.objects[first.index] += b"as another version would write it"
    assert store(results) == first


def test_result_that_is_refused_leaves_neither_part_nor_index(results, s3):
    with pytest.raises(CorruptZip):
        store(results, CONTENT + b'7,"')
    assert s3.is_empty


def test_remove_leftovers_deletes_the_objects_of_an_export_that_are_not_kept(results, s3):
    kept, gone = store(results, key="x/e1/part-00001.csv"), store(results, key="x/e1/part-00002.csv")
    assert gone.index
    results.write_object("x/e1/deleted-00001.csv", [b"Id\r\n"])
    results.write_object("x/e1/manifest.json", [b"{}"])
    results.remove_leftovers("x/e1", {kept.key, kept.index})
    assert set(s3.bucket.objects) == {kept.key, kept.index, "x/e1/manifest.json"}
    results.remove_leftovers("x/e1", set())
    assert set(s3.bucket.objects) == {"x/e1/manifest.json"}


def test_corrupted_index_is_refused(results, s3):
    index = store(results).index
    content = s3.bucket.objects[index]
    for broken in (content[:-1], content[:30] + b"x" + content[31:]):
        s3.bucket.objects[index] = broken
        with pytest.raises(IndexCorrupt):
            list(results.read_index(index))


@pytest.mark.parametrize("read", ["read_index", "digest"])
def test_missing_object_is_named(results, read):
    with pytest.raises(StorageRefused, match=r"read x/a\.index"):
        list(getattr(results, read)("x/a.index"))


# --- Objects ---


def test_object_is_written_once_and_its_digest_is_that_of_its_bytes(results, s3):
    chunks = [b"Id,Deleted_Time\r\n", b"1,2026-11-22T13:00:00+00:00\r\n" * 200]
    results.write_object("x/deleted-00001.csv", iter(chunks))
    assert s3.bucket.objects == {"x/deleted-00001.csv": b"".join(chunks)}
    assert results.digest("x/deleted-00001.csv") == sha256(b"".join(chunks)).hexdigest()
    results.write_object("x/deleted-00001.csv", chunks)
    with pytest.raises(ObjectConflict):
        results.write_object("x/deleted-00001.csv", chunks[:1])
    assert s3.bucket.objects == {"x/deleted-00001.csv": b"".join(chunks)}
    assert not s3.bucket.uploads


def test_index_that_is_written_as_an_object_is_read_back(results):
    results.write_object("deleted-00001.index", write_index([1, 2], [0, 0]))
    assert list(results.read_index("deleted-00001.index")) == [(1, 0), (2, 0)]


def test_object_whose_content_fails_leaves_nothing(results, s3):
    def failing():
        yield b"x" * 3000
        raise PartBusy("the lease was taken over")

    with pytest.raises(PartBusy):
        results.write_object("x/a.csv", failing())
    assert s3.is_empty


# --- The object that is replaced ---


def test_latest_is_replaced_by_who_has_read_it(results, s3):
    assert results.read_latest("x/latest.json") is None
    assert results.write_latest("x/latest.json", {"run": "é1"}, None)
    document, etag = results.read_latest("x/latest.json")
    assert document == {"run": "é1"}
    assert results.write_latest("x/latest.json", {"run": 2}, etag)
    assert results.read_latest("x/latest.json")[0] == {"run": 2}
    assert json.loads(s3.bucket.objects["x/latest.json"]) == {"run": 2}
    assert not s3.bucket.uploads


def test_latest_that_was_changed_meanwhile_is_left_alone(results):
    assert results.write_latest("x/latest.json", {"run": 1}, None)
    _, etag = results.read_latest("x/latest.json")
    assert results.write_latest("x/latest.json", {"run": 2}, etag)
    assert not results.write_latest("x/latest.json", {"run": 3}, etag)
    assert not results.write_latest("x/latest.json", {"run": 3}, None)
    assert results.read_latest("x/latest.json")[0] == {"run": 2}


def test_latest_that_is_gone_is_not_replaced(results, s3):
    results.write_latest("x/latest.json", {"run": 1}, None)
    _, etag = results.read_latest("x/latest.json")
    del s3.bucket.objects["x/latest.json"]
    assert not results.write_latest("x/latest.json", {"run": 2}, etag)
    assert results.read_latest("x/latest.json") is None


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{"])
def test_latest_that_is_no_object_is_empty_and_can_be_replaced(results, s3, content):
    s3.bucket.objects["x/latest.json"] = content
    document, etag = results.read_latest("x/latest.json")
    assert document == {}
    assert results.write_latest("x/latest.json", {"run": 1}, etag)


def test_write_of_latest_whose_response_was_lost_has_succeeded_if_boto3_repeats_it(results, s3):
    def first_call():
        s3.bucket.objects["latest.json"] = json.dumps({"run": 1}).encode()

    s3.meanwhile["put_object"] = first_call
    assert results.write_latest("latest.json", {"run": 1}, None)


@pytest.mark.parametrize(
    ("code", "raised"),
    [("AccessDenied", StorageRefused), ("ConditionalRequestConflict", StorageUnavailable)],
)
def test_write_of_latest_raises_any_other_error_of_s3(results, s3, code, raised):
    s3.errors["put_object"] = refusal(code, "PutObject")
    with pytest.raises(raised, match=rf"S3 .* write m\.json: {code}"):
        results.write_latest("m.json", {}, None)


@pytest.mark.parametrize("read", ["read_index", "digest"])
@pytest.mark.parametrize(
    ("code", "raised"), [("AccessDenied", StorageRefused), ("SlowDown", StorageUnavailable)]
)
def test_object_that_s3_does_not_show_is_named(results, s3, read, code, raised):
    s3.errors["get_object"] = refusal(code, "GetObject")
    with pytest.raises(raised, match=rf"S3 .* read a\.index: {code}"):
        list(getattr(results, read)("a.index"))


def test_index_that_is_not_read_to_its_end_closes_the_response(results, s3):
    results.write_object("a.index", write_index(range(1, 9), range(1, 9)))
    body = io.BytesIO(s3.bucket.objects["a.index"])
    s3.get_object = lambda **_: {"Body": body}
    rows = results.read_index("a.index")
    assert next(rows) == (1, 1)
    rows.close()
    assert body.closed


def test_index_of_a_part_that_is_not_needed_any_more_does_not_appear(results, s3):
    """A cancelled export's folder is empty once its objects were deleted, whatever a late worker does."""

    def cancelled():
        raise PartBusy("cancelled")

    with pytest.raises(PartBusy):
        store(results, confirm=cancelled)
    assert s3.bucket.objects == {}
