"""Reads stored parts back: the ids of their records, as a stream."""

import csv
import io
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from isal import igzip
from isal.igzip_lib import IsalError

from crm_export.errors import ResultError

_BUFFER_BYTES = 256 * 1024
_LONGEST_CELL = 1 << 24  # csv's own limit, 131,072, is less than a subform may take
_UNREADABLE = (ValueError, IndexError, csv.Error, EOFError, igzip.BadGzipFile, IsalError)


def read_ids(s3: Any, bucket: str, key: str) -> Iterator[str]:
    """The Id column of a stored object, .csv or .csv.gz. Raises ResultError if it is not such a file."""
    csv.field_size_limit(_LONGEST_CELL)
    with closing(s3.get_object(Bucket=bucket, Key=key)["Body"]) as body:
        raw: Any = io.BufferedReader(body, _BUFFER_BYTES)
        if key.endswith(".gz"):
            raw = igzip.IGzipFile(fileobj=raw, mode="rb")  # type: ignore[no-untyped-call]
        rows = csv.reader(io.TextIOWrapper(raw, encoding="utf-8-sig", newline=""), strict=True)
        try:
            column = [name.lower() for name in next(rows, [])].index("id")
            yield from (row[column] for row in rows if row)
        except _UNREADABLE as error:  # type: ignore[misc]  # isal's stub calls IsalError an instance
            raise ResultError(f"The ids of {key} cannot be read: {error}.") from error
