"""The proof: every part is read back from S3 as a stream and compared with the manifest, record by record."""

import csv
import io
import zlib
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from local.demo.api import first_bytes

_BUFFER = 1 << 20
# A cell of Zoho's may hold up to 100,000 characters; csv's own limit is 131,072 bytes.
csv.field_size_limit(1 << 24)


class Stream(Protocol):
    """The body of an S3 object."""

    def read(self, amt: int | None = None) -> bytes:
        """Read up to `amt` bytes, b"" at the end."""
        ...


class CheckedStream(io.RawIOBase):
    """Passes a stream on while it counts the bytes and their CRC32."""

    def __init__(self, stream: Stream) -> None:
        """Start at the beginning of `stream`."""
        self._stream = stream
        self.crc32 = 0
        self.size = 0

    def readable(self) -> bool:
        """Tell io that this can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`, as io.RawIOBase has it."""
        content = self._stream.read(len(buffer))
        self.crc32 = zlib.crc32(content, self.crc32)
        self.size += len(content)
        buffer[: len(content)] = content
        return len(content)


@dataclass(frozen=True)
class Check:
    """One thing that was checked, and what came of it."""

    what: str
    passed: bool
    detail: str


@dataclass
class PartContent:
    """What a part was found to hold."""

    header: list[str]
    records: int
    crc32: int
    size: int


def read_part(stream: Stream, ids: "array[int]") -> PartContent:
    """Read one CSV object to its end; the ids of its records are added to `ids`."""
    checked = CheckedStream(stream)
    text = io.TextIOWrapper(io.BufferedReader(checked, _BUFFER), encoding="utf-8", newline="")
    rows = csv.reader(text, strict=True)
    header = next(rows, [])
    records = 0
    column = header.index("Id") if "Id" in header else None
    for row in rows:
        records += 1
        if column is not None:
            ids.append(int(row[column]))
    return PartContent(header, records, checked.crc32, checked.size)


def verify(
    s3: Any,
    bucket: str,
    manifest: Mapping[str, Any],
    expected_records: int | None,
    progress: Callable[[str], None],
) -> list[Check]:
    """Check all parts named by `manifest` against it, and that no record is missing or there twice."""
    ids: array[int] = array("Q")
    checks = []
    total = 0
    for part in manifest["parts"]:
        progress(f"reading part {part['part']}")
        content = read_part(s3.get_object(Bucket=bucket, Key=part["key"])["Body"], ids)
        total += content.records
        checks += _check_part(part, content)
    progress("looking for missing and double records")
    wanted = manifest["records"] if expected_records is None else expected_records
    checks.append(
        Check("records in all parts", total == wanted == manifest["records"], f"{total:,} of {wanted:,}")
    )
    ordered = sorted(ids)
    doubles = sum(one == other for one, other in pairwise(ordered))
    passed = len(ordered) == total and not doubles
    checks.append(Check("every Id exactly once", passed, f"{len(ordered) - doubles:,} different Ids"))
    headers = {tuple(part["header"]) for part in manifest["parts"]}
    checks.append(Check("all parts have one header", len(headers) == 1, f"{len(min(headers))} columns"))
    return checks


def _check_part(part: Mapping[str, Any], content: PartContent) -> list[Check]:
    name = f"part {part['part']}"
    crc32 = int(str(part["crc32"]), 16)
    return [
        Check(
            f"{name}: records",
            content.records == part["records"],
            f"{content.records:,} of {part['records']:,}",
        ),
        Check(f"{name}: bytes", content.size == part["bytes"], f"{content.size:,} of {part['bytes']:,}"),
        Check(f"{name}: CRC32", content.crc32 == crc32, f"{content.crc32:08x}, the manifest has {crc32:08x}"),
        Check(f"{name}: header", content.header == part["header"], f"{len(content.header)} columns"),
    ]


def verify_link(url: str | None, header: list[str]) -> Check:
    """Check that the presigned URL of a part gives that part, without any credentials."""
    what = "presigned link of part 1"
    if not url:
        return Check(what, False, "the API gave none")
    start = ",".join(header[:3]).encode()
    try:
        content = first_bytes(url, 4096)
    except OSError as error:
        return Check(what, False, str(error))
    return Check(what, content.startswith(start), f"begins with {content[:30].decode(errors='replace')!r}")
