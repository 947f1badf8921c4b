"""What a ZIP says of its one entry, and whether that is so: headers, descriptors, directory.

Bytes in, answers out; reading the stream is `unzip`.
https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from isal import isal_zlib

from crm_export.errors import CorruptZip, TruncatedZip, UnsupportedZip

LOCAL, END = b"PK\x03\x04", b"PK\x05\x06"
_DESCRIPTOR, _CENTRAL = b"PK\x07\x08", b"PK\x01\x02"
_END64, _LOCATOR64 = b"PK\x06\x06", b"PK\x06\x07"
STORED, DEFLATED = 0, 8
SIGNATURE_BYTES = 4
LOCAL_BYTES = 26  # of a local header behind its signature: APPNOTE 4.3.7
_CENTRAL_BYTES, _END_BYTES = 46, 22  # APPNOTE 4.3.12, 4.3.16
_LOCATOR64_BYTES = 20  # APPNOTE 4.3.15
_LONGEST_DESCRIPTOR = 24
_ENCRYPTED, _HAS_DESCRIPTOR = 0x1, 0x8
_UNKNOWN32 = 0xFFFFFFFF
_ZIP64 = 1


@dataclass
class Entry:
    """The entry, known once its content has been read to the end. crc32 is Zoho's, checked."""

    crc32: int = 0
    size: int = 0
    compressed_size: int = 0
    name: bytes = b""


@dataclass(frozen=True)
class Header:
    """What stands before the entry's data; CRC and sizes are 0 where a descriptor tells them."""

    has_descriptor: bool
    method: int
    crc32: int
    compressed_size: int
    size: int


def name_and_extra_lengths(fixed: bytes) -> tuple[int, int]:
    """How long a local header's name and its extra field are."""
    name_length, extra_length = struct.unpack_from("<HH", fixed, 22)
    return name_length, extra_length


def parse_header(fixed: bytes, extra: bytes) -> Header:
    """A local header. Raises UnsupportedZip if its entry cannot be read."""
    flags, method, crc32, compressed_size, size = struct.unpack_from("<2xHH4xLLL", fixed)
    if flags & _ENCRYPTED:
        raise UnsupportedZip("The entry of the result's ZIP is encrypted.")
    if method not in {STORED, DEFLATED}:
        raise UnsupportedZip(f"The result's ZIP uses compression method {method}; 0 and 8 are supported.")
    if _UNKNOWN32 in {compressed_size, size}:
        size, compressed_size = _zip64_sizes(extra, size, compressed_size)
    return Header(bool(flags & _HAS_DESCRIPTOR), method, crc32, compressed_size, size)


