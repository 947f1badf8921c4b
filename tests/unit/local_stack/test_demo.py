"""The demo's own checks find what they are there to find."""

import io
import zlib
from array import array

from local.demo.verify import Check, read_part, verify

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


def failures(objects: dict[str, bytes], manifest: dict, expected: int | None = None) -> list[str]:
    checks: list[Check] = verify(S3(objects), "b", manifest, expected, lambda _: None)
    return [check.what for check in checks if not check.passed]


def test_a_quoted_line_break_is_not_a_record() -> None:
    ids: array[int] = array("Q")
    content = HEADER + b'1,"a\r\nb"\r\n2,\r\n'
    part = read_part(io.BytesIO(content), ids)
    assert (part.records, part.size, part.crc32) == (2, len(content), zlib.crc32(content))
    assert part.header == ["Id", "Name"]
    assert ids.tolist() == [1, 2]


def test_an_export_that_is_right_passes() -> None:
    objects = {"1": HEADER + b"1,a\r\n2,b\r\n", "2": HEADER + b"3,c\r\n"}
    assert failures(objects, manifest_of(objects, [2, 1]), 3) == []
    assert failures(objects, manifest_of(objects, [2, 1])) == []


def test_a_record_that_is_there_twice_is_found() -> None:
    objects = {"1": HEADER + b"1,a\r\n2,b\r\n", "2": HEADER + b"2,b\r\n"}
    assert failures(objects, manifest_of(objects, [2, 1]), 3) == ["every Id exactly once"]


def test_a_record_that_is_missing_is_found() -> None:
    objects = {"1": HEADER + b"1,a\r\n"}
    assert failures(objects, manifest_of(objects, [1]), 2) == ["records in all parts"]
    assert failures(objects, manifest_of(objects, [2]), 2) == ["part 1: records", "records in all parts"]


def test_an_object_that_was_changed_is_found() -> None:
    objects = {"1": HEADER + b"1,a\r\n"}
    manifest = manifest_of(objects, [1])
    assert failures({"1": HEADER + b"1,x\r\n"}, manifest) == ["part 1: CRC32"]
    assert failures({"1": b"Id,Nom\r\n1,a\r\n"}, manifest) == [
        "part 1: bytes",
        "part 1: CRC32",
        "part 1: header",
    ]
