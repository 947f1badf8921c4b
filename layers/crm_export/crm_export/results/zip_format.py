"""Parses and verifies what a ZIP states about its only file: header, data descriptor, directory.

Works on bytes that `unzip` has read from the stream.
https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from isal import isal_zlib

from crm_export.errors import CorruptZip, TruncatedZip, UnsupportedZip
from crm_export.results.counters import ByteCounter

LOCAL, END = b"PK\x03\x04", b"PK\x05\x06"
_DESCRIPTOR, CENTRAL = b"PK\x07\x08", b"PK\x01\x02"
_END64, _LOCATOR64 = b"PK\x06\x06", b"PK\x06\x07"
STORED, DEFLATED = 0, 8
SIGNATURE_BYTES = 4
LOCAL_BYTES = 26  # of a local header after its signature: APPNOTE 4.3.7
_CENTRAL_BYTES, _END_BYTES = 46, 22  # APPNOTE 4.3.12, 4.3.16
_END64_BYTES, _LOCATOR64_BYTES = 40, 20  # APPNOTE 4.3.14 (up to the number of entries), 4.3.15
MAX_DESCRIPTOR_BYTES = 24
_ENCRYPTED, _HAS_DESCRIPTOR = 0x1, 0x8
_UNKNOWN16, _UNKNOWN32 = 0xFFFF, 0xFFFFFFFF  # the value is in a ZIP64 field or record
_ZIP64 = 1
_DIRECTORY = "The result is truncated: it ends within its directory."

type Facts = tuple[int, int, int]  # CRC32, compressed size, size: stated up to three times in a ZIP


@dataclass
class Entry(ByteCounter):
    """The entry as read so far: its name, its compressed size, and the CRC32 and size of its content."""

    name: bytes = b""
    compressed_size: int = 0

    @property
    def facts(self) -> Facts:
        """What header or descriptor and directory must state."""
        return self.crc32, self.compressed_size, self.size


@dataclass(frozen=True)
class Header:
    """The local header of the entry. With a descriptor, its facts are usually 0."""

    has_descriptor: bool
    method: int
    facts: Facts


def name_and_extra_lengths(fixed: bytes) -> tuple[int, int]:
    """Return the lengths of a local header's name and extra field."""
    name_length, extra_length = struct.unpack_from("<HH", fixed, 22)
    return name_length, extra_length


def parse_header(fixed: bytes, extra: bytes) -> Header:
    """Parse a local header. Raises UnsupportedZip if its entry cannot be read."""
    flags, method = struct.unpack_from("<2xHH", fixed)
    if flags & _ENCRYPTED:
        raise UnsupportedZip("The entry of the result's ZIP is encrypted, which is not supported.")
    if method not in {STORED, DEFLATED}:
        raise UnsupportedZip(f"The result's ZIP uses compression method {method}; 0 and 8 are supported.")
    return Header(bool(flags & _HAS_DESCRIPTOR), method, _facts(fixed, 10, extra))


def _facts(header: bytes, offset: int, extra: bytes) -> Facts:
    """Unpack the facts at `offset`; sizes of 0xFFFFFFFF are in the ZIP64 extra field, 8 bytes each."""
    crc32, compressed_size, size = struct.unpack_from("<LLL", header, offset)
    if _UNKNOWN32 in {compressed_size, size}:
        sizes = _zip64_values(extra)
        if size == _UNKNOWN32:
            size = next(sizes, size)
        if compressed_size == _UNKNOWN32:
            compressed_size = next(sizes, compressed_size)
    return crc32, compressed_size, size


