"""Reads the ids of a CSV's records as it passes, and refuses a part that has a record twice.

A part keeps its ids, 8 bytes each, until it ends; then `PartIds` describes them.
"""

import csv
import io
import re
import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import compress, islice
from operator import eq, lt
from typing import Any, Self

from crm_export.errors import RecordRepeated

MAX_IDS = 250_000  # of a part: a Bulk Read job has at most 200,000 records; 2 MB
_ID = re.compile("[1-9][0-9]{0,18}")  # fits in 8 bytes
_QUOTED_ID = re.compile(rb'\n"([1-9][0-9]{0,18})"(?=[,\r\n])')
_LONGEST_ID = 22  # bytes: newline, quotes and 19 digits
_LONGEST_TAIL = 64 * 1024  # bytes before an id that is not in the first column
_MAX_RECORD_BYTES = 16 * 1024 * 1024
_IDS = ("first", "last", "lowest", "highest")  # fields of PartIds that are ids


@dataclass(frozen=True)
class PartIds:
    """The ids of a part's records, all different. Without `digest` only their count is known.

    first, last: in the order of the file. digest: BLAKE2b with 16 bytes, in hex, of the ids in ascending
    order, 8 bytes each, most significant byte first: the same for the same records in any order.
    """

    count: int
    first: int | None = None
    last: int | None = None
    lowest: int | None = None
    highest: int | None = None
    digest: str | None = None

    @classmethod
    def of(cls, ids: "array[int]") -> Self:
        """Describe ids that are in the order of the file. Raises RecordRepeated."""
        ordered = ids if all(map(lt, ids, islice(ids, 1, None))) else _sorted(ids)
        digest = _digest(ordered)
        return (
            cls(len(ids), ids[0], ids[-1], ordered[0], ordered[-1], digest) if ids else cls(0, digest=digest)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, for JSON. Ids are strings: JavaScript's numbers cannot hold them."""
        ids = {name: None if (value := getattr(self, name)) is None else str(value) for name in _IDS}
        return {"count": self.count, **ids, "digest": self.digest}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the PartIds that `to_dict` described."""
        ids = {name: None if (text := values[name]) is None else int(text) for name in _IDS}
        return cls(count=values["count"], digest=values["digest"], **ids)


def _sorted(ids: "array[int]") -> "array[int]":
    """Return ids in ascending order. Raises RecordRepeated."""
    ordered = sorted(ids)
    repeated = next(compress(ordered, map(eq, ordered, islice(ordered, 1, None))), None)
    if repeated is not None:
        raise RecordRepeated(f"Record {repeated} is in the result more than once.")
    return array("Q", ordered)


def _digest(ordered: "array[int]") -> str:
    ids = ordered[:]
    if sys.byteorder == "little":
        ids.byteswap()
    return blake2b(ids, digest_size=16).hexdigest()


class RecordIds:
    """Collects the ids of the records that a CsvCounter feeds it: the column Id, in any letter case.

    The first record decides how: with a pattern if its id has no quotes, or is quoted and in the first
    column, else with csv.reader, which takes several times as long. Ids are not checked if the file has more
    than MAX_IDS records, if one of them is not a decimal number from 1 with at most 19 digits or is not
    quoted as the first one is, or if a record is longer than 16 MiB (without quotes: 64 KiB before its id).
    """

    def __init__(self) -> None:
        self.column: int | None = None
        self._reader: _PatternReader | _CsvReader | None = None
        self._ids: array[int] = array("Q")
        self._is_readable = True

    def begin(self, header: tuple[str, ...]) -> None:
        """Take the header of the CSV."""
        names = [name.casefold() for name in header]
        self.column = names.index("id") if "id" in names else None

    def feed(self, chunk: bytes, seen: bytes, *, ends_quoted: bool) -> None:
        """Read the next bytes, in which every quote begins, ends or belongs to a quoted string.

        seen: the last byte before the chunk, then the chunk with one quote in place of each quoted string.
        ends_quoted: whether the chunk ends within a quoted string.
        """
        if self.column is None or not self._is_readable:
            return
        if self._reader is None:
            if not chunk.strip(b"\r\n"):
                return
            self._reader = _reader(self.column, chunk, seen)
        try:
            self._ids.extend(map(int, self._reader.read(chunk, seen, ends_quoted=ends_quoted)))
        except (ValueError, IndexError, csv.Error):
            self._is_readable = False
        if len(self._ids) > MAX_IDS:
            self._is_readable = False
        if not self._is_readable:
            self._ids, self._reader = array("Q"), None

    def take(self, ids: "array[int] | None") -> None:
        """Take all ids of the file from another reader; None if one of them cannot be read."""
        self._is_readable, self._ids = ids is not None, array("Q") if ids is None else ids

    @property
    def in_order(self) -> "array[int]":
        """The ids in the order of the file, once it has been read; empty if they are not checked."""
        return self._ids

    def finish(self, records: int) -> PartIds | None:
        """Return the ids of all `records` of the file, or None if it has no column Id.

        Raises RecordRepeated.
        """
        self.feed(b"\n", b"\n\n", ends_quoted=False)
        if self.column is None:
            return None
        if not self._is_readable or len(self._ids) != records:
            return PartIds(records)
        return PartIds.of(self._ids)


def _reader(column: int, chunk: bytes, seen: bytes) -> "_PatternReader | _CsvReader":
    """Return the fastest reader that fits the first record."""
    plain = re.compile(rb"\n(?:[^,\r\n]*+,){%d}([1-9][0-9]{0,18})(?=[,\r\n])" % column)
    if plain.match(b"\n" + seen.lstrip(b"\r\n")):
        return _PatternReader(plain, in_seen=True, longest=_LONGEST_TAIL if column else _LONGEST_ID)
    if column == 0 and _QUOTED_ID.match(b"\n" + chunk.lstrip(b"\r\n")):
        return _PatternReader(_QUOTED_ID, in_seen=False, longest=_LONGEST_ID)
    return _CsvReader(column)


class _PatternReader:
    """Finds ids with a pattern that begins with the newline before a record.

    In `seen` there is no newline of a quoted string. In a chunk there is, but a quote after it belongs to a
    pair or is followed by a comma or a newline, so a pattern that expects a quote and a digit does not match.
    """

    def __init__(self, pattern: re.Pattern[bytes], *, in_seen: bool, longest: int) -> None:
        self._pattern = pattern
        self._in_seen = in_seen
        self._longest = longest
        self._tail = b"" if in_seen else b"\n"  # from the last newline, if the id after it may be incomplete

    def read(self, chunk: bytes, seen: bytes, *, ends_quoted: bool) -> list[bytes]:
        """Return the ids that are complete with this chunk."""
        if not self._in_seen:
            text = self._tail + chunk
        elif self._tail:
            text = self._tail + seen[1:]
        else:
            text = seen
        newline = text.rfind(b"\n", max(len(text) - self._longest, 0))
        is_complete = newline < 0 or self._pattern.match(text, newline)
        self._tail = b"" if is_complete else text[newline:]
        return self._pattern.findall(text)


class _CsvReader:
    """Reads the records that are complete with csv.reader."""

    def __init__(self, column: int) -> None:
        self._column = column
        self._rest = bytearray()  # of a record that is incomplete

    def read(self, chunk: bytes, seen: bytes, *, ends_quoted: bool) -> list[str]:
        """Return the ids of the records that are complete with this chunk.

        Raises ValueError, IndexError or csv.Error if one cannot be read.
        """
        end = _end_of_records(chunk, ends_quoted=ends_quoted)
        if not end:
            self._rest += chunk
            if len(self._rest) > _MAX_RECORD_BYTES:
                raise ValueError("The record is too long.")
            return []
        text = (self._rest + chunk[:end]).decode("latin-1")
        self._rest = bytearray(chunk[end:])
        csv.field_size_limit(_MAX_RECORD_BYTES)  # the default is 131,072
        ids = [row[self._column] for row in csv.reader(io.StringIO(text, newline="")) if row]
        if not all(map(_ID.fullmatch, ids)):
            raise ValueError("An id is not a number.")
        return ids


def _end_of_records(chunk: bytes, *, ends_quoted: bool) -> int:
    """Return the offset after the last newline of a chunk that is outside quotes, or 0."""
    end, is_quoted = len(chunk), ends_quoted
    while end >= 0:
        quote = chunk.rfind(b'"', 0, end)
        newline = -1 if is_quoted else chunk.rfind(b"\n", quote + 1, end)
        if newline >= 0:
            return newline + 1
        end, is_quoted = quote, not is_quoted
    return 0
