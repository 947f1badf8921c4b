"""The demo's own checks find missing, repeated and changed records and objects."""

import io
import zlib
from array import array

from local.demo.verify import read_part, verify

HEADER = b"Id,Name\r\n"


class S3:
    """Objects by key."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self._objects = objects

    def get_object(self, *, Bucket: str, Key: str) -> dict:  # noqa: N803 - boto3's names
        return {"Body": io.BytesIO(self._objects[Key])}


def manifest_of(objects: dict[str, bytes], records: list[int]) -> dict:
    parts = [
        {
            "part": number,
            "key": key,
            "records": count,
            "bytes": len(content),
            "crc32": f"{zlib.crc32(content):08x}",
            "header": ["Id", "Name"],
        }
        for number, ((key, content), count) in enumerate(zip(objects.items(), records, strict=True), 1)
    ]
    return {"records": sum(records), "parts": parts}


def failures(objects: dict[str, bytes], manifest: dict, expected: int) -> list[str]:
    return [check.name for check in verify(S3(objects), "b", manifest, expected) if not check.passed]


def test_quoted_line_break_does_not_start_a_record() -> None:
    ids: array[int] = array("Q")
    assert read_part(HEADER + b'1,"a\r\nb"\r\n2,\r\n', ids) == (["Id", "Name"], 2)
    assert ids.tolist() == [1, 2]


def test_file_without_ids_is_counted() -> None:
    assert read_part(b"Name\r\na\r\nb\r\n", array("Q")) == (["Name"], 2)


def test_correct_export_passes() -> None:
    objects = {"1": HEADER + b"1,a\r\n2,b\r\n", "2": HEADER + b"3,c\r\n"}
    assert failures(objects, manifest_of(objects, [2, 1]), 3) == []


def test_repeated_record_is_found() -> None:
    objects = {"1": HEADER + b"1,a\r\n2,b\r\n", "2": HEADER + b"2,b\r\n"}
    assert failures(objects, manifest_of(objects, [2, 1]), 3) == ["every Id exactly once"]


def test_missing_record_is_found() -> None:
    objects = {"1": HEADER + b"1,a\r\n"}
    assert failures(objects, manifest_of(objects, [1]), 2) == ["records in all parts"]
    assert failures(objects, manifest_of(objects, [2]), 2) == ["part 1: records", "records in all parts"]


def test_changed_object_is_found() -> None:
    objects = {"1": HEADER + b"1,a\r\n"}
    manifest = manifest_of(objects, [1])
    assert failures({"1": HEADER + b"1,x\r\n"}, manifest, 1) == ["part 1: CRC32"]
    changed = ["part 1: bytes", "part 1: CRC32", "part 1: header"]
    assert failures({"1": b"Id,Nom\r\n1,a\r\n"}, manifest, 1) == changed
