"""Verifies an export: reads every part back from S3 and compares it with the manifest, record by record."""

import csv
import io
import zlib
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

# A cell in Zoho may hold up to 100,000 characters; csv's own limit is 131,072 bytes.
csv.field_size_limit(1 << 24)


@dataclass(frozen=True)
class Check:
    """One comparison: its name, its result, and the values compared."""

    name: str
    passed: bool
    detail: str


def verify(
    s3: Any, bucket: str, manifest: Mapping[str, Any], records: int, ids: "array[int] | None" = None
) -> Iterator[Check]:
    """Yield checks of all parts in `manifest`, and that each of `records` records is there exactly once.

    The ids of the records are added to `ids`.
    """
    ids = array("Q") if ids is None else ids
    total = 0
    for part in manifest["parts"]:
        content = s3.get_object(Bucket=bucket, Key=part["key"])["Body"].read()
        header, count = read_part(content, ids)
        total += count
        yield from _compare(part, count, content, header)
    yield Check("records in all parts", total == records == manifest["records"], f"{total:,} of {records:,}")
    repeated = sum(left == right for left, right in pairwise(sorted(ids)))
    unique = f"{len(ids) - repeated:,} different Ids"
    yield Check("every Id exactly once", len(ids) == total and not repeated, unique)
    headers = {tuple(part["header"]) for part in manifest["parts"]}
    yield Check("all parts have one header", len(headers) == 1, f"{len(min(headers))} columns")


def read_part(content: bytes, ids: "array[int]") -> tuple[list[str], int]:
    """Return the header and the number of records of a CSV file; add the ids of its records to `ids`."""
    rows = csv.reader(io.TextIOWrapper(io.BytesIO(content), "utf-8", newline=""), strict=True)
    header, before = next(rows, []), len(ids)
    if "Id" not in header:
        return header, sum(1 for _ in rows)
    column = header.index("Id")
    ids.extend(int(row[column]) for row in rows)
    return header, len(ids) - before


def _compare(part: Mapping[str, Any], records: int, content: bytes, header: list[str]) -> Iterator[Check]:
    crc32 = f"{zlib.crc32(content):08x}"
    for name, passed, detail in (
        ("records", records == part["records"], f"{records:,} of {part['records']:,}"),
        ("bytes", len(content) == part["bytes"], f"{len(content):,} of {part['bytes']:,}"),
        ("CRC32", crc32 == part["crc32"], f"{crc32}, in the manifest {part['crc32']}"),
        ("header", header == part["header"], f"{len(header)} columns"),
    ):
        yield Check(f"part {part['part']}: {name}", passed, detail)