def _zip64_values(extra: bytes) -> Iterator[int]:
    while len(extra) >= SIGNATURE_BYTES:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == _ZIP64:
            field = extra[4 : 4 + length]
            yield from (value for (value,) in struct.iter_unpack("<Q", field[: len(field) // 8 * 8]))
            return
        extra = extra[4 + length :]


def find_descriptor(held: bytes, entry: Entry) -> int | None:
    """Return the offset in `held` of a data descriptor that matches the bytes before it, or None.

    `held` are the bytes that follow those the entry has counted.
    """
    crc32, summed = entry.crc32, 0  # each byte is summed once, however many candidates there are
    central = held.find(CENTRAL)
    while central >= 0:
        nearest = max(central - MAX_DESCRIPTOR_BYTES, 0)
        for start, (stated_crc32, *stated_sizes) in _descriptors(held, central):
            if stated_sizes == [entry.size + start] * 2:
                crc32, summed = isal_zlib.crc32(held[summed:nearest], crc32), nearest
                if isal_zlib.crc32(held[nearest:start], crc32) == stated_crc32:
                    return start
        central = held.find(CENTRAL, central + 1)
    return None


def _descriptors(data: bytes, end: int) -> Iterator[tuple[int, Facts]]:
    """Yield the start and the facts of each form of descriptor that the bytes before `end` may be."""
    for layout, signature in (("<LLL", b""), ("<LLL", _DESCRIPTOR), ("<LQQ", b""), ("<LQQ", _DESCRIPTOR)):
        length = struct.calcsize(layout)
        start = end - length - len(signature)
        if start >= 0 and data.startswith(signature, start):
            yield start, struct.unpack_from(layout, data, end - length)


def check_end(tail: bytes, header: Header, entry: Entry, *, folders: int = 0) -> None:
    """Verify header or descriptor, directory and end record against the entry as it was read.

    `tail` is everything after the entry's data. `folders` is the number of entries before it. Raises
    TruncatedZip, CorruptZip or UnsupportedZip.
    """
    if header.has_descriptor:
        directory = descriptor_end(tail, entry)
    else:
        directory = 0 if header.facts == entry.facts else None
    if directory is None:
        raise CorruptZip(
            f"The result has {entry.size} bytes with CRC {entry.crc32:08x}, but its ZIP states other values."
        )
    _check_directory(tail[directory:], entry, folders)


def descriptor_end(tail: bytes, entry: Entry) -> int | None:
    """Return where the descriptor that matches the entry ends in `tail`, or None.

    What follows it shows its length. Raises TruncatedZip.
    """
    ends = [end for end in (12, 16, 20, 24) if tail[end : end + 4] in {CENTRAL, LOCAL}]
    if not ends and len(tail) < MAX_DESCRIPTOR_BYTES + SIGNATURE_BYTES:
        raise TruncatedZip("The result is truncated: it ends within its data descriptor.")
    return next((end for end in ends if (0, entry.facts) in _descriptors(tail, end)), None)


def _check_directory(directory: bytes, entry: Entry, folders: int) -> None:
    if directory.startswith(LOCAL):
        raise UnsupportedZip("The result's ZIP has more than one entry; exactly one is expected.")
    if len(directory) < _CENTRAL_BYTES + _END_BYTES:
        raise TruncatedZip(_DIRECTORY)
    if not directory.startswith(CENTRAL):
        raise CorruptZip("The result's ZIP has no directory after its entry.")
    end, entries = _find_end(directory)
    if entries not in {folders + 1, _UNKNOWN16}:
        raise UnsupportedZip(f"The result's ZIP has {entries} entries; {folders + 1} are expected.")
    central_end, files = 0, []
    for _ in range(folders + 1):
        name, facts, central_end = _central_header(directory, central_end)
        if not (name.endswith(b"/") and facts[2] == 0):
            files.append(facts)
    if files != [entry.facts]:
        raise CorruptZip("The directory of the result's ZIP does not match its entry.")
    if directory.startswith(CENTRAL, central_end):
        raise UnsupportedZip("The result's ZIP lists more than one entry; exactly one is expected.")
    if central_end != end and not _is_end64(directory[central_end:end], folders + 1):
        # Also reached when data inside the entry looked like its end.
        raise CorruptZip("The directory of the result's ZIP does not end where its end record begins.")


def _central_header(directory: bytes, start: int) -> tuple[bytes, Facts, int]:
    """Return the name and the facts of the central header at `start`, and where it ends."""
    header = directory[start : start + _CENTRAL_BYTES]
    if not (header.startswith(CENTRAL) and len(header) == _CENTRAL_BYTES):
        raise CorruptZip("The directory of the result's ZIP lists fewer entries than there are.")
    name_length, extra_length, comment_length = struct.unpack_from("<HHH", header, 28)
    name_end = start + _CENTRAL_BYTES + name_length
    facts = _facts(header, 16, directory[name_end : name_end + extra_length])
    return directory[name_end - name_length : name_end], facts, name_end + extra_length + comment_length


def _is_end64(data: bytes, expected: int) -> bool:
    """True if `data` is exactly a ZIP64 end record, for so many entries, and its locator."""
    locator = len(data) - _LOCATOR64_BYTES
    if locator < _END64_BYTES or not (data.startswith(_END64) and data.startswith(_LOCATOR64, locator)):
        return False
    length, entries = struct.unpack_from("<Q20xQ", data, SIGNATURE_BYTES)
    return bool(length + 12 == locator and entries == expected)


def _find_end(directory: bytes) -> tuple[int, int]:
    """Return the offset of the end record whose comment ends with the file, and its number of entries."""
    end, truncated = directory.rfind(END), False
    while end >= 0:
        if len(directory) >= end + _END_BYTES:
            entries, comment_length = struct.unpack_from("<H8xH", directory, end + 10)
            if len(directory) == end + _END_BYTES + comment_length:
                return end, int(entries)
            truncated = truncated or len(directory) < end + _END_BYTES + comment_length
        end = directory.rfind(END, 0, end)
    if truncated or END not in directory[: -_END_BYTES + 1]:
        raise TruncatedZip(_DIRECTORY)
    raise CorruptZip("The result's ZIP continues after its end record.")