def _zip64_sizes(extra: bytes, size: int, compressed_size: int) -> tuple[int, int]:
    """Sizes from the ZIP64 extra field: 8 bytes each, there only for those that are 0xFFFFFFFF."""
    while len(extra) >= SIGNATURE_BYTES:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == _ZIP64:
            field = extra[4 : 4 + length]
            values = (value for (value,) in struct.iter_unpack("<Q", field[: len(field) // 8 * 8]))
            if size == _UNKNOWN32:
                size = next(values, size)
            if compressed_size == _UNKNOWN32:
                compressed_size = next(values, compressed_size)
            break
        extra = extra[4 + length :]
    return size, compressed_size


def find_descriptor(held: bytes, entry: Entry) -> int | None:
    """Where in these bytes, which follow what was read, a descriptor begins that says just that."""
    crc32, known = entry.crc32, 0  # of all up to `known`: each byte is summed once, however many look right
    central = held.find(_CENTRAL)
    while central >= 0:
        near = max(central - _LONGEST_DESCRIPTOR, 0)
        for start, said, sizes in _descriptors(held, central):
            size = entry.size + start
            if sizes == (size, size):
                crc32, known = isal_zlib.crc32(held[known:near], crc32), near
                if isal_zlib.crc32(held[near:start], crc32) == said:
                    return start
        central = held.find(_CENTRAL, central + 1)
    return None


def _descriptors(data: bytes, end: int) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """What bytes up to `end` say if they are a descriptor: start, CRC, (compressed, full) size."""
    for layout, signature in (("<LLL", b""), ("<LLL", _DESCRIPTOR), ("<LQQ", b""), ("<LQQ", _DESCRIPTOR)):
        length = struct.calcsize(layout)
        start = end - length - len(signature)
        if start >= 0 and data.startswith(signature, start):
            crc32, compressed_size, size = struct.unpack_from(layout, data, end - length)
            yield start, crc32, (compressed_size, size)


def check_end(tail: bytes, header: Header, entry: Entry) -> None:
    """Hold header or descriptor, directory and end record to what was read."""
    found = (entry.crc32, (entry.compressed_size, entry.size))
    if header.has_descriptor:
        directory = _descriptor_end(tail, found)
    else:
        directory = 0 if found == (header.crc32, (header.compressed_size, header.size)) else None
    if directory is None:
        raise CorruptZip(
            f"The result holds {entry.size} bytes with CRC {entry.crc32:08x}; its ZIP says otherwise."
        )
    _check_directory(tail[directory:], entry)


def _descriptor_end(tail: bytes, found: tuple[int, tuple[int, int]]) -> int | None:
    """Where the descriptor ends that says what was found. Its length is told by what follows it."""
    ends = [end for end in (12, 16, 20, 24) if tail[end : end + 4] in {_CENTRAL, LOCAL}]
    if not ends and len(tail) < _LONGEST_DESCRIPTOR + SIGNATURE_BYTES:
        raise TruncatedZip("The result ends within its data descriptor.")
    for end in ends:
        if any(start == 0 and (crc32, sizes) == found for start, crc32, sizes in _descriptors(tail, end)):
            return end
    return None


def _check_directory(directory: bytes, entry: Entry) -> None:
    if directory.startswith(LOCAL):
        raise UnsupportedZip("The result's ZIP holds more than one entry; one is expected.")
    if len(directory) < _CENTRAL_BYTES + _END_BYTES:
        raise TruncatedZip("The result ends within its directory.")
    if not directory.startswith(_CENTRAL):
        raise CorruptZip("The result's ZIP has no directory behind its entry.")
    end, entries = _find_end(directory)
    if entries not in {1, 0xFFFF}:
        raise UnsupportedZip(f"The result's ZIP holds {entries} entries; one is expected.")
    crc32, compressed_size, size, *lengths = struct.unpack_from("<LLLHHH", directory, 16)
    behind = _CENTRAL_BYTES + sum(lengths)
    if _UNKNOWN32 in {compressed_size, size}:
        extra = directory[_CENTRAL_BYTES + lengths[0] :][: lengths[1]]
        size, compressed_size = _zip64_sizes(extra, size, compressed_size)
    if (crc32, compressed_size, size) != (entry.crc32, entry.compressed_size, entry.size):
        raise CorruptZip("The directory of the result's ZIP does not belong to its entry.")
    if directory.startswith(_CENTRAL, behind):
        raise UnsupportedZip("The directory of the result's ZIP names more than one entry; one is expected.")
    if behind != end and not _is_end64(directory[behind:end]):
        # So ends, too, an entry within which another's end was taken for its own.
        raise CorruptZip("The directory of the result's ZIP does not end where its end record begins.")


def _is_end64(data: bytes) -> bool:
    """Whether this is all of a ZIP64 end record, for one entry, and its locator."""
    locator = len(data) - _LOCATOR64_BYTES
    if locator < 40 or not (data.startswith(_END64) and data.startswith(_LOCATOR64, locator)):  # noqa: PLR2004
        return False
    length, entries = struct.unpack_from("<Q20xQ", data, SIGNATURE_BYTES)
    return bool(length + 12 == locator and entries == 1)


def _find_end(directory: bytes) -> tuple[int, int]:
    """Where the end record is whose comment ends where the file does, and how many entries it tells of."""
    end, cut = directory.rfind(END), False
    while end >= 0:
        if len(directory) >= end + _END_BYTES:
            entries, comment_length = struct.unpack_from("<H8xH", directory, end + 10)
            if len(directory) == end + _END_BYTES + comment_length:
                return end, int(entries)
            cut = cut or len(directory) < end + _END_BYTES + comment_length
        end = directory.rfind(END, 0, end)
    if cut or END not in directory[: -_END_BYTES + 1]:
        raise TruncatedZip("The result ends within its directory.")
    raise CorruptZip("The result's ZIP goes on behind its end.")
